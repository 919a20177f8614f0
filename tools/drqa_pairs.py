"""Quota preference data of DRQA, https://arxiv.org/abs/2508.17803: asked several questions at once a model says less about each; where that suffices, it is to
say no more when asked alone.

  hone eval --model M --task 'countdown(...)' --split train --n 4 --limit 1000 --output single.jsonl
  hone eval --model M --task 'batched(task="countdown(...)", questions=2)' --split train --n 4 --limit 500 --output batched.jsonl
  python3 tools/drqa_pairs.py --single single.jsonl --batched batched.jsonl --verifier countdown > pairs.jsonl
  hone train recipes/dpo.textproto --set stage[0].data=pairs.jsonl --set model.path=M

Of each question the shortest right answer from a batch is chosen; rejected is the longest answer to the question alone that is right and longer, else a wrong
one. Questions without both give no pair. (The paper trains a judge of such answers with GRPO; the preference is learnt directly here.)
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HONE = os.environ.get("HONE_BINARY", os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build/hone"))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--single", required=True, help="output of hone eval on the task")
parser.add_argument("--batched", required=True, help="output of hone eval on batched(task=...)")
parser.add_argument("--verifier", required=True, help="of one question")
parser.add_argument("--separator", default="|")
arguments = parser.parse_args()


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scored(answers):
    """Lines with "score" by the verifier of one question."""
    if not answers:
        print(f"drqa_pairs: {arguments.batched}: no text holds as many answers as questions, between '{arguments.separator}'", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/answers.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(answer) + "\n" for answer in answers)
        command = [HONE, "score", "--verifier", arguments.verifier, "--input", folder + "/answers.jsonl", "--output", folder + "/scored.jsonl"]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            sys.exit(f"drqa_pairs: 'hone score --verifier {arguments.verifier}' failed; try it on a file of answers")
        return lines(folder + "/scored.jsonl")


def parts(line):
    """The answers of a batch, each as a line of its own; none where there are not as many as questions."""
    questions = line.get("metadata", {}).get("questions")
    if questions is None:
        sys.exit(f"drqa_pairs: {arguments.batched}: a line without metadata.questions; wanted the output of hone eval on batched(task=...)")
    answers = [part.strip() for part in line["completion"].split(arguments.separator)]
    if len(answers) != len(questions):
        return []
    return [{**question, "completion": answer} for question, answer in zip(questions, answers) if answer]


concise, alone = {}, {}
for answer in scored([part for line in lines(arguments.batched) for part in parts(line)]):
    if (answer["score"] or 0) >= 1:
        best = concise.setdefault(answer["prompt"], answer["completion"])
        concise[answer["prompt"]] = min(best, answer["completion"], key=len)
for line in lines(arguments.single):
    alone.setdefault(line["prompt"], []).append(line)
for prompt, chosen in concise.items():
    right = [line["completion"] for line in alone.get(prompt, []) if (line["score"] or 0) >= 1 and len(line["completion"]) > len(chosen)]
    wrong = [line["completion"] for line in alone.get(prompt, []) if line["score"] is not None and line["score"] < 1 and line["completion"]]
    if right or wrong:
        print(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": max(right, key=len) if right else wrong[0]}))
