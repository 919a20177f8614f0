"""Scores answers to reasoning-gym's tasks with its own rules: process(command="python3 reasoning_gym_verifier.py").

The prompts come from reasoning_gym_prompts.py, which puts reasoning-gym's whole entry into the metadata.
"""
import functools
import json
import sys

import reasoning_gym

scorer = functools.cache(reasoning_gym.get_score_answer_fn)  # makes a data set each time

for line in sys.stdin:
    question = json.loads(line)
    entry = question["metadata"]
    try:
        score = scorer(entry["metadata"]["source_dataset"])(answer=question["completion"].strip(), entry=entry)
        verdict = {"id": question["id"], "score": float(score)}
    except Exception as error:
        verdict = {"id": question["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(verdict), flush=True)
