"""A whole GRPO step beside TRL's GRPOTrainer, in turns: the same model, prompts, samples, lengths and threads, float32.

  tools/setup.sh --peers && tools/build.sh
  .deps/peers/bin/python tools/bench_trl.py [--shapes quickstart,smollm2] [--rounds 2] [--steps 4]

Prints for each shape both systems' seconds a step (median over steps after the first), peak memory, sampled tokens a step, and the share of
a step that generates. Rewards are a constant-time function of the text in both.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--hone", default=root + "/build/hone")
parser.add_argument("--shapes", default="quickstart,smollm2")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--microbatch_tokens", type=int, default=16384, help="of ours: memory for nothing but a little time")
parser.add_argument("--smollm2", default=root + "/.deps/smollm2")
parser.add_argument("--trl", help=argparse.SUPPRESS)  # this process is TRL's, with these arguments as JSON
arguments = parser.parse_args()

# prompts x samples, tokens of a prompt and of an answer.
SHAPES = {"quickstart": dict(prompts=128, samples=4, prompt=0, new=16), "smollm2": dict(prompts=4, samples=8, prompt=64, new=128)}
# A hundred different rewards, so that groups differ.
VERIFIER = '''import json, sys, zlib
for line in sys.stdin:
    sample = json.loads(line)
    print(json.dumps({"id": sample["id"], "score": zlib.crc32(sample["completion"].encode()) % 101 / 100}), flush=True)
'''


def run_trl(shape, model, texts, steps):
    os.environ.update(TQDM_DISABLE="1", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", TOKENIZERS_PARALLELISM="false")
    import time
    import zlib
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer
    torch.set_num_threads(2)
    samples = shape["prompts"] * shape["samples"]
    tokenizer = AutoTokenizer.from_pretrained(model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    times, generated, tokens = [], [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            times.append(time.perf_counter() - self.start)

    class Timed(GRPOTrainer):
        def _generate(self, *given, **named):
            start = time.perf_counter()
            result = super()._generate(*given, **named)
            generated.append(time.perf_counter() - start)
            return result

    def reward(completions, completion_ids, **_):
        tokens.append(sum(map(len, completion_ids)))
        return [zlib.crc32(text.encode()) % 101 / 100 for text in completions]

    config = GRPOConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=samples, num_generations=shape["samples"], max_steps=steps,
                        max_completion_length=shape["new"], learning_rate=1e-6, temperature=1, top_p=1, top_k=0, beta=0, loss_type="dapo",
                        use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], save_strategy="no", disable_tqdm=True,
                        logging_steps=1, dataloader_pin_memory=False, shuffle_dataset=False)
    trainer = Timed(model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), args=config, processing_class=tokenizer,
                    train_dataset=Dataset.from_dict({"prompt": texts}), reward_funcs=reward, callbacks=[Clock()])
    trainer.train()
    print("RESULT " + json.dumps({"step": times[1:], "generate": generated[1:], "tokens": tokens[1:]}))


def measured(command, folder):
    """Runs it -> (output, peak bytes)."""
    with open(folder + "/output", "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    with open(folder + "/output", encoding="utf-8", errors="replace") as output:
        text = output.read()
    if status != 0:
        sys.exit(f"bench_trl: {command[0]} failed:\n{text[-3000:]}")
    return text, usage.ru_maxrss * 1024


def hone_steps(folder, name, recipe):
    with open(f"{folder}/{name}.textproto", "w", encoding="utf-8") as file:
        file.write(recipe)
    _, peak = measured([arguments.hone, "train", f"{name}.textproto", "--out", name], folder)
    with open(f"{folder}/{name}/metrics.jsonl", encoding="utf-8") as file:
        steps = [json.loads(line) for line in file]
    steps = [step for step in steps if step["stage"] == "rl"][1:]
    if any(step.get("group/trained") != 1 for step in steps):
        print("bench_trl: a group of ours had equal rewards and was left out", file=sys.stderr)
    return dict(step=[step["time/step_s"] for step in steps], generate=[step["time/generate_s"] for step in steps],
                train=[step["time/train_s"] for step in steps], peak=peak)


def rl_stage(shape):
    return (f'stage {{ kind: RL steps: {arguments.steps} prompts_per_step: {shape["prompts"]} samples_per_prompt: {shape["samples"]} '
            f'max_new_tokens: {shape["new"]} learning_rate: 1e-6 samples_every: 1 microbatch_tokens: {arguments.microbatch_tokens} }} evaluation {{ prompts: 0 }}')


def texts_of(shape, tokenizer):
    """Prompts of exactly so many tokens in both systems: pieces of one long text that come back from text as the same tokens."""
    text = " ".join(f"Question {i}: if {i + 3} people share {7 * i + 2} apples, how many does each of them get, and why?" for i in range(3000))
    tokens = tokenizer(text).input_ids
    texts = []
    for first in range(0, len(tokens) - shape["prompt"], shape["prompt"]):
        piece = tokenizer.decode(tokens[first:first + shape["prompt"]])
        if len(tokenizer(piece).input_ids) == shape["prompt"]:
            texts.append(piece)
    return texts


def setting(name, folder):
    """-> (model's folder, recipe of ours, prompts for TRL)"""
    shape, needed = SHAPES[name], SHAPES[name]["prompts"] * arguments.steps
    verifier = 'threads: 2 verifier: "process(command=\\"python3 verifier.py\\")" '
    if name == "smollm2":
        from transformers import AutoTokenizer
        texts = texts_of(shape, AutoTokenizer.from_pretrained(arguments.smollm2))[:needed]
        with open(folder + "/prompts.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": text, "answer": ""}) + "\n" for text in texts)
        return (arguments.smollm2, f'{verifier} task: "jsonl(path={folder}/prompts.jsonl)" model {{ path: "{arguments.smollm2}" }} ' + rl_stage(shape),
                texts)
    # The quickstart's model after a few supervised steps, which make its folder.
    with open(root + "/recipes/quickstart.textproto", encoding="utf-8") as file:
        recipe = file.read()
    task = re.search(r'^task: "(.*)"', recipe, re.M)[1]
    model = re.search(r"^model \{.*?^\}", recipe, re.M | re.S)[0]
    with open(folder + "/start.textproto", "w", encoding="utf-8") as file:
        file.write(f'threads: 2 task: "{task}" {model} stage {{ kind: SFT steps: 20 batch_size: 64 learning_rate: 1e-3 }} evaluation {{ prompts: 0 }}')
    measured([arguments.hone, "train", "start.textproto", "--out", "start"], folder)
    checkpoint = f"{folder}/start/checkpoints/" + sorted(os.listdir(folder + "/start/checkpoints"))[-1]
    texts = [f"{a} {b} {c}:{a + b - c}=" for a in range(1, 50) for b in range(51 - a, 52) for c in range(1, 50)][:needed]
    return checkpoint, f'{verifier} task: "{task}" model {{ path: "{checkpoint}" }} ' + rl_stage(shape), texts


