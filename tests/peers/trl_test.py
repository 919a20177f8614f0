"""One update by TRL's DPOTrainer and one by its GRPOTrainer, from the same weights, tokens and rewards: after an AdamW step every parameter
is ours, within 1e-5.

AdamW's first step is nearly the sign of the gradient, which forgives almost any mistake; with an epsilon as large as the gradients it is
not, so steps here are compared that tell gradients apart, and are a hundred times larger than the tolerance.
"""
import json
import os
import shutil
import sys

os.environ.update(TQDM_DISABLE="1", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", TOKENIZERS_PARALLELISM="false",
                  HF_HOME=os.path.abspath("hf_home"))
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

sys.path.insert(0, os.path.join(os.environ["HONE_SOURCE"], "tests/e2e"))
from hone_cli import hone, lines, newest, train  # noqa: E402

TOLERANCE, LEARNING_RATE, EPSILON = 1e-5, 1e-2, 1e-2
PROMPTS, ANSWERS, NEW_TOKENS = 4, 6, 10
torch.set_num_threads(2)

STAGE = f'learning_rate: {LEARNING_RATE} optimizer: "adamw(beta1=0.9, beta2=0.99, epsilon={EPSILON}, weight_decay=0)" max_grad_norm: %s'
ARGUMENTS = dict(max_steps=1, learning_rate=LEARNING_RATE, adam_beta1=0.9, adam_beta2=0.99, adam_epsilon=EPSILON, weight_decay=0,
                 lr_scheduler_type="constant", optim="adamw_torch", use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
                 save_strategy="no", logging_steps=1, disable_tqdm=True, disable_dropout=True, dataloader_pin_memory=False)
TASK = 'task: "countdown(numbers=2, high=9, target_high=30)" evaluation { prompts: 0 }'
# Rewards as good as any: every text has its own.
VERIFIER = '''import json, sys, zlib
for line in sys.stdin:
    sample = json.loads(line)
    print(json.dumps({"id": sample["id"], "score": zlib.crc32(sample["completion"].encode()) % 101 / 100}), flush=True)
'''


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def run(name, model, stage):
    """Trains one stage on a model's folder and returns (parameters, metrics of the step)."""
    shutil.rmtree(name, ignore_errors=True)
    write("verifier.py", VERIFIER)
    recipe = write(name + ".textproto", f'seed: 7 threads: 2 {TASK} verifier: "process(command=\\"python3 verifier.py\\")" '
                                        f'model {{ path: "{model}" }} stage {{ steps: 1 {stage} }}')
    train(name, recipe=recipe)
    return load_file(newest(name) + "/model.safetensors"), lines(name + "/metrics.jsonl")[-1]


def compare(what, start, ours, trainer):
    theirs = {name: value.detach() for name, value in trainer.model.named_parameters()}
    before = load_file(start + "/model.safetensors")
    names = [name for name in before if name in theirs]
    assert names == list(before) and len(theirs) == len(names), (sorted(before), sorted(theirs))
    step = max((ours[name] - before[name]).abs().max().item() for name in names)
    worst = max((ours[name] - theirs[name]).abs().max().item() for name in names)
    print(f"{what}: {len(names)} tensors, the step moves weights by up to {step:.1e}, largest difference {worst:.1e}", flush=True)
    assert step > 100 * TOLERANCE and worst <= TOLERANCE, (step, worst)


def close(ours, theirs, tolerance=1e-4):
    assert abs(ours - theirs) <= tolerance * (1 + abs(theirs)), (ours, theirs)


