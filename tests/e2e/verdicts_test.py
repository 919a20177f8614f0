"""A run whose verifier fails stops before it learns from what is left, and goes on as if nothing had happened once that is mended."""
import os
import sys
import tempfile

from hone_cli import checkpoints, hone, lines, metrics_without_timings, newest, sha256, TINY

VERIFIER = """
import json, os, sys
for number, line in enumerate(sys.stdin):
    sample = json.loads(line)
    if number >= 150 and os.path.exists("broken"):
        print(json.dumps({"id": sample["id"], "error": "the licence is gone"}), flush=True)
    else:
        print(json.dumps({"id": sample["id"], "score": float(len(sample["completion"]) % 2)}), flush=True)
"""


def train(folder, verifier, *sets, status=0):
    options = [option for item in (f"verifier={verifier}", "stage[1].steps=8", "evaluation.prompts=0", *sets) for option in ("--set", item)]
    return hone("train", TINY, "--out", folder, *options, status=status)


def test_stops_and_goes_on():
    with open("verifier.py", "w", encoding="utf-8") as file:
        file.write(VERIFIER)
    verifier = f"process(command='{sys.executable} verifier.py', workers=1)"
    train("undisturbed", verifier)

    with open("broken", "w", encoding="utf-8"):
        pass
    _, said = train("stopped", verifier, status=1)
    last = said.strip().splitlines()[-1]
    for part in ("of 128 samples have no verdict, max_no_verdict is 0.05", "times: the verifier says: the licence is gone", "hone resume"):
        assert part in last, last
    done = len(lines("stopped/metrics.jsonl"))
    assert 120 < done < 128, done  # in the middle of the RL stage
    assert checkpoints("stopped")[-1] == f"step_{done:06}", checkpoints("stopped")  # no step is lost
    assert f"step {done + 1}:" in last, last

    os.remove("broken")
    hone("resume", "stopped")
    assert metrics_without_timings("stopped") == metrics_without_timings("undisturbed")
    assert sha256(f"{newest('stopped')}/model.safetensors") == sha256(f"{newest('undisturbed')}/model.safetensors")


def test_a_larger_share_may_be_allowed():
    with open("broken", "w", encoding="utf-8"):
        pass
    train("allowed", f"process(command='{sys.executable} verifier.py', workers=1)", "max_no_verdict=1")
    rows = lines("allowed/metrics.jsonl")[120:]
    assert rows[-1]["verdict/none"] == 1 and "reward/mean" not in rows[-1], rows[-1]
    assert rows[-1]["group/no_signal"] == "no_verdicts" and rows[-1]["group/trained"] == 0, rows[-1]
    assert 0 < max(row["verdict/none"] for row in rows[:-1])


def test_names_why_nothing_is_learnt():
    _, said = train("solved", "length(max=1000)")
    rows = lines("solved/metrics.jsonl")[120:]
    assert [row["group/no_signal"] for row in rows] == ["all_solved"] * 8, rows
    assert said.count("nothing to learn from: every answer is right") == 1, said


with tempfile.TemporaryDirectory(dir=".") as scratch:
    os.chdir(scratch)
    test_stops_and_goes_on()
    test_a_larger_share_may_be_allowed()
    test_names_why_nothing_is_learnt()
    os.chdir("..")
