"""Speculation changes times and no byte: generated files for every drafter, temperature and batch, and whole RL runs.

  python3 tests/e2e/speculation_test.py MODEL DRAFT PROMPTS [N]    (HONE_BINARY, HONE_SOURCE set) compares on other folders, 12 tokens a sample
"""
import itertools
import json
import os
import re
import shutil
import sys

from hone_cli import hone, lines, metrics_without_timings, newest, sha256, train

DRAFTERS = ("ngram(shortest=1)", "history", "auto", 'draft_model(path="%s")')


def generate(model, drafter, prompts, n, tokens, output, *options):
    """The bytes written, drafted tokens and accepted ones."""
    _, log = hone("generate", "--model", model, "--prompts", prompts, "--n", n, "--max_new_tokens", tokens, "--seed", 3, "--logprobs", "--stats",
                  "--check_every_draft", "--drafter", drafter, "--output", output, *options)
    drafts = re.search(r"(\d+) of (\d+) drafted", log)
    with open(output, "rb") as file:
        return file.read(), int(drafts[2]) if drafts else 0, int(drafts[1]) if drafts else 0


def compare(model, draft, prompts, n, tokens, batches=(1, 8, 64)):
    sums = dict.fromkeys(DRAFTERS, (0, 0))
    for temperature in (0, 0.7, 1):
        options = ("--temperature", temperature, *(("--top_p", 0.9) if temperature == 0.7 else ()))
        plain, _, _ = generate(model, "none", prompts, n, tokens, "plain.jsonl", *options)
        samples = plain.count(b"\n")
        for drafter, batch in itertools.product(DRAFTERS, batches):
            same, drafted, accepted = generate(model, drafter.replace("%s", draft), prompts, n, tokens, "drafted.jsonl", "--batch", batch, *options)
            assert same == plain, f"{drafter}, temperature {temperature}, batch {batch}: another answer"
            sums[drafter] = (sums[drafter][0] + drafted, sums[drafter][1] + accepted)
    for drafter, (drafted, accepted) in sums.items():
        assert drafted > 0, f"{drafter} drafted nothing"
        print(f"{drafter}: {samples} samples, 3 temperatures, batches {batches}: the same bytes; {accepted} of {drafted} drafted tokens accepted")


if len(sys.argv) > 1:
    compare(*sys.argv[1:4], int((sys.argv[4:] or [1])[0]), 12)
    sys.exit()

for name in ("run", "draft", "none", "auto", "frozen", "upkeep"):
    shutil.rmtree(name, ignore_errors=True)
TASK = "task=countdown(numbers=2, high=9, target_high=30, problems=32)"  # problems that return; the tokenizer is made from their text
train("run", TASK, "stage[1].steps=2", "evaluation.prompts=4")
model = newest("run")
with open("prompts.jsonl", "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"prompt": f"{i % 9 + 1} {i % 7 + 1}:{i % 11 + 2}="}) + "\n" for i in range(60))
hone("distill", "--model", model, "--prompts", "prompts.jsonl", "--layers", 1, "--samples", 4, "--max_new_tokens", 12, "--steps", 80,
     "--learning_rate", 3e-3, "--output", "draft")
compare(model, os.path.abspath("draft"), "prompts.jsonl", 4, 12)

# Whole runs over problems that return: the same metrics but for times, the same checkpoints.
DRAFT = os.path.abspath("draft")
RUNS = {
    "none": "none",
    "auto": "auto",
    "frozen": f'draft_model(path="{DRAFT}")',
    "upkeep": f'draft_model(path="{DRAFT}", distill=true, reward_weighted=true)',
}
for name, drafter in RUNS.items():
    train(name, f"drafter={drafter}", TASK)


plain = metrics_without_timings("none")
for name in RUNS:
    assert metrics_without_timings(name) == plain, f"{name}: other metrics"
    assert sha256(newest(name) + "/model.safetensors") == sha256(newest("none") + "/model.safetensors"), name
rows = [row for row in lines("upkeep/metrics.jsonl") if "drafter/distill_loss" in row]
assert len(rows) > 10, "the draft model was hardly ever distilled"
assert rows[-1]["drafter/distill_loss"] < rows[0]["drafter/distill_loss"], rows
print("four runs, the same metrics and weights; distillation loss", rows[0]["drafter/distill_loss"], "to", rows[-1]["drafter/distill_loss"])