if arguments.trl:
    given = json.loads(arguments.trl)
    with open(given["texts"], encoding="utf-8") as file:
        run_trl(SHAPES[given["shape"]], given["model"], json.load(file), given["steps"])
    sys.exit(0)

for name in arguments.shapes.split(","):
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/verifier.py", "w", encoding="utf-8") as file:
            file.write(VERIFIER)
        model, recipe, texts = setting(name, folder)
        with open(folder + "/texts.json", "w", encoding="utf-8") as file:
            json.dump(texts, file)
        for number in range(arguments.rounds):
            ours = hone_steps(folder, f"run{number}", recipe)
            samples = folder + f"/run{number}/samples/"
            counts = []
            for file_name in sorted(os.listdir(samples))[1:]:
                with open(samples + file_name, encoding="utf-8") as file:
                    counts.append(sum(json.loads(line)["tokens"] for line in file))
            text, peak = measured([sys.executable, os.path.abspath(__file__), "--trl", json.dumps(
                {"shape": name, "model": model, "texts": folder + "/texts.json", "steps": arguments.steps})], folder)
            theirs = json.loads(re.search(r"RESULT (.*)", text)[1])
            median = statistics.median
            rounds.append(median(theirs["step"]) / median(ours["step"]))
            shape = SHAPES[name]
            print(f"{name}, round {number + 1}, {shape['prompts']} x {shape['samples']} samples of at most {shape['new']} tokens: "
                  f"Hone {median(ours['step']):.2f} s a step ({median(ours['generate']):.2f} generating, {median(ours['train']):.2f} training; "
                  f"{median(counts):.0f} tokens; peak {ours['peak'] / 1e6:.0f} MB), TRL {median(theirs['step']):.2f} s "
                  f"({median(theirs['generate']):.2f} generating; {median(theirs['tokens']):.0f} tokens; peak {peak / 1e6:.0f} MB): "
                  f"ratio {rounds[-1]:.2f}, memory {ours['peak'] / peak:.2f}", flush=True)
    print(f"{name}: TRL over Hone, median of {arguments.rounds} rounds {statistics.median(rounds):.2f}, worst {min(rounds):.2f}", flush=True)
