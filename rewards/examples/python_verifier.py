"""A verifier in Python: 1 when the last number of the answer is the wanted one.

    hone score --verifier 'process(command="python3 rewards/examples/python_verifier.py")' --input answers.jsonl
"""
import json
import re
import sys

for line in sys.stdin:
    sample = json.loads(line)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", sample["completion"])
    verdict = {"id": sample["id"]}
    if not sample["answer"]:
        verdict["error"] = "the line has no answer to compare with"
    elif not numbers:
        verdict.update(score=0, reason="no number", parts={"number": 0})
    else:
        verdict.update(score=float(numbers[-1] == sample["answer"]), reason="says " + numbers[-1], parts={"number": 1})
    print(json.dumps(verdict), flush=True)
