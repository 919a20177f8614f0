"""Prompts of reasoning-gym (pip install reasoning-gym) as lines for the task jsonl:

  python3 reasoning_gym_prompts.py COUNT TASK[:OPTION=NUMBER...]... > prompts.jsonl       such as chain_sum:max_terms=2:max_digits=1
"""
import json
import sys

import reasoning_gym

for task in sys.argv[2:]:
    name, *options = task.split(":")
    options = {key: int(value) for key, value in (option.split("=") for option in options)}
    for entry in reasoning_gym.create_dataset(name, size=int(sys.argv[1]), seed=1, **options):
        print(json.dumps({"prompt": entry["question"] + "\n", "answer": entry["answer"], "metadata": entry}, default=str))
