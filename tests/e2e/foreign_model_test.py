"""A model that others made, trained on: its checkpoints and exports keep its chat template, wherever it stands, and its embedding's rows without tokens."""
import json
import os
import shutil
import struct

from hone_cli import hone, lines, newest, train

PADDING = 40  # rows beyond the tokenizer's tokens
CHAT = "{% for m in messages %}{{ m.role|length * 3 }} {{ m.content }}{% endfor %}"

RECIPE = """
seed: 3 threads: 2 task: "countdown(numbers=2, high=9, target_high=30)" model { path: "%s" } verifier: "length(target=2, max=8, unit=characters)"
stage { kind: SFT steps: 2 batch_size: 4 learning_rate: 1e-3 }
stage { kind: RL steps: 2 prompts_per_step: 4 samples_per_prompt: 4 max_new_tokens: 8 learning_rate: 1e-3 samples_every: 1 }
evaluation { prompts: 4 }
"""


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def resize_embedding(folder, more):
    """Gives the embedding so many rows more, copies of its last ones, or fewer; returns how many it had."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    entries, packed = {}, b""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        tensor, shape = data[begin:end], entry["shape"]
        if name == "model.embed_tokens.weight":
            row = len(tensor) // shape[0]
            rows = [tensor[i * row:(i + 1) * row] for i in range(shape[0])]
            rows = rows[:more] if more < 0 else rows + [rows[-1 - i % 10] for i in range(more)]
            tensor, shape = b"".join(rows), [len(rows), shape[1]]
        entries[name] = {"dtype": entry["dtype"], "shape": shape, "data_offsets": [len(packed), len(packed) + len(tensor)]}
        packed += tensor
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + packed)
    config = json.load(open(os.path.join(folder, "config.json"), encoding="utf-8"))
    tokens = config["vocab_size"]
    config["vocab_size"] += more
    write(os.path.join(folder, "config.json"), json.dumps(config))
    return tokens


for name in ("run", "foreign", "few", "short", "refused_few", "refused_short"):
    shutil.rmtree(name, ignore_errors=True)
train("run", "stage[0].steps=40", "stage[1].steps=1", "evaluation.prompts=4")
shutil.copytree(newest("run"), "foreign", ignore=shutil.ignore_patterns("state"))
tokens = resize_embedding("foreign", PADDING)

# Rows without a token belong to the distribution, as in transformers and vLLM: they are drawn, have a log-probability, the trainer's, and no text.
write("prompts.jsonl", "".join(json.dumps({"id": i, "prompt": f"{i} 4:7="}) + "\n" for i in range(10)))
hone("generate", "--model", "foreign", "--prompts", "prompts.jsonl", "--n", 8, "--max_new_tokens", 10, "--temperature", 3, "--logprobs", "--output", "drawn.jsonl")
drawn = lines("drawn.jsonl")
assert sum(token >= tokens for row in drawn for token in row["tokens"]) > 20
hone("logprobs", "--model", "foreign", "--input", "drawn.jsonl", "--output", "scored.jsonl")
assert [row["logprobs"] for row in lines("scored.jsonl")] == [row["logprobs"] for row in drawn]
write("known.jsonl", "".join(json.dumps({"tokens": [token for token in row["tokens"] if token < tokens]}) + "\n" for row in drawn))
write("all.jsonl", "".join(json.dumps({"tokens": row["tokens"]}) + "\n" for row in drawn))
for file in ("known.jsonl", "all.jsonl"):
    out, _ = hone("tokenize", "--model", "foreign", "--input", file)
    assert [json.loads(line)["decoded"] for line in out.splitlines()] == [row["text"] for row in drawn], file
# They may stand in a prompt, numbers that the model has no row for may not.
write("prompt.jsonl", json.dumps({"tokens": [1, 5, tokens, tokens + PADDING - 1]}) + "\n")
hone("generate", "--model", "foreign", "--prompts", "prompt.jsonl", "--max_new_tokens", 4)
write("prompt.jsonl", json.dumps({"tokens": [1, tokens + PADDING]}) + "\n")
for command in (("generate", "--prompts"), ("tokenize", "--input")):
    _, error = hone(command[0], "--model", "foreign", command[1], "prompt.jsonl", status=2)
    assert error.startswith("hone: prompt.jsonl:1: ") and f"{tokens + PADDING}" in error and f"0 to {tokens + PADDING - 1}" in error, error

# Each place where transformers keeps templates, and what goes there.
config = json.load(open("foreign/tokenizer_config.json", encoding="utf-8"))
PLACES = {
    "jinja": {"chat_template.jinja": CHAT, "additional_chat_templates/tool_use.jinja": "tools " + CHAT},
    "json": {"chat_template.json": json.dumps({"chat_template": CHAT})},
    "config": {"tokenizer_config.json": json.dumps({**config, "chat_template": CHAT})},
    "list": {"tokenizer_config.json": json.dumps(
        {**config, "chat_template": [{"name": "default", "template": CHAT}, {"name": "tool_use", "template": "7"}]})},
}
for place, files in PLACES.items():
    folders = [f"chat_{place}", f"run_{place}", f"export_{place}"]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    chat, run, export = folders
    shutil.copytree("foreign", chat)
    for name, text in files.items():
        write(os.path.join(chat, name), text)
    train(run, recipe=write(place + ".textproto", RECIPE % chat))
    hone("export", "--run", run, "--output", export)
    prompts = []
    for folder in (chat, newest(run), export):
        for name, text in files.items():
            assert open(os.path.join(folder, name), encoding="utf-8").read() == text, (folder, name)
        row = json.loads(hone("generate", "--model", folder, "--prompt", "3 4:7=", "--chat", "--max_new_tokens", 4)[0])
        prompts.append(row["prompt_tokens"])
        assert json.load(open(os.path.join(folder, "config.json"), encoding="utf-8"))["vocab_size"] == tokens + PADDING
    written, = hone("tokenize", "--model", chat, "--input", write("text.jsonl", '{"text": "12 3 4:7="}\n'))[0].splitlines()
    assert prompts == [json.loads(written)["tokens"]] * 3, prompts
    # Trained on with padding drawn: on-policy the trainer has the generator's bits.
    assert {row.get("mismatch/logprob_abs_max") for row in lines(run + "/metrics.jsonl") if row["stage"] == "rl"} == {0}

# What a demonstration may not hold: a token that the model has no row for, more tokens than it has positions. Nothing is read beyond the rows.
shutil.copytree("foreign", "few")
resize_embedding("few", 5 - tokens - PADDING)
shutil.copytree("foreign", "short")
write("short/config.json", json.dumps({**json.load(open("foreign/config.json", encoding="utf-8")), "max_position_embeddings": 8}))
for folder, complaint in (("few", "is outside the model's vocabulary, 0 to 4"), ("short", "tokens, more than the model's 8 positions")):
    _, error = hone("train", write(folder + ".textproto", RECIPE % folder), "--out", "refused_" + folder, status=2)
    assert complaint in error, error
