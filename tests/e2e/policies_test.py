"""What to sample and what to keep: curricula, gates, groups that wait, shapers and composers survive kill -9 to the same bytes, and a damaged
buffer is one clear line."""
# ctest: TIMEOUT 600
import json
import math
import os
import shutil

from hone_cli import checkpoints, hone, lines, newest, same_run, train, train_killed

COMMON = ("stage[0].steps=60", "stage[1].steps=16", "stage[1].checkpoint_every=3", "stage[1].evaluate_every=0", "evaluation.prompts=0",
          "task=countdown(numbers=2, high=9, target_high=30, problems=40)", "stage[1].prompts_per_step=8")
VARIANTS = {
    "memory": ("stage[1].curriculum=pass_rate(candidates=2)", "stage[1].gate=difficulty(low=0.4, high=1, max_rounds=3)",
               "stage[1].max_staleness=2", "stage[1].composer=replay(samples=2)", "stage[1].shaper[0]=length_reward(weight=0.1)"),
    "predicted": ("stage[1].curriculum=prompt_curriculum(candidates=2)", "stage[1].composer=rorecomp(buffer=60)",
                  "stage[1].shaper[0]=overlong(buffer=4)", "stage[1].shaper[1]=truncation(easy_tokens=4)"),
    "extra": ("stage[1].curriculum=dars(max_samples=13)", "stage[1].composer=shuffle_r1", "stage[1].gate=dynamic_sampling(max_rounds=3)"),
    "branched": ("stage[1].curriculum=attention_branch(distance=1)", "stage[1].advantage=tree", "stage[1].gate=dynamic_sampling(max_rounds=2)",
                 "stage[1].max_staleness=1"),
}
STATE = {"memory": {"curriculum.json", "composer.groups", "waiting.groups"},
         "predicted": {"prompt_value", "composer.groups"}, "extra": set(), "branched": {"curriculum.json", "waiting.groups"}}

for name, sets in VARIANTS.items():
    shutil.rmtree(name, ignore_errors=True)
    train(name, *COMMON, *sets)
    same_run(train_killed(name + "_killed", *COMMON, *sets, at=(63, 67, 72)), name)
    state = set(os.listdir(f"{name}/checkpoints/{checkpoints(name)[2]}/state"))
    assert STATE[name] <= state, state
    steps = [row for row in lines(name + "/metrics.jsonl") if row["stage"] == "rl"]
    assert not any(row.get("mismatch/logprob_abs_max", 0) for row in steps)
    if name == "memory":
        assert any(row["gate/waiting"] > 0 for row in steps) and any(row["staleness/max"] > 0 for row in steps)
        assert any(row["composer/replayed"] > 0 for row in steps) and steps[0]["composer/replayed"] == 0
        assert all(row["gate/rounds"] <= 3 for row in steps)
    if name == "predicted":
        assert any("curriculum/value_loss" in row for row in steps)
        assert any(row["composer/buffer"] > 0 for row in steps) and any(row["staleness/max"] > 0 for row in steps)
    if name == "branched":
        assert all(row["sample/count"] > 64 for row in steps), "eight prompts, eight answers each, and what goes on from them"
    if name == "extra":
        assert any(row["sample/count"] % 8 for row in steps), "hard prompts get odd numbers of samples"
        assert any(row["gate/missing"] > 0 for row in steps) and all(row["gate/rounds"] <= 3 for row in steps)
        said = open(name + "/log.txt", encoding="utf-8").read()
        assert 1 <= len([line for line in said.splitlines() if ": the gate kept fewer than prompts_per_step 8 groups in up to 3 rounds" in line]) <= 2, said

# A composer's second batches are updates that no schedule counts.
shutil.rmtree("twice", ignore_errors=True)
train("twice", *COMMON, "stage[1].composer=rorecomp(buffer=20)", "stage[1].schedule=cosine")
with open(f"twice/checkpoints/{checkpoints('twice')[-2]}/state/run.json", encoding="utf-8") as file:
    state = json.load(file)
assert 0 < state["extra_updates"] < state["optimizer_steps"] and state["optimizer_steps"] - state["extra_updates"] <= 2 * state["stage_step"], state
rates = [row["policy/learning_rate"] for row in lines("twice/metrics.jsonl") if row["stage"] == "rl" and "policy/learning_rate" in row]
# Of 32 steps of the schedule so many are done: no rate lies beyond them.
least = 1e-3 * (1 + math.cos(math.pi * (state["optimizer_steps"] - state["extra_updates"] + 1) / 32)) / 2
assert min(rates[:-1]) >= least - 1e-9, (least, rates)

# A damaged buffer is refused in one line that names the file. The newest checkpoint of a run that is cut off holds one.
damaged = "memory_killed"
shutil.rmtree(damaged)
shutil.copytree("memory", damaged)
last = checkpoints(damaged)[-1]
shutil.rmtree(f"{damaged}/checkpoints/{last}")
for file in ("composer.groups", "waiting.groups"):
    path = f"{newest(damaged)}/state/{file}"
    whole = open(path, "rb").read()
    for content, words in ((whole[:-3], "cut short"), (whole[:-1] + bytes([whole[-1] ^ 1]), "cut short or changed"), (b"", "not a file of groups")):
        open(path, "wb").write(content)
        errors = hone("resume", damaged, status=2)[1].strip().splitlines()[-1]
        assert file in errors and words in errors and "earlier checkpoint" in errors, errors
    open(path, "wb").write(whole)

# An earlier run's answers as a file.
hone("eval", "--model", newest("memory"), "--task", "countdown(numbers=2, high=9, target_high=30, problems=40)", "--split", "train", "--n", "8",
     "--limit", "40", "--output", "pool.jsonl")
right = sum(line["score"] == 1 for line in lines("pool.jsonl"))
assert right > 0
shutil.rmtree("replayed", ignore_errors=True)
train("replayed", *COMMON, "stage[1].composer=replay(path=pool.jsonl, collect=false)")
steps = [row for row in lines("replayed/metrics.jsonl") if row["stage"] == "rl"]
assert steps[0]["composer/replayed"] > 0 and steps[0]["composer/pool"] == steps[-1]["composer/pool"] <= right
with open("broken.jsonl", "w", encoding="utf-8") as file:
    file.write('{"prompt_tokens": [1], "tokens": [2], "logprobs": [], "score": 1}\n')
errors = hone("train", os.path.join(os.environ["HONE_SOURCE"], "tests/e2e/tiny.textproto"), "--set", "stage[1].composer=replay(path=broken.jsonl)",
              "--out", "never", status=2)[1]
assert "broken.jsonl:1" in errors and "'logprobs' is not a list of logarithms of probabilities as long as 'tokens'" in errors, errors
