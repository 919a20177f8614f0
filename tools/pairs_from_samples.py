#!/usr/bin/env python3
"""Pairs for a PREFERENCE stage from scored answers: of each prompt the best against the worst, where their scores differ.

    tools/pairs_from_samples.py runs/quickstart/samples/*.jsonl > pairs.jsonl

Reads lines with "prompt", "completion" and "score", as a run's samples and `hone score` have them. Answers without a verdict (score null) and
empty ones are left out.
"""
import json
import sys


def main(paths):
    groups = {}  # prompt -> [(score, completion)], in the order of the files
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if row["score"] is not None and row["completion"]:
                    groups.setdefault(row["prompt"], []).append((row["score"], row["completion"]))
    for prompt, answers in groups.items():
        best, worst = max(answers, key=lambda answer: answer[0]), min(answers, key=lambda answer: answer[0])
        if best[0] > worst[0]:
            print(json.dumps({"prompt": prompt, "chosen": best[1], "rejected": worst[1]}, ensure_ascii=False))


main(sys.argv[1:])
