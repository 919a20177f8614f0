"""Every sub-command on a small trained model, through the formats of INTERFACES.md."""
import json
import os
import shutil

from hone_cli import checkpoints, hone, lines, newest, sha256, train

for name in ("run", "exported", "exported_bf16", "exported_halves", "exported_step"):
    shutil.rmtree(name, ignore_errors=True)
train("run")
model = newest("run")


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# generate -> logprobs: the trainer's forward pass gives the generator's bytes, sampled at any temperature.
write("prompts.jsonl", [{"id": f"p{i}", "prompt": f"{i % 9 + 1} {i % 7 + 1}:{i % 11 + 2}="} for i in range(40)])
for options in ([], ["--temperature", 0.7, "--top_k", 8], ["--temperature", 0], ["--top_p", 0.9]):
    hone("generate", "--model", model, "--prompts", "prompts.jsonl", "--n", 8, "--max_new_tokens", 12, "--seed", 3, "--logprobs",
         "--output", "generated.jsonl", *options)
    hone("logprobs", "--model", model, "--input", "generated.jsonl", "--output", "scored.jsonl")
    assert open("generated.jsonl", "rb").read() == open("scored.jsonl", "rb").read()
generated = lines("generated.jsonl")
assert [(row["id"], row["sample"]) for row in generated] == [(f"p{i}", j) for i in range(40) for j in range(8)]
assert all(len(row["tokens"]) == len(row["logprobs"]) and row["finish_reason"] in ("stop", "length") for row in generated)
assert any(len(set(row["text"] for row in generated[i:i + 8])) > 1 for i in range(0, 320, 8)), "samples of a group never differ"

# The same sample alone and in company.
hone("generate", "--model", model, "--prompts", "prompts.jsonl", "--n", 8, "--max_new_tokens", 12, "--seed", 3, "--output", "many.jsonl")
write("one.jsonl", [lines("prompts.jsonl")[0]])
hone("generate", "--model", model, "--prompts", "one.jsonl", "--n", 3, "--max_new_tokens", 12, "--seed", 3, "--threads", 1, "--output", "few.jsonl")
assert lines("few.jsonl") == lines("many.jsonl")[:3]

# The same bytes at every batch, with memory so short that samples are preempted, and the trainer's pass agrees with each of them.
# Prompts of about 15 tokens, so that nearly every sample soon needs a second page of 16.
write("more.jsonl", [{"id": i, "prompt": f"{i % 9 + 1} {i // 9 % 9 + 1}:{i % 30 + 1}=" * 2} for i in range(300)])
MORE = ("generate", "--model", model, "--prompts", "more.jsonl", "--n", 8, "--max_new_tokens", 30, "--temperature", 3, "--seed", 8,
        "--logprobs", "--stats")
_, stats = hone(*MORE, "--output", "plain.jsonl")
assert " 0 preemptions" in stats, stats
tokens = sum(len(row["tokens"]) for row in lines("plain.jsonl"))
assert tokens >= 10000, tokens
hone("logprobs", "--model", model, "--input", "plain.jsonl", "--output", "scored.jsonl")
assert open("plain.jsonl", "rb").read() == open("scored.jsonl", "rb").read()
# A page is 16 tokens x 2 layers x 2 heads x 8 x 2 (keys, values) x 4 bytes = 4 KB; a sequence has 3 of them at most.
for batch, kv_mb in ((1, 0.0118), (7, 0.04), (64, 0.36)):
    _, stats = hone(*MORE, "--batch", batch, "--kv_mb", kv_mb, "--output", "short.jsonl")
    assert " 0 preemptions" not in stats, stats
    assert open("short.jsonl", "rb").read() == open("plain.jsonl", "rb").read(), f"batch {batch}"
    print(f"batch {batch}: {tokens} tokens, the same bytes; {stats.strip()}")

# Weights stored as bfloat16 give the same bytes whether memory holds them as bfloat16 or as float32; rounding float32 ones does not.
hone("export", "--run", "run", "--output", "exported_halves", "--dtype", "bfloat16")
for folder, dtypes in (("exported_halves", ("auto", "bfloat16", "float32")), (model, ("auto", "float32"))):
    results = []
    for dtype in dtypes:
        hone("generate", "--model", folder, "--prompts", "prompts.jsonl", "--n", 4, "--max_new_tokens", 12, "--logprobs", "--dtype", dtype,
             "--output", "typed.jsonl")
        hone("logprobs", "--model", folder, "--input", "typed.jsonl", "--dtype", dtype, "--output", "scored.jsonl")
        results += [open("typed.jsonl", "rb").read(), open("scored.jsonl", "rb").read()]
    assert len(set(results)) == 1, folder
hone("logprobs", "--model", model, "--input", "typed.jsonl", "--dtype", "bfloat16", "--output", "rounded.jsonl")
assert open("rounded.jsonl", "rb").read() != open("typed.jsonl", "rb").read()

