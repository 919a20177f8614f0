"""LoRA against PEFT: Hone's adapters in PEFT, PEFT's in Hone, and both merges."""
import json
import os
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.environ["HONE_SOURCE"], "tests/e2e"))
from hone_cli import hone, lines, newest, train  # noqa: E402

TOLERANCE = 1e-4
torch.set_num_threads(2)
torch.manual_seed(7)


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def ours(folder):
    hone("logprobs", "--model", folder, "--input", "sampled.jsonl", "--output", "scores.jsonl")
    return [row["logprobs"] for row in lines("scores.jsonl")]


def theirs(model):
    answers = []
    for row in lines("sampled.jsonl"):
        ids = torch.tensor([row["prompt_tokens"] + row["tokens"]])
        with torch.no_grad():
            logprobs = model(ids).logits.log_softmax(-1)[0]
        start = len(row["prompt_tokens"]) - 1
        answers.append([logprobs[start + i, token].item() for i, token in enumerate(row["tokens"])])
    return answers


def largest_difference(a, b):
    return max(abs(x - y) for left, right in zip(a, b) for x, y in zip(left, right))


def plain_model():
    return AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32)


for name in ("start", "base", "adapted", "merged", "made"):
    shutil.rmtree(name, ignore_errors=True)
train("start", "stage[1].steps=2")
hone("export", "--run", "start", "--output", "base")
write("prompts.jsonl", [{"id": i, "prompt": f"{i % 9 + 1} {i * 7 % 9 + 1}:{i * 5 % 29 + 2}="} for i in range(12)])
hone("generate", "--model", "base", "--prompts", "prompts.jsonl", "--n", 3, "--max_new_tokens", 12, "--output", "sampled.jsonl")
base = theirs(plain_model())

# Ours there.
for targets in ("q_proj+v_proj", "all-linear"):
    shutil.rmtree("adapted", ignore_errors=True)
    shutil.rmtree("merged", ignore_errors=True)
    with open("adapted.textproto", "w", encoding="utf-8") as file:
        file.write(f"""task: "countdown(numbers=2, high=9, target_high=30)"
            model {{ path: "base" lora: "lora(rank=4, alpha=6, targets={targets})" }}
            stage {{ kind: SFT steps: 20 batch_size: 16 learning_rate: 1e-2 }}
            evaluation {{ prompts: 0 }}""")
    hone("train", "adapted.textproto", "--out", "adapted")
    checkpoint = newest("adapted")
    peft = PeftModel.from_pretrained(plain_model(), checkpoint)
    worst = largest_difference(ours(checkpoint), theirs(peft))
    assert worst <= TOLERANCE, worst
    moved = largest_difference(theirs(peft), base)
    assert moved > 1e-2, moved
    hone("export", "--run", "adapted", "--output", "merged")
    merged = peft.merge_and_unload().state_dict()
    file = load_file("merged/model.safetensors")
    weights = max((file[name] - merged[name]).abs().max().item() for name in file)
    assert weights <= 1e-6, weights
    worst_merged = largest_difference(theirs(AutoModelForCausalLM.from_pretrained("merged", dtype=torch.float32)), ours(checkpoint))
    assert worst_merged <= TOLERANCE, worst_merged
    print(f"{targets}: log-probabilities differ from PEFT's by {worst:.1e}, merged weights by {weights:.1e} (the adapter moves them by {moved:.2f})")

# Theirs here.
for options in ({"target_modules": ["q_proj", "v_proj"]}, {"target_modules": "all-linear"},
                {"target_modules": ["down_proj", "k_proj"], "use_rslora": True}):
    shutil.rmtree("made", ignore_errors=True)
    made = get_peft_model(plain_model(), LoraConfig(r=4, lora_alpha=6, lora_dropout=0.1, init_lora_weights=False, task_type="CAUSAL_LM", **options))
    made.eval()
    made.save_pretrained("made")
    for file in os.listdir("base"):
        if "token" in file:
            shutil.copy("base/" + file, "made/" + file)
    worst = largest_difference(ours("made"), theirs(made))
    assert worst <= TOLERANCE, worst
    print(f"PEFT's {options}: log-probabilities differ by {worst:.1e}")
