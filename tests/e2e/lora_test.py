"""LoRA from end to end: a run over a trained base, killed and resumed to the same bytes; its checkpoint generates and scores with one
forward pass, and the export is the merged model."""
# ctest: TIMEOUT 600
import json
import os
import shutil

from hone_cli import hone, lines, newest, same_run, sha256, train, train_killed

RECIPE = """name: "adapted"
seed: 5
threads: 2
task: "countdown(numbers=2, high=9, target_high=30)"
model { path: "base" lora: "lora(rank=4, alpha=8, targets=all-linear)" }
stage { kind: SFT steps: 6 batch_size: 16 learning_rate: 1e-2 checkpoint_every: 4 }
stage { kind: RL steps: 10 prompts_per_step: 16 samples_per_prompt: 8 max_new_tokens: 10 minibatches: 2 learning_rate: 1e-2
        kl: "k3(coef=0.01)" checkpoint_every: 3 }
evaluation { prompts: 16 }
"""
PROMPTS = "prompts.jsonl"

for name in ("start", "base", "first", "killed", "merged", "nested"):
    shutil.rmtree(name, ignore_errors=True)
train("start", "stage[1].steps=2")
hone("export", "--run", "start", "--output", "base")
with open("adapted.textproto", "w", encoding="utf-8") as file:
    file.write(RECIPE)
base_before = sha256("base/model.safetensors")

hone("train", "adapted.textproto", "--out", "first")
rows = lines("first/metrics.jsonl")
on_policy = [row["mismatch/logprob_abs_max"] for row in rows if "mismatch/logprob_abs_max" in row]
assert len(on_policy) > 5 and not any(on_policy), "trainer and generator disagree on-policy"
assert sha256("base/model.safetensors") == base_before
# The reference is the base without the adapter, which the SFT stage has moved by then.
divergence = [row["policy/kl_ref"] for row in rows if "policy/kl_ref" in row]
assert len(divergence) > 5 and min(divergence) > 0, divergence

# The checkpoint is an adapter that PEFT loads, and no second copy of the base.
checkpoint = newest("first")
files = set(os.listdir(checkpoint))
assert {"adapter_config.json", "adapter_model.safetensors", "state"} <= files and "model.safetensors" not in files, files
with open(checkpoint + "/adapter_config.json", encoding="utf-8") as file:
    config = json.load(file)
assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 8, os.path.abspath("base")), config
state = os.path.join("first/checkpoints/step_000004/state/optimizer.safetensors")
assert os.path.getsize(state) < os.path.getsize("base/model.safetensors"), "the frozen base has no optimizer state"

# SIGKILL in both stages.
same_run(train_killed("killed", at=(5, 11), recipe="adapted.textproto"), "first")

# Generator and trainer over the checkpoint agree to the bit; the merged model to rounding, and differs from the base.
with open(PROMPTS, "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"id": i, "prompt": f"{i + 1} {i + 2}:{2 * i + 3}="}) + "\n" for i in range(8))


def scores(model):
    hone("logprobs", "--model", model, "--input", "sampled.jsonl", "--output", "scores.jsonl")
    return [value for row in lines("scores.jsonl") for value in row["logprobs"]]


hone("generate", "--model", checkpoint, "--prompts", PROMPTS, "--n", 4, "--max_new_tokens", 10, "--logprobs", "--output", "sampled.jsonl")
sampled = [value for row in lines("sampled.jsonl") for value in row["logprobs"]]
assert scores(checkpoint) == sampled
hone("export", "--run", "first", "--output", "merged")
merged, base = scores("merged"), scores("base")
assert max(abs(a - b) for a, b in zip(merged, sampled)) < 1e-4
assert max(abs(a - b) for a, b in zip(base, sampled)) > 1e-2
assert "adapter_config.json" not in os.listdir("merged") and "model.safetensors" in os.listdir("merged")

# An adapter is no base, a new model has nothing to freeze, and a wrong option is named.
wrong = [(f"model.path={checkpoint}", "holds a LoRA adapter, not a model"), ("model.lora=lora(targets=q_prj)", "did you mean 'q_proj'?"),
         ("model.lora=lroa", "did you mean 'lora'?")]
for change, message in wrong:
    _, errors = hone("train", "adapted.textproto", "--out", "nested", "--set", change, status=2)
    assert message in errors, errors
_, errors = hone("train", os.path.join(os.environ["HONE_SOURCE"], "tests/e2e/tiny.textproto"), "--out", "nested", "--set", "model.lora=lora", status=2)
assert "'lora' freezes a model that has learnt already" in errors, errors
