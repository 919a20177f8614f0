"""PPO: a value model, an averaged proximal policy and the noise scale survive kill -9 to the same bytes, whatever the threads."""
# ctest: TIMEOUT 600
import os
import shutil
import signal
import subprocess
import time

from hone_cli import HONE, TINY, checkpoints, lines, metrics_without_timings, newest, sha256, train

COMMON = ("stage[0].steps=60", "stage[1].steps=16", "stage[1].checkpoint_every=3", "stage[1].microbatch_tokens=200",
          "stage[1].evaluate_every=0", "evaluation.prompts=0")
VARIANTS = {
    "own": ("stage[1].advantage=gae", "stage[1].value_model=own(layers=1, learning_rate=3e-3, warmup_steps=2)",
            "stage[1].loss=decoupled_ppo", "stage[1].policy_ewma=ewma"),
    "shared": ("stage[1].advantage=gae(lam=1)", "stage[1].value_model=shared"),
}


def files(folder):
    return sorted(os.path.relpath(os.path.join(root, name), folder) for root, _, names in os.walk(folder) for name in names)


def same_run(folder, expected):
    assert checkpoints(folder) == checkpoints(expected)
    for step in checkpoints(expected):
        left, right = (os.path.join(run, "checkpoints", step) for run in (folder, expected))
        assert files(left) == files(right)
        for name in files(right):
            assert sha256(f"{left}/{name}") == sha256(f"{right}/{name}"), f"{left}/{name} and {right}/{name} differ"
    assert metrics_without_timings(folder) == metrics_without_timings(expected)


def rows(folder):
    path = folder + "/metrics.jsonl"
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def start(*arguments):
    return subprocess.Popen([HONE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


for name, sets in VARIANTS.items():
    for folder in (name, name + "_killed", name + "_one_thread"):
        shutil.rmtree(folder, ignore_errors=True)
    train(name, *COMMON, *sets)
    options = [option for item in (*COMMON, *sets) for option in ("--set", item)]
    killed_at = []
    process = start("train", TINY, "--out", name + "_killed", *options)
    for count in (64, 69, 73):
        while process.poll() is None and rows(name + "_killed") < count:
            time.sleep(0.002)
        assert process.poll() is None, f"the run ended before it could be killed: {process.communicate()[1]}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at.append(rows(name + "_killed"))
        process = start("resume", name + "_killed")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    same_run(name + "_killed", name)
    print(name, "killed after steps", killed_at, "and resumed: the same bytes")
    train(name + "_one_thread", "threads=1", *COMMON, *sets)
    assert sha256(newest(name + "_one_thread") + "/model.safetensors") == sha256(newest(name) + "/model.safetensors")

    steps = [row for row in lines(name + "/metrics.jsonl") if row["stage"] == "rl"]
    assert all(row["value/loss"] >= 0 and row["time/value_s"] > 0 and 0 <= row["value/clip_fraction"] <= 1 for row in steps)
    assert any("value/explained_variance" in row for row in steps)
    assert any(row.get("noise_scale/simple", 0) > 0 and row["noise_scale/suggested_batch"] >= 1
               for row in steps), "several micro-batches, and no noise scale"
    assert not any(row.get("mismatch/logprob_abs_max", 0) for row in steps)
    middle = os.listdir(f"{name}/checkpoints/{checkpoints(name)[2]}/state")
    assert "value_model.safetensors" in middle and "noise_scale.json" in middle, middle
    if name == "own":  # two steps for the value model alone, then both learn
        assert ["policy/loss" in row for row in steps] == [False] * 2 + [True] * 14
        assert all("value/grad_norm" in row for row in steps)
        assert "policy_average.safetensors" in middle, middle
    else:
        assert not any("value/grad_norm" in row for row in steps), "the policy's gradient norm holds it"
