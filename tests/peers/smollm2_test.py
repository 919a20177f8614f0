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
from hone_cli import hone, lines  # noqa: E402

FOLDER, NEW_TOKENS = os.path.join(SOURCE, ".deps/smollm2"), 64
SAMPLES = int(os.environ.get("SMOLLM2_SAMPLES", 24))
# Megabytes for keys and values: a sequence takes up to 8 pages of 16 tokens, 0.7 MB each.
BUDGETS = {1: 6, 7: 20, 64: 22}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sample(batch, kv_mb, output):
    """The preemptions that it took."""
    _, log = hone("generate", "--model", FOLDER, "--prompts", "stories.jsonl", "--n", 4, "--max_new_tokens", NEW_TOKENS, "--logprobs", "--stats",
                  "--batch", batch, "--kv_mb", kv_mb, "--output", output)
    return int(re.search(r"(\d+) preemptions", log)[1])


subprocess.run([sys.executable, os.path.join(SOURCE, "tests/peers/families_test.py"), FOLDER], check=True)
with open("stories.jsonl", "w", encoding="utf-8") as file:
    for i in range(SAMPLES // 4):
        file.write('{"prompt": "Once upon a time %d cats and %d dogs lived in a house by the sea."}\n' % (i, 100 - i))
assert sample(64, 2000, "plain.jsonl") == 0
hone("logprobs", "--model", FOLDER, "--input", "plain.jsonl", "--output", "scored.jsonl")
assert read("scored.jsonl") == read("plain.jsonl"), "the trainer's log-probabilities are others"
TOKENS = sum(len(row["tokens"]) for row in lines("plain.jsonl"))
assert TOKENS >= SAMPLES * NEW_TOKENS // 2, TOKENS
for batch, kv_mb in BUDGETS.items():
    preemptions = sample(batch, kv_mb, "tight.jsonl")
    assert read("tight.jsonl") == read("plain.jsonl"), f"batch {batch} with {kv_mb} MB changed an answer"
    assert batch == 1 or preemptions > 0, f"batch {batch}: {kv_mb} MB are too much to force a preemption"
    print(f"batch {batch}, {kv_mb} MB: {preemptions} preemptions, the bytes of {TOKENS} tokens are the same", flush=True)

# Speculation: the same bytes, and a draft model that is the policy itself is always right.
_, log = hone("generate", "--model", FOLDER, "--prompts", "stories.jsonl", "--n", 4, "--max_new_tokens", NEW_TOKENS, "--logprobs", "--stats",
              "--batch", 7, "--drafter", "auto", "--check_every_draft", "--output", "drafted.jsonl")
assert read("drafted.jsonl") == read("plain.jsonl"), "a drafter changed an answer"
print(re.search(r"[1-9]\d* of \d+ drafted tokens accepted", log)[0], flush=True)
subprocess.run([os.path.join(os.environ["HONE_BUILD"], "tests/engine/speculation_test"), "--gtest_filter=*ADraftModel*"], check=True,
               env={**os.environ, "HONE_SPECULATION_MODEL": FOLDER})
