"""What the end-to-end tests share: calling the binary and reading what it wrote."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

HONE = os.environ["HONE_BINARY"]
SOURCE = os.environ["HONE_SOURCE"]
TINY = os.path.join(SOURCE, "tests/e2e/tiny.textproto")

# Metrics that say how long, how big or by which processes, not what was learnt.
TIMINGS = ("time/", "throughput/", "memory/", "drafter/", "verifier/")  # speculation follows measured times; processes start anew on resume


def hone(*arguments, status=0):
    """Runs a sub-command and returns (stdout, stderr); any other exit status fails the test."""
    done = subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, f"hone {arguments}: exit status {done.returncode}, wanted {status}\n{done.stderr}"
    return done.stdout, done.stderr


def train(folder, *sets, recipe=TINY):
    options = [option for item in sets for option in ("--set", item)]
    hone("train", recipe, "--out", folder, *options)
    return folder


def start(*arguments):
    return subprocess.Popen([HONE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def rows(folder):
    """Of the run's metrics so far."""
    path = folder + "/metrics.jsonl"
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def wait_for_rows(process, folder, count):
    while process.poll() is None and rows(folder) < count:
        time.sleep(0.002)
    assert process.poll() is None, f"the run ended before row {count}: {process.communicate()[1]}"


def train_killed(folder, *sets, at, recipe=TINY):
    """A run that SIGKILL ends at each of these rows of metrics and `hone resume` takes up again, in the end to its end."""
    shutil.rmtree(folder, ignore_errors=True)
    process = start("train", recipe, "--out", folder, *[option for item in sets for option in ("--set", item)])
    for count in at:
        wait_for_rows(process, folder, count)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(folder, "killed after step", rows(folder))
        process = start("resume", folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(root, name), folder) for root, _, names in os.walk(folder) for name in names)


def same_run(folder, expected):
    """Every byte of every checkpoint and of the samples, and the metrics but for timings."""
    assert checkpoints(folder) == checkpoints(expected)
    for part in ("checkpoints", "samples"):
        left, right = os.path.join(folder, part), os.path.join(expected, part)
        assert files_below(left) == files_below(right)
        for name in files_below(right):
            assert sha256(f"{left}/{name}") == sha256(f"{right}/{name}"), f"{left}/{name} and {right}/{name} differ"
    assert metrics_without_timings(folder) == metrics_without_timings(expected)


def checkpoints(folder):
    return sorted(os.listdir(os.path.join(folder, "checkpoints")))


def newest(folder):
    return os.path.join(folder, "checkpoints", checkpoints(folder)[-1])


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def metrics_without_timings(folder):
    return [{name: value for name, value in row.items() if not name.startswith(TIMINGS)}
            for row in lines(os.path.join(folder, "metrics.jsonl"))]
