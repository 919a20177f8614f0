"""hone score: the three examples of users' own verifiers, the summary, huge inputs, interrupts, wrong calls."""
import json
import os
import signal
import stat
import subprocess
import time

from hone_cli import HONE, SOURCE, hone, lines

EXAMPLES = os.path.join(SOURCE, "rewards/examples")
PYTHON = f'process(command="python3 {EXAMPLES}/python_verifier.py")'
SHELL = f'process(command="sh {EXAMPLES}/shell_verifier.sh")'


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def score(spec, *options, rows):
    write("answers.jsonl", rows)
    _, summary = hone("score", "--verifier", spec, "--input", "answers.jsonl", "--output", "scores.jsonl", *options)
    scored = lines("scores.jsonl")
    assert [{key: row[key] for key in given} for row, given in zip(scored, rows)] == rows and len(scored) == len(rows)
    assert all(isinstance(row["reason"], str) and isinstance(row["parts"], dict) for row in scored)
    return scored, summary


# The examples are short enough to be read at a glance.
for name in os.listdir(EXAMPLES):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        assert len(file.readlines()) < 30, name

# Python: the last number counts.
rows = [{"id": i, "prompt": f"{i} and one?", "completion": f"{i} and 1 is {i + 1 + (i % 3 == 0)}", "answer": str(i + 1)} for i in range(3000)]
rows[7]["completion"] = "nothing"
del rows[8]["answer"]
scored, summary = score(PYTHON, rows=rows)
wanted = [float(i % 3 != 0) for i in range(3000)]
wanted[7], wanted[8] = 0, None
assert [row["score"] for row in scored] == wanted
assert scored[1]["reason"] == "says 2" and scored[1]["parts"] == {"number": 1} and scored[7]["parts"] == {"number": 0}
assert scored[8]["reason"] == "the verifier says: the line has no answer to compare with"
assert "3000 lines, 2999 scored" in summary and " verdicts/s; latency p50 " in summary, summary
assert "no verdict, 1 lines: the verifier says; the first: line 9: " in summary and summary.count("\nslow: line ") == 5, summary

# Shell: equal texts, with everything that JSON escapes.
texts = ["plain", 'a "quoted" one', "a,\"completion\":b,\"answer\":", "back\\slash", "two\nlines", "tab\t", "é 東 😀", "x" * 3000, " ", "]}{[", "\\", '"']
rows = [{"completion": text, "answer": other, "prompt": '","answer":"'} for text in texts for other in texts]
scored, _ = score(SHELL, rows=rows)
assert [row["score"] for row in scored] == [float(row["completion"] == row["answer"]) for row in rows]

# C: a shared library, with options.
subprocess.run(["gcc", "-shared", "-fPIC", "-I", SOURCE, "-o", "libmine.so", f"{EXAMPLES}/c_verifier.c"], check=True)
rows = [{"completion": "It is Paris.", "answer": "Paris"}, {"completion": "it is paris", "answer": "Paris"}, {"completion": "?"}]
assert [row["score"] for row in score('plugin(path="./libmine.so")', rows=rows)[0]] == [1, 0, None]
assert [row["score"] for row in score('plugin(path="libmine.so", options="loose")', rows=rows)[0]] == [1, 1, None]

# The same bytes for any number of workers; equal lines are verified once; the input may be the output.
rows = [{"completion": f"3+5+{i % 50}", "metadata": {"numbers": [3, 5, i % 50], "target": 15}} for i in range(20000)]
outputs = set()
for workers in (0, 1, 5):
    _, summary = score("countdown", "--workers", workers, rows=rows)
    assert "19950 lines took the verdict of an equal one" in summary, summary
    outputs.add(open("scores.jsonl", "rb").read())
hone("score", "--verifier", "countdown", "--input", "answers.jsonl", "--output", "answers.jsonl")
outputs.add(open("answers.jsonl", "rb").read())
assert len(outputs) == 1
# A scored line can be scored again: what it said of the verdict before is replaced.
out, _ = hone("score", "--verifier", "countdown", "--input", "answers.jsonl")
assert [json.loads(line) for line in out.splitlines()] == lines("answers.jsonl")
assert out.count('"score"') == 20000

# --deadline_ms reaches a verifier that has one, unless its spec says otherwise; others have no use for it.
HANG = 'process(command="python3 -c \'import sys, time; sys.stdin.readline(); time.sleep(100)\'", workers=1)'
rows = [{"completion": "a"}]
scored, summary = score(HANG, "--deadline_ms", 400, rows=rows)
assert scored[0]["score"] is None and "timed out: no answer within 400 ms" in scored[0]["reason"] and "time_outs: 1" in summary, (scored, summary)
scored, _ = score(HANG.replace("workers=1", "deadline_ms=300"), "--deadline_ms", 60000, rows=rows)
assert "within 300 ms" in scored[0]["reason"]
score("countdown", "--deadline_ms", 400, rows=rows)

# A mistake in the input: its line is named, nothing is written, nothing is left.
with open("answers.jsonl", "w", encoding="utf-8") as file:
    file.write('{"completion": "a", "answer": "b"}\n' * 5000 + '{"completion": 5}\n')
os.remove("scores.jsonl")
_, error = hone("score", "--verifier", PYTHON, "--input", "answers.jsonl", "--output", "scores.jsonl", status=2)
assert error == "hone: answers.jsonl:5001: 'completion' is missing or not a text\n", error
assert not any(name.startswith("scores.jsonl") for name in os.listdir(".")), os.listdir(".")

# What is no file, such as a pipe or /dev/null, is written to and never replaced.
if os.path.exists("pipe"):
    os.remove("pipe")
os.mkfifo("pipe")
write("answers.jsonl", [{"completion": "a", "answer": "a"}] * 3)
with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
    hone("score", "--verifier", "exact", "--input", "answers.jsonl", "--output", "pipe")
    assert [json.loads(line)["score"] for line in reader.stdout] == [1, 1, 1]
assert stat.S_ISFIFO(os.stat("pipe").st_mode)

# Ctrl-C: what was scored is written in whole lines, and no worker is left.
mark = f"hone-score-test-{os.getpid()}"
write("slow.py", [])
with open("slow.py", "w", encoding="utf-8") as file:
    file.write("import json, sys, time\nfor line in sys.stdin:\n    time.sleep(0.02)\n"
               "    print(json.dumps({'id': json.loads(line)['id'], 'score': 1}), flush=True)\n")
write("answers.jsonl", [{"id": i, "completion": str(i)} for i in range(100000)])
process = subprocess.Popen([HONE, "score", "--verifier", f'process(command="exec python3 slow.py {mark}")', "--input", "answers.jsonl",
                            "--output", "scores.jsonl"], stderr=subprocess.PIPE, text=True)
time.sleep(2)
process.send_signal(signal.SIGINT)
_, errors = process.communicate(timeout=60)
assert process.returncode == 1 and errors.endswith("hone: interrupted; the lines scored until then were written\n"), errors
scored = lines("scores.jsonl")
assert 10 < len(scored) < 100000 and [row["id"] for row in scored] == list(range(len(scored))), len(scored)
assert all(row["score"] == 1 for row in scored)
assert subprocess.run(["pgrep", "-f", mark], capture_output=True).stdout == b""
