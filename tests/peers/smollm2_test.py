# ctest: TIMEOUT 900
"""SmolLM2-135M-Instruct (tools/get_smollm2.sh): log-probabilities and greedy answers are transformers', and the trainer's pass gives
back the bytes of what was sampled, at every batch and with samples preempted.

  SMOLLM2_SAMPLES=160      samples of up to 64 tokens for the second part, default 40
"""
import os
import re
import subprocess
import sys

SOURCE = os.environ["HONE_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests/e2e"))
from hone_cli import hone  # noqa: E402

FOLDER, NEW_TOKENS = os.path.join(SOURCE, ".deps/smollm2"), 64
SAMPLES = int(os.environ.get("SMOLLM2_SAMPLES", 40))
# Megabytes for keys and values: a sequence takes up to 8 pages of 16 tokens, 0.7 MB each.
BUDGETS = {1: 6, 7: 20, 64: 22}

with open("prompts.jsonl", "w", encoding="utf-8") as file:
    for i in range(SAMPLES // 4):
        file.write('{"prompt": "Question %d: how much is %d plus %d, and why? Answer:"}\n' % (i, i * 7, 100 - i))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sample(batch, kv_mb, output):
    """The preemptions that it took."""
    _, log = hone("generate", "--model", FOLDER, "--prompts", "prompts.jsonl", "--n", 4, "--max_new_tokens", NEW_TOKENS, "--logprobs", "--stats",
                  "--batch", batch, "--kv_mb", kv_mb, "--output", output)
    return int(re.search(r"(\d+) preemptions", log)[1])


subprocess.run([sys.executable, os.path.join(SOURCE, "tests/peers/families_test.py"), FOLDER], check=True)
assert sample(64, 2000, "plain.jsonl") == 0
hone("logprobs", "--model", FOLDER, "--input", "plain.jsonl", "--output", "scored.jsonl")
assert read("scored.jsonl") == read("plain.jsonl"), "the trainer's log-probabilities are others"
for batch, kv_mb in BUDGETS.items():
    preemptions = sample(batch, kv_mb, "tight.jsonl")
    assert read("tight.jsonl") == read("plain.jsonl"), f"batch {batch} with {kv_mb} MB changed an answer"
    assert batch == 1 or preemptions > 0, f"batch {batch}: {kv_mb} MB are too much to force a preemption"
    print(f"batch {batch}, {kv_mb} MB: {preemptions} preemptions, the bytes of {SAMPLES} samples are the same")
