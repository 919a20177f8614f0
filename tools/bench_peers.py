"""Times Hone, llama.cpp, vLLM and transformers on one model, side by side. Run by tools/bench_peers.sh, which installs the three.

Every system generates NEW tokens, past any end token, after each of `batch` distinct random prompts of PROMPT tokens: vLLM and transformers
greedily, which is their fastest way, Hone by sampling at temperature 1, llama-batched-bench with random tokens and no sampling at all.
In each round and for each batch the systems take turns, so that a disturbance of the machine meets all of them. The figures are
  prefill     batch * PROMPT tokens over the time until each sequence has its first new token
  decode      the remaining batch * (NEW - 1) tokens over the remaining time
  end to end  batch * NEW tokens over both times together
  peak        the largest resident memory of the process, weights mapped from a file included
  others      the share of the machine's processor time that went to other processes meanwhile: near 0, or the row means nothing

A call with --serve SYSTEM is one of the two Python systems: it loads the model, then answers a line per line "BATCH" on its input.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

PROMPT, NEW = 128, 128
VOCABULARY = range(1000, 49000)
SYSTEMS = ["hone", "llama.cpp", "vllm", "transformers"]


def prompts(batch, seed):
    draw = random.Random(seed)
    return [[draw.choice(VOCABULARY) for _ in range(PROMPT)] for _ in range(batch)]


def figures(batch, first_s, total_s):
    """From the times of a run that stops after one new token and of a run of NEW tokens."""
    return {"prefill": batch * PROMPT / first_s, "decode": batch * (NEW - 1) / (total_s - first_s)}


def reset_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def machine_busy_s():
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def new_vllm(options):
    from vllm import LLM, SamplingParams

    # All prompts fit into one step, so the first token of each comes before the second of any.
    model = LLM(model=options.model, dtype=options.dtype, enable_prefix_caching=False, max_model_len=2 * (PROMPT + NEW), max_num_seqs=64,
                max_num_batched_tokens=64 * PROMPT, enforce_eager=options.eager)

    def generate(tokens, new_tokens):
        sampling = SamplingParams(temperature=0, max_tokens=new_tokens, ignore_eos=True, detokenize=False)
        answers = model.generate([{"prompt_token_ids": prompt} for prompt in tokens], sampling, use_tqdm=False)
        return [len(answer.outputs[0].token_ids) for answer in answers]

    return generate


def new_transformers(options):
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, attn_implementation="sdpa").eval()

    def generate(tokens, new_tokens):
        ids = torch.tensor(tokens)
        with torch.inference_mode():
            answer = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_tokens,
                                    min_new_tokens=new_tokens, pad_token_id=0, use_cache=True)
        return [answer.shape[1] - PROMPT] * len(tokens)

    return generate


def serve(options):
    # Libraries print to stdout as they like: the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    generate = {"vllm": new_vllm, "transformers": new_transformers}[options.serve](options)

    def timed(batch, seed, new_tokens):
        tokens = prompts(batch, seed)
        start = time.perf_counter()
        lengths = generate(tokens, new_tokens)
        elapsed = time.perf_counter() - start
        assert lengths == [new_tokens] * batch, lengths
        return elapsed

    timed(2, 0, 4)  # warms up
    answers.write('"ready"\n')
    for number, line in enumerate(sys.stdin):
        batch = int(line)
        reset_peak()
        cpu_s = time.process_time()
        first_s = timed(batch, 2 * number + 1, 1)
        total_s = timed(batch, 2 * number + 2, NEW)
        answers.write(json.dumps({**figures(batch, first_s, total_s), "peak": peak_bytes(), "cpu_s": time.process_time() - cpu_s}) + "\n")


class Server:
    """A Python system in a process of its own, which sleeps while others are timed."""

    def __init__(self, python, system, options):
        command = [python, os.path.abspath(__file__), "--serve", system, "--model", options.models[options.dtype], "--dtype", options.dtype,
                   "--threads", str(options.threads), *(["--eager"] if options.eager else [])]
        environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1",
                           VLLM_LOGGING_LEVEL="ERROR", VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="2",
                           VLLM_CPU_OMP_THREADS_BIND=f"0-{options.threads - 1}")
        # vLLM's manual asks for Intel's OpenMP; the wheel brings it.
        openmp = os.path.join(os.path.dirname(os.path.dirname(python)), "lib", "libiomp5.so")
        if system == "vllm" and os.path.exists(openmp):
            environment["LD_PRELOAD"] = openmp
        self.log = open(os.path.join(options.logs, f"{system}_{options.dtype}.txt"), "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        self.name = system
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench_peers: {self.name} stopped with status {self.process.wait()}: see {self.log.name}")
        return json.loads(line)

    def measure(self, batch):
        self.process.stdin.write(f"{batch}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run(command, log):
    """Returns (stdout, {peak resident bytes, processor seconds})."""
    with open(log, "w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench_peers: {' '.join(command)}\n  stopped with status {process.returncode}: see {log}")
    return text, {"peak": usage.ru_maxrss * 1024, "cpu_s": usage.ru_utime + usage.ru_stime}


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def measure_hone(batch, options):
    command = [options.hone, "bench", "--model", options.models[options.dtype], "--prompt_tokens", str(PROMPT), "--new_tokens", str(NEW), "--batch",
               str(batch), "--rounds", "1", "--threads", str(options.threads)]
    if options.dtype != "float32":
        command += ["--dtype", options.dtype]
    text, cost = run(command, os.path.join(options.logs, "hone.txt"))
    row = json_lines(text)[0]
    return {"prefill": row["prefill_tokens_per_s"], "decode": row["decode_tokens_per_s"], "peak": row["peak_rss_bytes"], "cpu_s": cost["cpu_s"]}


def measure_llama(batch, options):
    # Flash attention is the faster setting here.
    command = [options.llama, "-m", options.ggufs[options.dtype], "-c", str(batch * (PROMPT + NEW)), "-b", "8192", "-ub", "512", "-npp", str(PROMPT),
               "-ntg", str(NEW), "-npl", str(batch), "-t", str(options.threads), "-tb", str(options.threads), "-fa", "on", "--output-format", "jsonl"]
    text, cost = run(command, os.path.join(options.logs, "llama.txt"))
    row = json_lines(text)[0]
    return {"prefill": row["speed_pp"], "decode": row["speed_tg"], **cost}


def end_to_end(batch, row):
    return batch * NEW / (batch * PROMPT / row["prefill"] + batch * (NEW - 1) / row["decode"])


def print_table(dtype, rows, options):
    """rows: {(system, batch): [figures of round 0, ...]}."""
    print(f"\n{dtype}, {options.threads} threads, {PROMPT} + {NEW} tokens, median of {options.rounds} rounds; ratio: Hone over the other, median (worst round)")
    print(f"{'batch':>5}  {'system':12}{'decode/s':>9}{'ratio':>15}{'prefill/s':>11}{'ratio':>15}{'end to end/s':>14}{'ratio':>15}{'peak MB':>9}{'others':>8}")
    for batch in options.batches:
        for system in options.systems:
            cells = [f"{batch:5}  {system:12}"]
            for key, width in (("decode", 9), ("prefill", 11), ("end", 14)):
                cells.append(f"{statistics.median(row[key] for row in rows[system, batch]):{width}.1f}")
                ratio = ""
                if system != "hone" and ("hone", batch) in rows:
                    ratios = [ours[key] / theirs[key] for ours, theirs in zip(rows["hone", batch], rows[system, batch])]
                    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f})"
                cells.append(f"{ratio:>15}")
            cells.append(f"{max(row['peak'] for row in rows[system, batch]) / 1e6:9.0f}{max(row['others'] for row in rows[system, batch]):8.0%}")
            print("".join(cells), flush=True)


def watch(measure):
    """The figures of measure(), with the share of the machine that others took."""
    start, busy_s = time.perf_counter(), machine_busy_s()
    row = measure()
    elapsed_s, busy_s = time.perf_counter() - start, machine_busy_s() - busy_s
    row["others"] = max(0.0, busy_s - row.pop("cpu_s")) / (elapsed_s * os.cpu_count())
    return row


def compare(dtype, options):
    options.dtype = dtype
    servers = {name: Server(getattr(options, name), name, options) for name in ("vllm", "transformers") if name in options.systems}
    measures = {"hone": lambda batch: measure_hone(batch, options), "llama.cpp": lambda batch: measure_llama(batch, options)}
    measures.update((name, server.measure) for name, server in servers.items())
    rows = {}
    for number in range(options.rounds):
        for batch in options.batches:
            for system in options.systems:
                row = watch(lambda: measures[system](batch))
                row["end"] = end_to_end(batch, row)
                rows.setdefault((system, batch), []).append(row)
                print(json.dumps({"round": number, "dtype": dtype, "batch": batch, "system": system, **row}), file=sys.stderr, flush=True)
    for server in servers.values():
        server.close()
    print_table(dtype, rows, options)


def print_machine():
    with open("/proc/cpuinfo") as file:
        name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")
    print(f"{name}, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.2f} before the start")


def comma_list(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=["vllm", "transformers"])
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help="vLLM without torch.compile")
    parser.add_argument("--dtypes", type=comma_list(str), default=["float32", "bfloat16"])
    parser.add_argument("--batches", type=comma_list(int), default=[1, 8, 32, 64])
    parser.add_argument("--systems", type=comma_list(str), default=SYSTEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where bench_peers.sh put llama.cpp, vLLM and the GGUF files")
    parser.add_argument("--hone")
    parser.add_argument("--transformers", help="a Python with transformers")
    options = parser.parse_args()
    if options.serve:
        return serve(options)
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"no system {', '.join(sorted(unknown))}; have: {', '.join(SYSTEMS)}")
    options.vllm = os.path.join(options.folder, "vllm/bin/python")
    options.llama = os.path.join(options.folder, "llama-build/bin/llama-batched-bench")
    options.models = {"float32": options.model, "bfloat16": options.model + "-bf16"}
    options.ggufs = {"float32": os.path.join(options.folder, "gguf/f32.gguf"), "bfloat16": os.path.join(options.folder, "gguf/bf16.gguf")}
    options.logs = os.path.join(options.folder, "logs")
    os.makedirs(options.logs, exist_ok=True)
    print_machine()
    for dtype in options.dtypes:
        compare(dtype, options)


if __name__ == "__main__":
    main()
