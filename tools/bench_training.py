"""Training alone beside transformers with PyTorch's autograd, in turns: updates (forward, loss, backward, AdamW) on the same number of
sequences and tokens, the same model, threads, float32, no gradient checkpointing.

  tools/setup.sh --peers && tools/build.sh
  .deps/peers/bin/python tools/bench_training.py [--model .deps/smollm2] [--batch 8] [--tokens 256] [--rounds 3]

Every token after a sequence's first is learnt. Prints both rates, their ratio, and the share of the machine's FLOP/s that ours reaches.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default=root + "/.deps/smollm2")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--tokens", type=int, default=256, help="of a sequence")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)  # this process is PyTorch's
arguments = parser.parse_args()


def autograd():
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(2)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    tokens = torch.randint(0, model.config.vocab_size, (arguments.batch, arguments.tokens))
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"train_tokens_per_s": tokens.numel() / statistics.median(seconds[1:]),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def result(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if arguments.peer:
    autograd()
    sys.exit(0)
ratios = []
for number in range(arguments.rounds):
    ours = result([root + "/build/hone", "bench", "--train", "--model", arguments.model, "--dtype", "float32", "--threads", "2", "--batch",
                   str(arguments.batch), "--prompt_tokens", "1", "--new_tokens", str(arguments.tokens - 1)])
    theirs = result([sys.executable, __file__, "--peer", *sys.argv[1:]])
    ratios.append(ours["train_tokens_per_s"] / theirs["train_tokens_per_s"])
    print(f"round {number + 1}, {arguments.batch} x {arguments.tokens} tokens: Hone {ours['train_tokens_per_s']:.0f} tokens/s, "
          f"{ours['train_share_of_flops']:.2f} of {ours['limit_gflops']:.0f} GFLOP/s, {ours['peak_rss_bytes'] / 1e6:.0f} MB; "
          f"autograd {theirs['train_tokens_per_s']:.0f} tokens/s, {theirs['peak_rss_bytes'] / 1e6:.0f} MB: ratio {ratios[-1]:.2f}", flush=True)
print(f"Hone over autograd, median {statistics.median(ratios):.2f}, worst {min(ratios):.2f}")
