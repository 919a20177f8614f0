"""A run is a function of its recipe: run twice, killed and resumed, or interrupted, it gives the same bytes."""
# ctest: TIMEOUT 600
import shutil
import signal

from hone_cli import TINY, hone, lines, metrics_without_timings, newest, same_run, sha256, start, train, train_killed, wait_for_rows


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
same_run(train_killed("killed", at=(33, 97, 121, 128, 139)), expected)

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