# Stop texts end an answer and are left out of its text.
stopped, _ = hone("generate", "--model", model, "--prompt", "3 4:7=", "--n", 20, "--max_new_tokens", 12, "--stop", "+")
for row in map(json.loads, stopped.splitlines()):
    assert "+" not in row["text"]

# eval: the last line is one JSON object.
out, _ = hone("eval", "--model", model, "--task", "countdown(numbers=2, high=9, target_high=30)", "--n", 4, "--k", "1,4", "--limit", 50,
              "--output", "eval.jsonl")
summary = json.loads(out.splitlines()[-1])
assert set(summary) == {"pass@1", "pass@4", "majority@4", "mean_score", "no_verdict", "truncated", "mean_tokens"}, summary
assert 0 < summary["pass@1"] <= summary["pass@4"] <= 1
samples = lines("eval.jsonl")
assert len(samples) == 200 and abs(sum(row["score"] for row in samples) / 200 - summary["pass@1"]) < 1e-9

# score: the same verdicts from a file, with reasons.
write("answers.jsonl", [{"id": 1, "completion": "3+4", "metadata": {"numbers": [3, 4], "target": 7}},
                        {"id": 2, "completion": "3*4", "metadata": {"numbers": [3, 4], "target": 7}},
                        {"id": 3, "completion": "3+4", "metadata": {"numbers": "none"}}])
hone("score", "--verifier", "countdown", "--input", "answers.jsonl", "--output", "scores.jsonl")
scores = lines("scores.jsonl")
assert [row["score"] for row in scores] == [1, 0, None] and all(isinstance(row["reason"], str) for row in scores)

# tokenize: there and back.
write("texts.jsonl", [{"text": "12 7:19="}, {"text": ""}])
out, _ = hone("tokenize", "--model", model, "--input", "texts.jsonl")
assert [json.loads(line)["decoded"] for line in out.splitlines()] == ["12 7:19=", ""]

# export: the newest checkpoint, a named one, and half the bytes as bfloat16.
hone("export", "--run", "run", "--output", "exported")
assert sha256("exported/model.safetensors") == sha256(model + "/model.safetensors")
assert not os.path.exists("exported/state")
hone("export", "--run", "run", "--step", 125, "--output", "exported_step")
assert sha256("exported_step/model.safetensors") == sha256("run/checkpoints/step_000125/model.safetensors")
hone("export", "--run", "run", "--output", "exported_bf16", "--dtype", "bfloat16")
assert os.path.getsize("exported_bf16/model.safetensors") < 0.6 * os.path.getsize("exported/model.safetensors")
hone("generate", "--model", "exported_bf16", "--prompt", "3 4:7=", "--max_new_tokens", 8)

# --chat and messages go through the model's template, which writes the begin token itself if it wants one; without a template they are refused.
write("chat.jsonl", [{"messages": [{"role": "user", "content": "3 4:7="}], "chat_template_kwargs": {"n": 5}}])
_, error = hone("generate", "--model", "exported", "--prompt", "3 4:7=", "--chat", status=2)
assert "no chat template" in error
with open("exported/chat_template.jinja", "w", encoding="utf-8") as file:
    file.write("{% for m in messages %}{{ m.role|length * 3 }} {{ m.content }}{% endfor %}{{ n }}{% if add_generation_prompt %}+{% endif %}")
texts = []
for arguments in (("--prompts", "chat.jsonl"), ("--prompt", "3 4:7=", "--chat"), ("--prompt", "12 3 4:7=+")):
    out, _ = hone("generate", "--model", "exported", *arguments, "--max_new_tokens", 2)
    texts.append(json.loads(out)["prompt_tokens"])
assert len(texts[0]) == len(texts[1]) + 1 and texts[2][1:] == texts[1], texts
out, _ = hone("tokenize", "--model", "exported", "--input", "chat.jsonl")
row = json.loads(out)
assert row["text"] == "12 3 4:7=5+" and row["tokens"] == texts[0], row

# inspect, list, version: what a person reads.
out, _ = hone("inspect", "run")
assert "stage sft: 120 steps" in out and "stage rl: 24 steps" in out and "reward/mean" in out and checkpoints("run")[-1] in out
out, _ = hone("list", "advantage")
assert "grpo(std_normalize=true" in out and "https://arxiv.org/abs/2402.03300" in out
out, _ = hone("version")
assert "instruction set" in out and "LibTorch" in out
out, _ = hone("train", os.path.join(os.environ["HONE_SOURCE"], "recipes/quickstart.textproto"), "--explain")
assert "parameters" in out and "tokens through the model" in out and "memory" in out
report = open("run/report.html", encoding="utf-8").read()
assert "reward/mean" in report and "<polyline" in report
