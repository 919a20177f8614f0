"""hone generate as people use it: at a terminal, into a pipe that closes, on a full disk, and interrupted."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time

from hone_cli import HONE, hone, lines, newest, train

shutil.rmtree("run", ignore_errors=True)
train("run", "stage[0].steps=60", "stage[1].steps=2", "evaluation.prompts=4")
model = newest("run")


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def at_a_terminal(*arguments, interrupt=None):
    """Runs with standard output and error on a terminal each; returns (status, what stdout showed, what stderr showed)."""
    shown = [b"", b""]
    masters, slaves = zip(pty.openpty(), pty.openpty())
    process = subprocess.Popen([HONE, "generate", "--model", model, *map(str, arguments)], stdin=subprocess.DEVNULL,
                               stdout=slaves[0], stderr=slaves[1])
    for slave in slaves:
        os.close(slave)
    for master in masters:
        os.set_blocking(master, False)
    deadline = time.time() + 100
    while True:
        ended = process.poll() is not None
        for i, master in enumerate(masters):
            try:
                while chunk := os.read(master, 65536):
                    shown[i] += chunk
            except OSError:  # nothing there now, or the other side is closed
                pass
        if interrupt and interrupt(shown):
            process.send_signal(signal.SIGINT)
            interrupt = None
        if ended:
            break
        assert time.time() < deadline, f"hone hangs; it showed {shown}"
        time.sleep(0.01)
    for master in masters:
        os.close(master)
    return process.returncode, *(text.decode().replace("\r\n", "\n") for text in shown)


# At a terminal one prompt's text comes as it is; in a pipe the same sample is a JSON line.
PROMPT = ("--prompt", "3 4:7=", "--seed", 5, "--max_new_tokens", 30)
piped = json.loads(hone("generate", "--model", model, *PROMPT)[0])
status, out, errors = at_a_terminal(*PROMPT)
assert status == 0 and out == piped["text"] + "\n", (out, piped)
assert f"{len(piped['tokens'])} tokens" in errors and piped["finish_reason"] in errors, errors

# A stop text is never shown, nor its beginning.
assert len(piped["text"]) >= 3
stop = piped["text"][1:3]
status, out, _ = at_a_terminal(*PROMPT, "--stop", stop)
assert status == 0 and out == piped["text"][:piped["text"].index(stop)] + "\n", (out, piped["text"])

# More than one sample, or a file: JSON, with a line of progress on the other terminal.
status, out, _ = at_a_terminal(*PROMPT, "--n", 3)
assert status == 0 and [json.loads(line)["sample"] for line in out.splitlines()] == [0, 1, 2]

# Ctrl-C on long work: what was finished is there, whole, and equal to what an undisturbed call gives.
write("prompts.jsonl", [{"id": i, "prompt": f"{i % 9 + 1} {i % 7 + 1}:{i % 11 + 2}="} for i in range(4000)])
LONG = ("--prompts", "prompts.jsonl", "--n", 8, "--max_new_tokens", 30, "--batch", 4, "--logprobs")
status, out, errors = at_a_terminal(*LONG, "--output", "some.jsonl", interrupt=lambda shown: re.search(rb"[1-9]\d* of 32000", shown[1]))
assert status == 1 and "interrupted; the finished samples were written" in errors and "tokens/s" in errors and "left" in errors, errors[-300:]
some = lines("some.jsonl")
assert 0 < len(some) < 32000
write("first.jsonl", lines("prompts.jsonl")[:max(row["id"] for row in some) + 1][:400])
hone("generate", "--model", model, "--prompts", "first.jsonl", *LONG[2:6], "--logprobs", "--output", "whole.jsonl")
whole = {(row["id"], row["sample"]): row for row in lines("whole.jsonl")}
compared = [row for row in some if (row["id"], row["sample"]) in whole]
assert compared and all(row == whole[row["id"], row["sample"]] for row in compared)

# The same through a pipe: every line that came is whole.
process = subprocess.Popen([HONE, "generate", "--model", model, *map(str, LONG)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
came = [process.stdout.readline() for _ in range(20)]
process.send_signal(signal.SIGINT)
rest, errors = process.stdout.read(), process.stderr.read()
assert process.wait() == 1 and "interrupted" in errors.splitlines()[-1], errors
assert all(json.loads(line)["tokens"] for line in came + rest.splitlines()) and (came[-1] + rest).endswith("\n")

# A pipe that closes: one line, and no more work.
process = subprocess.Popen([HONE, "generate", "--model", model, *map(str, LONG)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
process.stdout.readline()
process.stdout.close()
started = time.time()
errors = process.stderr.read()
assert process.wait() == 1 and errors.endswith("hone: standard output: cannot write: Broken pipe\n"), errors
assert time.time() - started < 60

# A full disk.
done = subprocess.run([HONE, "generate", "--model", model, *map(str, LONG)], stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE, text=True)
assert done.returncode == 1 and done.stderr == "hone: standard output: cannot write: No space left on device\n", done.stderr
