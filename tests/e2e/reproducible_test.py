"""A run is a function of its recipe: run twice, killed and resumed, or interrupted, it gives the same bytes."""
# ctest: TIMEOUT 600
import os
import shutil
import signal
import subprocess
import time

from hone_cli import HONE, TINY, checkpoints, hone, lines, metrics_without_timings, newest, sha256, train


def same_run(folder, expected):
    assert checkpoints(folder) == checkpoints(expected)
    for step in checkpoints(expected):
        for file in ("model.safetensors", "tokenizer.model", "state/run.json"):
            left, right = (os.path.join(run, "checkpoints", step, file) for run in (folder, expected))
            assert sha256(left) == sha256(right), f"{left} and {right} differ"
    assert metrics_without_timings(folder) == metrics_without_timings(expected)
    assert sorted(os.listdir(folder + "/samples")) == sorted(os.listdir(expected + "/samples"))
    for file in os.listdir(expected + "/samples"):
        assert sha256(f"{folder}/samples/{file}") == sha256(f"{expected}/samples/{file}")


def start(*arguments):
    return subprocess.Popen([HONE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def rows(folder):
    path = folder + "/metrics.jsonl"
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def wait_for_rows(process, folder, count):
    while process.poll() is None and rows(folder) < count:
        time.sleep(0.002)


for name in ("first", "second", "killed", "interrupted", "one_thread", "other_seed"):
    shutil.rmtree(name, ignore_errors=True)

expected = train("first")
metrics = lines("first/metrics.jsonl")
assert len(metrics) == 144 and [row["step"] for row in metrics] == list(range(1, 145))
on_policy = [row["mismatch/logprob_abs_max"] for row in metrics if "mismatch/logprob_abs_max" in row]
assert len(on_policy) > 12 and not any(on_policy), "trainer and generator disagree on-policy"

same_run(train("second"), expected)
assert metrics_without_timings(train("other_seed", "seed=6")) != metrics_without_timings(expected)
# The number of threads is no part of the result.
train("one_thread", "threads=1")
assert sha256(newest("one_thread") + "/model.safetensors") == sha256(newest("first") + "/model.safetensors")

# SIGKILL in both stages, at moments that have nothing to do with checkpoints, then once more right after a resume.
killed_at = []
process = start("train", TINY, "--out", "killed")
for count in (33, 97, 121, 128, 139):
    wait_for_rows(process, "killed", count)
    assert process.poll() is None, f"the run ended before it could be killed: {process.communicate()[1]}"
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at.append(rows("killed"))
    process = start("resume", "killed")
_, errors = process.communicate()
assert process.returncode == 0, errors
same_run("killed", expected)
print("killed after steps", killed_at, "and resumed: the same bytes")

# SIGINT: the step is finished, a checkpoint written, the way on named.
process = start("train", TINY, "--out", "interrupted")
wait_for_rows(process, "interrupted", 123)
process.send_signal(signal.SIGINT)
_, errors = process.communicate()
assert process.returncode == 1 and "hone resume interrupted" in errors, errors
assert sha256(newest("interrupted") + "/state/run.json")
hone("resume", "interrupted")
assert sha256(newest("interrupted") + "/model.safetensors") == sha256(newest("first") + "/model.safetensors")
assert metrics_without_timings("interrupted") == metrics_without_timings(expected)

# A finished run says so.
_, errors = hone("resume", "first")
assert "first is finished: 144 steps" in errors, errors