class TokenDPOTrainer(DPOTrainer):
    """Takes tokens as they are given. Its own preparation writes the end token as text, which a SentencePiece tokenizer reads as letters."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


def pairs_of(tokenizer):
    """Products, right and wrong, as tokens: prompts and answers of several lengths."""
    pairs = []
    for a, b in ((2, 3), (3, 5), (4, 2), (5, 5), (6, 3), (7, 4), (8, 2), (9, 3)):
        texts = f"{a} {b}:{a * b}=", f"{a}*{b}", f"{b}-{a}*{a}" if a % 2 else f"{b}"
        prompt, chosen, rejected = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        pairs.append({"prompt_ids": [tokenizer.bos_token_id] + prompt, "chosen_ids": chosen + [tokenizer.eos_token_id],
                      "rejected_ids": rejected + [tokenizer.eos_token_id]})
    return pairs


def check_dpo(start, reference, loss, loss_type, max_grad_norm, **arguments):
    tokenizer = AutoTokenizer.from_pretrained(start)
    pairs = pairs_of(tokenizer)
    write("pairs.jsonl", "".join(json.dumps({"tokens": pair["prompt_ids"], "chosen": pair["chosen_ids"], "rejected": pair["rejected_ids"]}) + "\n"
                                 for pair in pairs))
    ours, metrics = run("dpo", start, f'kind: PREFERENCE data: "pairs.jsonl" batch_size: {len(pairs)} loss: "{loss}" '
                                      f'reference: "model(path=\'{reference}\')" ' + STAGE % max_grad_norm)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    config = DPOConfig(output_dir="trl_dpo", per_device_train_batch_size=len(pairs), loss_type=loss_type, max_grad_norm=max_grad_norm,
                       beta=0.1, **arguments, **ARGUMENTS)
    trainer = TokenDPOTrainer(model=model, ref_model=AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32), args=config,
                              train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
    trainer.train()
    logged = next(row for row in trainer.state.log_history if "loss" in row)
    compare(f"DPOTrainer, {loss}", start, ours, trainer)
    for name, theirs in (("policy/loss", "loss"), ("policy/grad_norm", "grad_norm"), ("preference/accuracy", "rewards/accuracies"),
                         ("preference/margin", "rewards/margins"), ("preference/reward_chosen", "rewards/chosen"),
                         ("preference/reward_rejected", "rewards/rejected"), ("policy/entropy", "entropy")):
        close(metrics[name], logged[theirs])


def samples_of(folder, tokenizer):
    """prompt -> [(tokens, score)]: the answers of the run's first step. The file holds texts; characters are tokens."""
    groups = {}
    for row in lines(folder + "/samples/step_000001.jsonl"):
        tokens = tokenizer(row["completion"], add_special_tokens=False)["input_ids"]
        if row["finish_reason"] == "stop":
            tokens.append(tokenizer.eos_token_id)
        assert len(tokens) == row["tokens"], row
        groups.setdefault(row["prompt"], []).append((tokens, row["score"]))
    assert len(groups) == PROMPTS and all(len(group) == ANSWERS for group in groups.values())
    # A group of equal rewards has no gradient; we leave it out of the means, TRL does not.
    assert all(len({score for _, score in group}) > 1 for group in groups.values()), groups
    return groups


def check_grpo(start, advantage, loss, **arguments):
    ours, metrics = run("grpo", start, f'kind: RL prompts_per_step: {PROMPTS} samples_per_prompt: {ANSWERS} max_new_tokens: {NEW_TOKENS} '
                                       f'temperature: 1 samples_every: 1 advantage: "{advantage}" loss: "{loss}" ' + STAGE % 0.5)
    tokenizer = AutoTokenizer.from_pretrained(start)
    groups = samples_of("grpo", tokenizer)
    score_of = {(prompt, tuple(tokens)): score for prompt, group in groups.items() for tokens, score in group}

    def rollout(prompts, trainer):
        given = {prompt: 0 for prompt in groups}
        answers = []
        for prompt in prompts:
            answers.append(groups[prompt][given[prompt]][0])
            given[prompt] += 1
        return {"prompt_ids": [tokenizer(prompt)["input_ids"] for prompt in prompts], "completion_ids": answers,
                "logprobs": [[0.0] * len(answer) for answer in answers]}

    def reward(prompts, completions, completion_ids, **_):
        return [score_of[prompt, tuple(ids)] for prompt, ids in zip(prompts, completion_ids, strict=True)]

    config = GRPOConfig(output_dir="trl_grpo", per_device_train_batch_size=PROMPTS * ANSWERS, num_generations=ANSWERS, beta=0.0,
                        max_completion_length=NEW_TOKENS, num_iterations=1, temperature=1.0, max_grad_norm=0.5, **arguments, **ARGUMENTS)
    trainer = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32), reward_funcs=reward, args=config,
                          train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in groups]), processing_class=tokenizer,
                          rollout_func=rollout)
    trainer.train()
    logged = next(row for row in trainer.state.log_history if "grad_norm" in row)
    compare(f"GRPOTrainer, {advantage}, {loss}", start, ours, trainer)
    close(metrics["policy/grad_norm"], logged["grad_norm"])
    close(metrics["reward/mean"], logged["reward"])
    assert metrics["mismatch/logprob_abs_max"] == 0


shutil.rmtree("start", ignore_errors=True)
train("start", "stage[0].steps=60", "stage[1].steps=1", "stage[0].checkpoint_every=10", "evaluation.prompts=0")
POLICY, REFERENCE, EARLIER = (f"start/checkpoints/step_{step:06}" for step in (60, 50, 30))

check_dpo(POLICY, REFERENCE, "dpo(beta=0.1)", "sigmoid", 0.05)
check_dpo(POLICY, REFERENCE, "ipo(beta=0.1)", "ipo", 1.0)
check_dpo(POLICY, REFERENCE, "hinge(beta=0.1)", "hinge", 1000.0)
check_grpo(EARLIER, "grpo(epsilon=1e-4)", "ppo_clip(clip_low=0.2, clip_high=0.2, aggregation=seq_mean_token_mean)", loss_type="grpo")
check_grpo(EARLIER, "dr_grpo", "ppo_clip(clip_low=0.2, clip_high=0.2, aggregation=seq_mean_token_sum_norm, norm_length=%d)" % NEW_TOKENS,
           loss_type="dr_grpo", scale_rewards="none")
check_grpo(EARLIER, "grpo(epsilon=1e-4)", "ppo_clip(clip_low=0.2, clip_high=0.28, aggregation=token_mean)", loss_type="dapo", epsilon_high=0.28)
