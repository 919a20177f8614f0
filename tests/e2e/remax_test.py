"""ReMax: one greedy answer a prompt beside the samples is the baseline, is verified, and trains nothing; one sample a prompt is enough."""
import json
import os
import shutil
import sys

from hone_cli import TINY, hone, lines, same_run, train, train_killed

SETS = ("stage[0].steps=60", "stage[1].advantage=remax", "stage[1].samples_per_prompt=1", "stage[1].steps=12",
        "stage[1].checkpoint_every=3", "stage[1].samples_every=1", "stage[1].evaluate_every=0", "evaluation.prompts=0")

for name in ("first", "no_verdicts"):
    shutil.rmtree(name, ignore_errors=True)

train("first", *SETS)
rl = [row for row in lines("first/metrics.jsonl") if row["stage"] == "rl"]
assert len(rl) == 12 and all(row["greedy/verdict_none"] == 0 for row in rl)
assert all(row.get("mismatch/logprob_abs_max", 0) == 0 for row in rl)
trained = 0
for row in rl:
    samples = lines(f"first/samples/step_{row['step']:06d}.jsonl")
    assert len(samples) == 32, len(samples)
    for sample, greedy in zip(samples[::2], samples[1::2]):
        assert sample["prompt_key"] == greedy["prompt_key"] and greedy["greedy"] and "greedy" not in sample
        assert "advantage" not in greedy
        assert abs(sample["advantage"] - (sample["score"] - greedy["score"])) < 1e-6
    greedy = [line["score"] for line in samples[1::2]]
    assert abs(row["greedy/reward_mean"] - sum(greedy) / 16) < 1e-9
    share = sum(line["advantage"] != 0 for line in samples[::2]) / 16
    assert row["group/trained"] == share and "group/zero_variance" not in row
    trained += share > 0
assert trained > 6, "hardly a step had something to learn from"

# Killed and resumed, it is the same run.
same_run(train_killed("killed", *SETS, at=[67]), "first")

# Without verdicts on the greedy answers (here on any) nothing is trained, and the run says why.
with open("verifier.py", "w", encoding="utf-8") as file:
    file.write("""import json, sys
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "error": "no idea"}), flush=True)
""")
_, errors = hone("train", TINY, "--out", "no_verdicts", *[part for each in SETS for part in ("--set", each)],
                 "--set", f'verifier=process(command="{sys.executable} {os.path.abspath("verifier.py")}")',
                 "--set", "max_no_verdict=1", "--set", "stage[1].steps=2")
rows = [row for row in lines("no_verdicts/metrics.jsonl") if row["stage"] == "rl"]
assert all(row["group/trained"] == 0 and row["greedy/verdict_none"] == 1 for row in rows), rows
assert "nothing to learn from" in errors, errors
print(json.dumps({"steps": len(rl), "steps that trained": trained}))
