"""Preference training from end to end: pairs of a file (recipes/dpo.textproto), pairs of the policy's own samples (recipes/dno.textproto), and
ReST (recipes/rest.textproto), at tiny sizes. Killed and resumed they give the same bytes; bad pairs are refused by line before the first step.
"""
# ctest: TIMEOUT 600
import json
import math
import os
import shutil
import subprocess
import sys

from hone_cli import SOURCE, hone, lines, newest, same_run, train, train_killed

TASK = "task=countdown(numbers=2, high=9, target_high=30)"
SIZES = ["model.tokenizer=sentencepiece(model_type=char)", "model.hidden_size=32", "model.intermediate_size=64", "model.layers=2",
         "model.heads=4", "model.kv_heads=2", "model.max_position_embeddings=48", "stage[0].steps=60", "stage[0].batch_size=32",
         "stage[0].learning_rate=1e-2", "stage[0].schedule=cosine(warmup_steps=5)", "evaluation.prompts=64", "threads=2", TASK]


def recipe(name):
    return os.path.join(SOURCE, "recipes", name + ".textproto")


def steps(folder, stage):
    return [row for row in lines(folder + "/metrics.jsonl") if row["stage"] == stage]


def check_dpo():
    # The start: a run whose samples give the pairs.
    train("start", "stage[0].steps=100", "stage[1].steps=12", "stage[1].learning_rate=1e-9", "stage[1].samples_every=1", "evaluation.prompts=0")
    samples = [os.path.join("start/samples", name) for name in sorted(os.listdir("start/samples"))]
    pairs = subprocess.run([sys.executable, os.path.join(SOURCE, "tools/pairs_from_samples.py"), *samples], check=True, capture_output=True,
                           text=True).stdout
    count = pairs.count("\n")
    assert count >= 64, count
    with open("pairs.jsonl", "w", encoding="utf-8") as file:
        file.write(pairs)
    sets = [TASK, "model.path=" + newest("start"), "stage[0].batch_size=16", "stage[0].epochs=4", "stage[0].learning_rate=2e-3",
            "stage[0].checkpoint_every=5", "evaluation.prompts=64", "threads=2"]
    train("dpo", *sets, recipe=recipe("dpo"))
    rows = steps("dpo", "preference")
    assert len(rows) == 4 * count // 16 and "steps: %d" % len(rows) in open("dpo/recipe.textproto", encoding="utf-8").read()
    # Before the first update policy and reference have the same bits: no rewards, and a loss of log 2 to the last digit of float32.
    first, last = rows[0], rows[-1]
    assert first["preference/margin"] == first["preference/reward_chosen"] == first["policy/kl_ref"] == 0, first
    assert abs(first["policy/loss"] - math.log(2)) < 1e-6, first
    assert last["policy/loss"] < 0.6 and last["preference/accuracy"] > 0.8 and last["preference/margin"] > 0.2, last
    assert last["preference/reward_chosen"] - last["preference/reward_rejected"] - last["preference/margin"] < 1e-9
    for loss in ("ipo", "hinge", "simpo", "kto"):
        train(loss, *sets, f"stage[0].loss={loss}", "stage[0].batch_size=32", recipe=recipe("dpo"))
        rows = steps(loss, "preference")
        assert rows[-1]["policy/loss"] < rows[0]["policy/loss"], (loss, rows[0], rows[-1])
        assert ("preference/kl" in rows[0]) == (loss == "kto") and ("time/reference_s" in rows[0]) == (loss != "simpo"), rows[0]
    same_run(train_killed("dpo_killed", *sets, at=[7], recipe=recipe("dpo")), "dpo")
    print("dpo:", count, "pairs, loss", first["policy/loss"], "to", last["policy/loss"], "accuracy", last["preference/accuracy"], "margin",
          last["preference/margin"])


