"""What the end-to-end tests share: calling the binary and reading what it wrote."""
import hashlib
import json
import os
import subprocess

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
