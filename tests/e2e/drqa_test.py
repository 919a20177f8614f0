"""Quota preference pairs: what a batch answers briefly and rightly is preferred to what is said at length alone."""
import json
import os
import shutil
import subprocess
import sys

from hone_cli import SOURCE, hone, lines, newest, train


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def question(text, answer):
    return {"prompt": text, "answer": answer}


first, second = question("1+1=", "2"), question("2+2=", "4")
write("batched.jsonl", [
    {"prompt": "1+1=|2+2=", "completion": "2 | it is 4", "metadata": {"questions": [first, second]}},
    {"prompt": "1+1=|2+2=", "completion": "so 2|4", "metadata": {"questions": [first, second]}},
    {"prompt": "1+1=|2+2=", "completion": "2", "metadata": {"questions": [first, second]}}])  # one answer to two questions
write("single.jsonl", [
    {"prompt": "1+1=", "completion": "well, 2", "score": 1}, {"prompt": "1+1=", "completion": "well, it must be 2", "score": 1},
    {"prompt": "1+1=", "completion": "3", "score": 0}, {"prompt": "2+2=", "completion": "5", "score": 0}, {"prompt": "2+2=", "completion": "4", "score": 1},
    {"prompt": "3+3=", "completion": "6", "score": 1}])
script = [sys.executable, os.path.join(SOURCE, "tools/drqa_pairs.py"), "--single", "single.jsonl", "--batched", "batched.jsonl"]
done = subprocess.run([*script, "--verifier", "regex(pattern='([0-9]+)$')"], capture_output=True, text=True)
assert done.returncode == 0, done.stderr
assert [json.loads(line) for line in done.stdout.splitlines()] == [
    {"prompt": "1+1=", "chosen": "2", "rejected": "well, it must be 2"}, {"prompt": "2+2=", "chosen": "4", "rejected": "5"}], done.stdout
done = subprocess.run([*script, "--verifier", "exakt"], capture_output=True, text=True)
assert done.returncode == 1 and "exakt" in done.stderr and "Traceback" not in done.stderr, done.stderr

# The output of hone eval is what the script reads.
shutil.rmtree("model", ignore_errors=True)
train("model", "stage[0].steps=40", "stage[1].steps=1", "evaluation.prompts=0")
task = "countdown(numbers=2, high=9, target_high=30)"
for name, spec, limit in (("single", task, 20), ("batched", f'batched(task="{task}", questions=2)', 10)):
    hone("eval", "--model", newest("model"), "--task", spec, "--split", "train", "--n", "2", "--limit", limit, "--output", name + ".jsonl")
assert {line["prompt"] for line in lines("single.jsonl")} == {q["prompt"] for line in lines("batched.jsonl") for q in line["metadata"]["questions"]}
done = subprocess.run([*script, "--verifier", "countdown"], capture_output=True, text=True)
assert done.returncode == 0, done.stderr