def check_dno():
    sets = SIZES + ["stage[dno].steps=24", "stage[dno].prompts_per_step=32", "stage[dno].max_new_tokens=10", "stage[dno].learning_rate=1e-3",
                    "stage[dno].checkpoint_every=4", "stage[dno].minibatches=2", "stage[dno].evaluate_every=0"]
    train("dno", *sets, recipe=recipe("dno"))
    rows = steps("dno", "dno")
    assert len(rows) == 24
    for row in rows:
        assert 0 <= row["preference/no_pair"] < 1 and row["preference/no_pair"] + row["group/trained"] == 1, row
        assert row["preference/pairs"] == 32 * row["group/trained"] and row["mismatch/logprob_abs_max"] == 0, row
        assert "policy/kl_ref" not in row, row
    reward = [sum(row["reward/mean"] for row in part) / 4 for part in (rows[:4], rows[-4:])]
    assert reward[1] > reward[0] + 0.1, reward
    same_run(train_killed("dno_killed", *sets, at=[70], recipe=recipe("dno")), "dno")
    # Online DPO and KTO: the same stage with a frozen reference, and pairs of any two.
    for loss in ("dpo", "kto"):
        few = SIZES + ["stage[dno].steps=3", "stage[dno].schedule=constant", "stage[dno].prompts_per_step=8", "stage[dno].minibatches=2",
                       "stage[dno].max_new_tokens=10", "stage[dno].pairs=all(margin=0.5)", f"stage[dno].loss={loss}", "evaluation.prompts=0"]
        train("online_" + loss, *few, recipe=recipe("dno"))
        for row in steps("online_" + loss, "dno"):
            assert row["preference/pairs"] > 8 and row["policy/kl_ref"] >= 0 and row["mismatch/logprob_abs_max"] == 0, row
    print("dno: mean reward of four steps", reward[0], "to", reward[1])


def check_rest():
    sets = SIZES + ["stage[rest].steps=12", "stage[rest].prompts_per_step=64", "stage[rest].max_new_tokens=10", "stage[rest].learning_rate=1e-3",
                    "stage[rest].checkpoint_every=4", "stage[rest].evaluate_every=0",
                    "verifier=sum(countdown=0.9, short=length(unit=characters, target=3, max=8, weight=0.1))"]
    train("rest", *sets, recipe=recipe("rest"))
    rows = steps("rest", "rest")
    thresholds = [row["keep/threshold"] for row in rows]
    assert thresholds[0] == 0 and thresholds[-1] == 0.99 and thresholds == sorted(thresholds), thresholds
    kept = [row["keep/fraction"] for row in rows]
    assert 0 < kept[-1] < kept[0] <= 1, kept  # first whatever earned anything, at last only what is right
    reward = [row["reward/mean"] for row in rows]
    assert sum(reward[-3:]) / 3 > sum(reward[:3]) / 3 + 0.03, reward
    assert all(row["mismatch/logprob_abs_max"] == 0 for row in rows)
    same_run(train_killed("rest_killed", *sets, at=[66], recipe=recipe("rest")), "rest")
    print("rest: kept", kept[0], "to", kept[-1], "mean reward", sum(reward[:3]) / 3, "to", sum(reward[-3:]) / 3)


def check_refusals():
    good = {"prompt": "1 2:3=", "chosen": "1+2", "rejected": "2-1"}
    common = ["--set", TASK, "--set", "model.path=" + newest("start"), "--set", "stage[0].data=bad.jsonl",
              "--set", "stage[0].batch_size=2", "--set", "stage[0].schedule=constant",
              "--set", "evaluation.prompts=0"]
    for line, wanted in (({"prompt": "1 2:3=", "chosen": "1+2"}, "bad.jsonl:2: has no 'rejected' answer"),
                         ({**good, "rejected": "1+2"}, "bad.jsonl:2: 'chosen' and 'rejected' are equal"),
                         ({**good, "chosen": ""}, "bad.jsonl:2: 'chosen' is empty"),
                         ({**good, "chosen": "1+2" * 20}, "bad.jsonl:2: prompt and answer are 68 tokens, more than the model's 48 positions")):
        with open("bad.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in (good, line, good))
        shutil.rmtree("refused", ignore_errors=True)
        _, errors = hone("train", recipe("dpo"), "--out", "refused", *common, status=2)
        assert wanted in errors and errors.count("\n") == 1 and len(errors) <= 400, errors
        assert not os.path.exists("refused/metrics.jsonl")
    with open("bad.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(good) + "\n" for _ in range(3))
    _, errors = hone("train", recipe("dpo"), "--out", "refused_too", *common, "--set", "stage[0].batch_size=4", status=2)
    assert "'batch_size' is 4, but bad.jsonl holds 3 pairs, so that an epoch has 0 steps; wanted at most 3" in errors, errors
    assert not os.path.exists("refused_too")


for name in ("start", "dpo", "dpo_killed", "ipo", "hinge", "simpo", "kto", "dno", "dno_killed", "online_dpo", "online_kto", "rest", "rest_killed",
             "refused_too"):
    shutil.rmtree(name, ignore_errors=True)
check_dpo()
check_refusals()
check_dno()
check_rest()
