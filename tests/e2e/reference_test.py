"""A stage with a reference, an adaptive KL term and several epochs is still a function of its recipe: killed and resumed, the same bytes."""
# ctest: TIMEOUT 600
import os
import shutil

from hone_cli import TINY, hone, lines, newest, same_run, sha256, train, train_killed

SETS = ["stage[0].steps=40", "stage[0].checkpoint_every=0", "stage[1].steps=8", "stage[1].checkpoint_every=3", "stage[1].epochs=2",
        "stage[1].entropy_coef=0.01", "evaluation.prompts=16"]
KINDS = {
    "start": ["stage[1].kl=k3(coef=0.01)"],
    "ema": ["stage[1].kl=k1(coef=0.05, place=reward, target=0.01, horizon=500)", "stage[1].reference=ema(decay=0.9)"],
}


for kind, sets in KINDS.items():
    whole, killed = f"{kind}_whole", f"{kind}_killed"
    shutil.rmtree(whole, ignore_errors=True)
    train(whole, *SETS, *sets)
    stage = [row for row in lines(whole + "/metrics.jsonl") if row["stage"] == "rl"]
    assert len(stage) == 8

    # From a frozen reference the policy parts, one that follows stays near.
    divergence = [row["policy/kl_ref"] for row in stage]
    assert all(value > 0 for value in divergence), divergence
    assert kind == "ema" or divergence[0] < divergence[-1], divergence
    assert all("time/reference_s" in row for row in stage)
    assert not any("policy/kl_ref" in row for row in lines(whole + "/metrics.jsonl") if row["stage"] == "sft")
    # Two passes over two mini-batches: on-policy is the first update alone.
    assert [row["policy_version"] for row in stage[:3]] == [40, 44, 48]
    assert all(row["mismatch/logprob_abs_max"] == 0 for row in stage if "mismatch/logprob_abs_max" in row)
    coefs = [row.get("policy/kl_coef") for row in stage]
    assert len(set(coefs)) == (1 if kind == "start" else 8), coefs
    state = sorted(os.listdir(f"{whole}/checkpoints/step_000046/state"))
    extra = [] if kind == "start" else ["kl.json", "reference.safetensors"]
    assert state == sorted(["noise_scale.json", "optimizer.safetensors", "run.json"] + extra), state

    # Past the stage's first checkpoint, so that the reference has to come back.
    same_run(train_killed(killed, *SETS, *sets, at=[44]), whole)
    print(kind, "killed and resumed: the same bytes; kl_ref", divergence[0], "->", divergence[-1])

# The terms change what is learnt.
shutil.rmtree("plain", ignore_errors=True)
plain = train("plain", *SETS, "stage[1].entropy_coef=0")
assert not any("policy/kl_ref" in row for row in lines(plain + "/metrics.jsonl"))
digests = {sha256(newest(run) + "/model.safetensors") for run in ("plain", "start_whole", "ema_whole")}
assert len(digests) == 3

# A reference from another folder: the SFT checkpoint is what the stage starts from, so the bytes are those of "start".
sft = os.path.abspath("start_whole/checkpoints/step_000040")
shutil.rmtree("model_whole", ignore_errors=True)
train("model_whole", *SETS, *KINDS["start"], f'stage[1].reference=model(path="{sft}")')
assert sha256(newest("model_whole") + "/model.safetensors") == sha256(newest("start_whole") + "/model.safetensors")

# A wrong one is refused before the first step.
shutil.rmtree("wrong", ignore_errors=True)
_, errors = hone("train", TINY, "--out", "wrong", "--set", 'stage[1].reference=model(path="nowhere")', status=2)
assert "nowhere" in errors and not os.path.exists("wrong"), errors
