"""Every policy loss trains: from one SFT checkpoint, steps of two updates each, the first of them on-policy; numbers finite."""
import math
import shutil

from hone_cli import TINY, hone, lines, newest, sha256, train

CLIPPING = {"ppo_clip", "decoupled_ppo", "tis_ppo", "icepop_ppo", "gspo", "dppo"}
OPTIONS = {"decoupled_ppo": "decoupled_ppo(clip_high=0.28)"}  # the range of the others
LOSSES = sorted(CLIPPING | {"cispo", "reinforce", "tbrm"})

shutil.rmtree("sft", ignore_errors=True)
train("sft", "stage[0].steps=60", "stage[1].steps=1", "stage[1].learning_rate=1e-12", "evaluation.prompts=0")

weights = set()
for loss in LOSSES:
    shutil.rmtree(loss, ignore_errors=True)
    with open(f"{loss}.textproto", "w", encoding="utf-8") as file:
        per_prompt = 'advantage: "reward" samples_per_prompt: 1' if loss == "tbrm" else "samples_per_prompt: 8"
        file.write(f"""seed: 5 threads: 2
task: "countdown(numbers=2, high=9, target_high=30)"
model {{ path: "{newest('sft')}" }}
stage {{ kind: RL steps: 3 prompts_per_step: 16 {per_prompt} max_new_tokens: 10 minibatches: 2 learning_rate: 1e-3 loss: "{OPTIONS.get(loss, loss)}" }}
evaluation {{ prompts: 0 }}
""")
    train(loss, recipe=f"{loss}.textproto")
    rows = lines(f"{loss}/metrics.jsonl")
    assert len(rows) == 3
    for row in rows:
        assert row["mismatch/logprob_abs_max"] == 0, (loss, row)
        assert math.isfinite(row["policy/loss"]) and row["policy/grad_norm"] > 0, (loss, row)
        assert ("policy/clip_fraction" in row) == (loss in CLIPPING), (loss, row)
        # The residual is a square, and rewards of 0 teach too.
        assert loss != "tbrm" or (row["policy/loss"] > 0 and row["group/trained"] == 1), row
    weights.add(sha256(newest(loss) + "/model.safetensors"))
# Samples of the step's own policy are weighed by exp(o - q) = 1: the corrections are ppo_clip itself, to the bit; the others differ.
same = {"ppo_clip", "decoupled_ppo", "tis_ppo", "icepop_ppo"}
assert len({sha256(newest(loss) + "/model.safetensors") for loss in same}) == 1
assert len(weights) == len(LOSSES) - len(same) + 1, weights

_, errors = hone("train", TINY, "--out", "refused", "--set", "stage[1].loss=tbrm", status=2)
assert 'use advantage: "reward"' in errors, errors
