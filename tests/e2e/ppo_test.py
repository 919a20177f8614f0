"""PPO: a value model, an averaged proximal policy and the noise scale survive kill -9 to the same bytes, whatever the threads."""
# ctest: TIMEOUT 600
import os
import shutil

from hone_cli import checkpoints, lines, newest, same_run, sha256, train, train_killed

COMMON = ("stage[0].steps=60", "stage[1].steps=16", "stage[1].checkpoint_every=3", "stage[1].microbatch_tokens=200",
          "stage[1].evaluate_every=0", "evaluation.prompts=0")
VARIANTS = {
    "own": ("stage[1].advantage=gae", "stage[1].value_model=own(layers=1, learning_rate=3e-3, warmup_steps=2)",
            "stage[1].loss=decoupled_ppo", "stage[1].policy_ewma=ewma"),
    "shared": ("stage[1].advantage=gae(lam=1)", "stage[1].value_model=shared"),
}


for name, sets in VARIANTS.items():
    for folder in (name, name + "_one_thread"):
        shutil.rmtree(folder, ignore_errors=True)
    train(name, *COMMON, *sets)
    same_run(train_killed(name + "_killed", *COMMON, *sets, at=(64, 69, 73)), name)
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
