"""hone distill: a draft model that generate loads, the same bytes every time, and what an interruption leaves."""
import json
import os
import shutil
import signal
import subprocess
import time

from hone_cli import HONE, hone, newest, sha256, train

for name in ("run", "draft", "again", "untrained", "trained", "stopped"):
    shutil.rmtree(name, ignore_errors=True)
train("run", "stage[1].steps=2", "evaluation.prompts=4")
MODEL = newest("run")
# 81 pairs of numbers in an order that mixes them, so that the held-out end of the file is like the rest.
PROMPTS = [f"{i * 31 % 81 // 9 + 1} {i * 31 % 81 % 9 + 1}:{i * 7 % 29 + 2}=" for i in range(600)]
with open("prompts.jsonl", "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS)
DISTILL = ("distill", "--model", MODEL, "--prompts", "prompts.jsonl", "--layers", 1, "--samples", 2, "--max_new_tokens", 12, "--seed", 3)


def distill(output, *options):
    out, _ = hone(*DISTILL, "--output", output, *options)
    summary = json.loads(out.splitlines()[-1])
    assert set(summary) == {"steps", "loss", "agreement", "held_out_agreement", "tokens", "seconds"}, summary
    return summary


def tokens(folder):
    with open(os.path.join(folder, "draft_tokens.json"), encoding="utf-8") as file:
        return json.load(file)


first = distill("draft", "--steps", 60, "--head_tokens", 12, "--learning_rate", 3e-3)
with open("draft/config.json", encoding="utf-8") as file:
    assert json.load(file)["num_hidden_layers"] == 1
with open(MODEL + "/config.json", encoding="utf-8") as file:
    vocabulary = json.load(file)["vocab_size"]
assert len(tokens("draft")) == len(set(tokens("draft"))) == 12
assert first["steps"] == 60 and first["tokens"] > 60 * 16 and 0 < first["held_out_agreement"] <= 1, first
out, _ = hone("generate", "--model", "draft", "--prompt", PROMPTS[0], "--max_new_tokens", 8)
assert json.loads(out)["tokens"]

# Threads change nothing.
second = distill("again", "--steps", 60, "--head_tokens", 12, "--learning_rate", 3e-3, "--threads", 1)
for name in ("model.safetensors", "draft_tokens.json", "config.json"):
    assert sha256("draft/" + name) == sha256("again/" + name), name
assert {**first, "seconds": 0} == {**second, "seconds": 0}

# More tokens than there are take all, and learning helps on answers that were not learnt from.
untrained = distill("untrained", "--steps", 1, "--learning_rate", 0)
trained = distill("trained", "--steps", 200, "--learning_rate", 3e-3)
assert sorted(tokens("trained")) == list(range(vocabulary)) and tokens("trained")[:12] == tokens("draft")
assert trained["held_out_agreement"] > untrained["held_out_agreement"] + 0.05, (trained, untrained)

# An interruption keeps what was learnt; one that comes before the first step leaves nothing, and is tried again later.
for delay_s in (2, 8, 30):
    process = subprocess.Popen([HONE, *map(str, DISTILL), "--output", "stopped", "--steps", "1000000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    if out:
        break
    assert not os.path.exists("stopped")
assert process.returncode == 1 and "interrupted after" in error, error
assert 0 < json.loads(out.splitlines()[-1])["steps"] < 1000000
hone("generate", "--model", "stopped", "--prompt", PROMPTS[0], "--max_new_tokens", 2)
print(first, untrained, trained, sep="\n")
