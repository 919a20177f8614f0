"""Decoding with a drafter beside plain decoding, in turns, the same prompts and the same bytes: what speculation is worth on this machine.

  python3 tools/bench_drafters.py --hone build/hone --model DIR --prompts FILE --drafter SPEC [--batches 1,4,16] [--rounds 3] [-- more options of generate]

Prints for each batch the median seconds of both, and the median and the worst of the rounds' ratios, plain over drafted (1 is equal).
"""
import argparse
import os
import re
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--hone", default="build/hone")
parser.add_argument("--model", required=True)
parser.add_argument("--prompts", required=True)
parser.add_argument("--drafter", required=True)
parser.add_argument("--batches", default="1,4,16")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("more", nargs="*")
arguments = parser.parse_args()


def run(drafter, batch, folder):
    """Seconds of generation, its bytes, and what it said about drafts."""
    output = os.path.join(folder, "samples.jsonl")
    done = subprocess.run([arguments.hone, "generate", "--model", arguments.model, "--prompts", arguments.prompts, "--batch", batch, "--drafter",
                           drafter, "--stats", "--logprobs", "--output", output, *arguments.more], capture_output=True, text=True, check=True)
    with open(output, "rb") as file:
        return float(re.search(r"([\d.]+) s$", done.stderr, re.M)[1]), file.read(), re.findall(r".*drafted.*", done.stderr)


for batch in arguments.batches.split(","):
    plain, drafted, ratios = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            plain_s, expected, _ = run("none", batch, folder)
            drafted_s, got, said = run(arguments.drafter, batch, folder)
            assert got == expected, "a drafter changed an answer"
            plain.append(plain_s), drafted.append(drafted_s), ratios.append(plain_s / drafted_s)
    print(f"batch {batch}: plain {statistics.median(plain):.2f} s, drafted {statistics.median(drafted):.2f} s, ratio {statistics.median(ratios):.2f} "
          f"(worst {min(ratios):.2f}); {said[-1] if said else 'no drafts'}", flush=True)
