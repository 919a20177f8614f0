"""Wrong calls, inputs and folders: one line that says what was found, where and the remedy; exit status 2; nothing half-written.

The recipe's own mistakes stand in tests/recipes/recipe_errors_test.cc; here the binary meets the world.
"""
import json
import os
import shutil
import struct
import subprocess

from hone_cli import HONE, TINY, newest, train

for name in ("run", "larger", "broken", "folder"):
    shutil.rmtree(name, ignore_errors=True)
train("run", "stage[0].steps=6", "stage[1].steps=2", "evaluation.prompts=4")
MODEL = newest("run")
# Another vocabulary.
train("larger", "stage[0].steps=6", "stage[1].steps=2", "evaluation.prompts=0", "model.tokenizer=sentencepiece(model_type=char, whole_numbers=30)")
os.makedirs("folder")


def write(path, text):
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


def broken_model(name, **files):
    """A copy of the model with some files replaced (bytes), changed (function of the old bytes) or removed (None)."""
    folder = os.path.join("broken", name)
    shutil.copytree(MODEL, folder)
    for file, content in files.items():
        path = os.path.join(folder, file.replace("__", "."))
        if content is None:
            os.remove(path)
        else:
            old = open(path, "rb").read()
            write(path, content(old) if callable(content) else content)
    return folder


def header(change):
    """Rewrites the JSON header of a safetensors file."""
    def apply(old):
        size = struct.unpack("<Q", old[:8])[0]
        text = change(json.loads(old[8:8 + size])).encode()
        return struct.pack("<Q", len(text)) + text + old[8 + size:]
    return apply


def with_tensor(**changes):
    def change(entries):
        entries["model.norm.weight"].update(changes)
        return json.dumps(entries)
    return header(change)


def renamed(old_name, new_name):
    return header(lambda entries: json.dumps(entries).replace(f'"{old_name}"', f'"{new_name}"'))


def extra(name):
    """One more tensor, of no elements."""
    return header(lambda entries: json.dumps({**entries, name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}))


def sharded(name, shard):
    """A model folder whose index sends model.norm.weight to this file and all else to the one there is."""
    folder = broken_model(name)
    os.rename(os.path.join(folder, "model.safetensors"), os.path.join(folder, "weights.safetensors"))
    with open(os.path.join(folder, "weights.safetensors"), "rb") as file:
        entries = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    shards = {tensor: "weights.safetensors" for tensor in entries if tensor != "__metadata__"}
    index = json.dumps({"weight_map": {**shards, "model.norm.weight": shard}})
    write(os.path.join(folder, "model.safetensors.index.json"), index)
    return folder


def config(**changes):
    return lambda old: json.dumps({**json.loads(old), **changes}).encode()


GENERATE = ("generate", "--model", MODEL)
NAN = struct.pack("<f", float("nan"))
os.makedirs("broken")
prompts = write("prompts.jsonl", '{"prompt": "1 2:3="}\n')

# As many tokens, and one of them another: the character of '+' in SentencePiece's file.
OTHER_TOKENS = broken_model("other_tokens", tokenizer__model=lambda old: old.replace(b"\n\x01+", b"\n\x01?"))

CASES = [
    # the call
    ((), "usage: hone COMMAND"),
    (("trian", TINY), "no command 'trian'; did you mean 'train'?"),
    (("train",), "RECIPE"),
    (("train", TINY, "--ste", "seed=1"), "did you mean '--set'?"),
    (("train", TINY, "--set"), "--set"),
    (("generate", "--prompt", "x"), "--model"),
    ((*GENERATE,), "--prompt"),
    ((*GENERATE, "--prompt", "x", "--prompts", prompts), "--prompts"),
    ((*GENERATE, "--prompt", "1 2:3=", "--n", "0"), "--n"),
    ((*GENERATE, "--prompt", "1 2:3=", "--n", "-4"), "--n"),
    ((*GENERATE, "--prompt", "1 2:3=", "--max_new_tokens", "0"), "--max_new_tokens"),
    ((*GENERATE, "--prompt", "1 2:3=", "--temperature", "hot"), "--temperature"),
    ((*GENERATE, "--prompt", "1 2:3=", "--temperature", "-1"), "--temperature"),
    ((*GENERATE, "--prompt", "1 2:3=", "--top_p", "0"), "--top_p"),
    ((*GENERATE, "--prompt", "1 2:3=", "--min_p", "1.5"), "--min_p"),
    ((*GENERATE, "--prompt", "1 2:3=", "--batch", "0"), "--batch"),
    ((*GENERATE, "--prompt", "1 2:3=", "--kv_mb", "0"), "--kv_mb"),
    ((*GENERATE, "--prompt", "1 2:3=", "--kv_mb", "0.005"), "one sequence needs"),
    ((*GENERATE, "--prompt", "1 2:3=", "--stop", ""), "a stop text is empty"),
    ((*GENERATE, "--prompt", "1 2:3=" * 20), "shorten the prompt"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", "ngarm"), "did you mean 'ngram'?"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", "history(max_tokens=-1)"), "'max_tokens'"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", "ngram(shortest=9)"), "'shortest'"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", "draft_model"), "draft_model(path=DIR)"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", "draft_model(path=missing)"), "missing"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", f"draft_model(path='{newest('larger')}')"),
     f"draft_model: {newest('larger')} has a vocabulary of 41, the model has 20; a draft model must share the model's tokenizer"),
    ((*GENERATE, "--prompt", "1 2:3=", "--drafter", f"draft_model(path={OTHER_TOKENS})"),
     "is '?', the model's is '+'; a draft model must share the model's tokenizer"),
    (("train", TINY, "--out", "drafted", "--set", f"drafter=draft_model(path='{newest('larger')}')"), "has a vocabulary of 41, the model has 20"),
    (("train", TINY, "--out", "drafted", "--set", f"drafter=draft_model(path={OTHER_TOKENS})"), "is '?', the model's is '+'"),
    (("train", TINY, "--out", "drafted", "--set", "drafter=draft_model(path=missing)"), "missing"),
    ((*GENERATE, "--prompt", b"\xff\xfe"), "UTF-8"),
    (("export", "--run", "run", "--output", "x", "--dtype", "int8"), "float32"),
    (("eval", "--model", MODEL, "--task", "countdown(numbers=2, high=9)", "--n", "2", "--k", "4"), "--k 4"),
    (("eval", "--model", MODEL, "--task", "cuontdown"), "did you mean 'countdown'?"),
    (("eval", "--model", MODEL, "--task", "countdown(number=3)"), "unknown option 'number'"),
    (("score", "--verifier", "countdwn", "--input", prompts), "did you mean 'countdown'?"),
    (("distill", "--model", MODEL, "--output", "x"), "--prompts"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "x", "--layers", "2"), "a student of 2 layers, the model has 2; wanted 1 to 1"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "x", "--layers", "0"), "--layers"),
    (("list", "advantages"), "did you mean 'advantage'?"),
    # files and folders
    (("train", "missing.textproto"), "missing.textproto"),
    (("train", "folder"), "folder"),
    (("train", write("binary.textproto", bytes(range(256)))), "binary.textproto"),
    (("train", write("empty.textproto", "")), "empty.textproto"),
    (("train", TINY, "--out", "run"), "holds a run already"),
    (("train", TINY, "--out", prompts), "is a file"),
    (("train", TINY, "--out", "/proc/nowhere/run"), "/proc/nowhere"),
    (("train", write("path.textproto", 'task: "countdown" model { path: "missing" } stage { kind: SFT steps: 1 batch_size: 1 learning_rate: 1e-3 }')),
     "missing"),
    (("resume", "folder"), "holds no run"),
    (("resume", "missing"), "holds no run"),
    (("inspect", "folder"), "holds no run"),
    (("export", "--run", "folder", "--output", "x"), "no checkpoint"),
    (("export", "--run", "run", "--step", "5", "--output", "x"), "no checkpoint of step 5; have: 6, 8"),
    (("export", "--run", "run", "--output", "folder"), "exists already"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "folder", "--layers", "1"), "exists already"),
    (("distill", "--model", "missing", "--prompts", prompts, "--output", "x", "--layers", "1"), "missing"),
    (("distill", "--model", MODEL, "--prompts", "missing.jsonl", "--output", "x", "--layers", "1"), "missing.jsonl"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "x", "--layers", "1"), "gives one answer"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "/proc/nowhere/x", "--layers", "1", "--samples", "4"), "/proc/nowhere"),
    (("distill", "--model", MODEL, "--prompts", prompts, "--output", "x", "--layers", "1", "--samples", "4", "--max_new_tokens", "4000"),
     "positions"),
    ((*GENERATE, "--prompts", "missing.jsonl"), "missing.jsonl"),
    ((*GENERATE, "--prompts", write("none.jsonl", "\n\n")), "no lines"),
    ((*GENERATE, "--prompts", write("bad.jsonl", '{"prompt": "1 2:3="}\n{"prompt": \n')), "bad.jsonl:2"),
    ((*GENERATE, "--prompts", write("latin.jsonl", b'{"prompt": "\xe9"}\n')), "latin.jsonl:1"),
    ((*GENERATE, "--prompts", write("both.jsonl", '{"prompt": "a", "tokens": [1]}\n')), "both.jsonl:1"),
    ((*GENERATE, "--prompts", write("number.jsonl", '{"prompt": 7}\n')), "number.jsonl:1"),
    ((*GENERATE, "--prompts", write("token.jsonl", '{"tokens": [1, 99999]}\n')), "99999"),
    ((*GENERATE, "--prompts", write("notokens.jsonl", '{"tokens": []}\n')), "notokens.jsonl:1"),
    ((*GENERATE, "--prompts", prompts, "--output", "folder"), "is a folder"),
    ((*GENERATE, "--prompts", prompts, "--output", "nowhere/out.jsonl"), "nowhere/out.jsonl"),
    ((*GENERATE, "--prompt", "1 2:3=", "--max_new_tokens", "4000"), "positions"),
    (("logprobs", "--model", MODEL, "--input", prompts), "prompt_tokens"),
    (("tokenize", "--model", MODEL, "--input", prompts), "'text'"),
    (("score", "--verifier", "countdown", "--input", prompts), "'completion'"),
    # model folders
    (("generate", "--model", "missing", "--prompt", "x"), "missing"),
    (("generate", "--model", broken_model("no_config", config__json=None), "--prompt", "1="), "config.json"),
    (("generate", "--model", broken_model("bad_config", config__json=b"{"), "--prompt", "1="), "config.json"),
    (("generate", "--model", broken_model("family", config__json=config(model_type="mamba")), "--prompt", "1="), "mamba"),
    (("generate", "--model", broken_model("act", config__json=config(hidden_act="gelu")), "--prompt", "1="), "hidden_act"),
    (("generate", "--model", broken_model("rope", config__json=config(rope_scaling={"rope_type": "dynamic"})), "--prompt", "1="),
     "'rope_scaling/rope_type' is \"dynamic\", wanted default, linear, llama3 or yarn"),
    (("generate", "--model", broken_model("quantised", config__json=config(quantization_config={"bits": 4})), "--prompt", "1="),
     "quantization_config"),
    (("generate", "--model", broken_model("huge_hidden", config__json=config(hidden_size=1 << 30)), "--prompt", "1="), "hidden_size"),
    (("generate", "--model", broken_model("zero", config__json=config(vocab_size=0)), "--prompt", "1="), "vocab_size"),
    (("generate", "--model", broken_model("typed", config__json=config(num_hidden_layers="two")), "--prompt", "1="), "num_hidden_layers"),
    (("generate", "--model", broken_model("window", config__json=config(model_type="mistral", architectures=["MistralForCausalLM"],
                                                                        sliding_window=-1)), "--prompt", "1="), "sliding_window"),
    (("generate", "--model", broken_model("biased", config__json=config(attention_bias=True)), "--prompt", "1="), "q_proj.bias"),
    (("generate", "--model", broken_model("heads", config__json=config(num_key_value_heads=3)), "--prompt", "1="), "num_key_value_heads"),
    (("generate", "--model", broken_model("wide", config__json=config(hidden_size=64)), "--prompt", "1="), "the model wants"),
    (("generate", "--model", broken_model("no_weights", model__safetensors=None), "--prompt", "1="), "model.safetensors"),
    (("generate", "--model", broken_model("tiny", model__safetensors=b"abc"), "--prompt", "1="), "model.safetensors"),
    (("generate", "--model", broken_model("cut", model__safetensors=lambda old: old[:-40]), "--prompt", "1="), "truncated"),
    (("generate", "--model", broken_model("lie", model__safetensors=lambda old: b"\xff" * 8 + old[8:]), "--prompt", "1="), "header"),
    (("generate", "--model", broken_model("deep", model__safetensors=header(lambda _: "[" * 100000)), "--prompt", "1="), "header"),
    (("generate", "--model", broken_model("past", model__safetensors=with_tensor(data_offsets=[0, 1 << 62])), "--prompt", "1="), "outside"),
    (("generate", "--model", broken_model("overlap", model__safetensors=with_tensor(data_offsets=[0, 128])), "--prompt", "1="), "overlap"),
    (("generate", "--model", broken_model("huge", model__safetensors=with_tensor(shape=[1 << 62, 16])), "--prompt", "1="), "does not fit"),
    (("generate", "--model", broken_model("type", model__safetensors=with_tensor(dtype="I64")), "--prompt", "1="), "I64"),
    (("generate", "--model", broken_model("twice", model__safetensors=header(
        lambda entries: json.dumps(entries)[:-1] + ', "model.norm.weight": {}}')), "--prompt", "1="), "stands twice"),
    (("generate", "--model", broken_model("lost", model__safetensors=header(
        lambda entries: json.dumps({name: entry for name, entry in entries.items() if name != "model.norm.weight"}))), "--prompt", "1="),
     "belong to no tensor"),
    (("generate", "--model", broken_model("gap", model__safetensors=lambda old: old + b"more"), "--prompt", "1="), "belong to no tensor"),
    (("generate", "--model", broken_model("bias", model__safetensors=renamed("model.norm.weight", "model.norm.bias")), "--prompt", "1="),
     "'model.norm.weight' is missing"),
    (("generate", "--model", broken_model("extra", model__safetensors=extra("model.layers.0.mlp.up_proj.bias")), "--prompt", "1="),
     "'model.layers.0.mlp.up_proj.bias' has no place"),
    (("generate", "--model", broken_model("large", config__json=config(vocab_size=10000000, hidden_size=10000)), "--prompt", "1="),
     "do not belong together"),
    (("generate", "--model", sharded("outside", "../x.safetensors"), "--prompt", "1="), "wanted the name of a file in the same folder"),
    (("generate", "--model", sharded("lost_shard", "x.safetensors"), "--prompt", "1="), "x.safetensors: cannot read"),
    (("generate", "--model", broken_model("nan", model__safetensors=lambda old: old[:-4] + NAN), "--prompt", "1="), "nan"),
    (("generate", "--model", broken_model("no_tokenizer", tokenizer__model=None, tokenizer__json=None), "--prompt", "1="), "tokenizer.model"),
    (("generate", "--model", broken_model("bad_tokenizer", tokenizer__model=b"\x00garbage"), "--prompt", "1="), "tokenizer.model"),
]

before = sorted(os.listdir("."))
failures = []
for call, expected in CASES:
    done = subprocess.run([HONE, *call], capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    line = done.stderr.decode(errors="replace")
    shown = " ".join(part.decode(errors="replace") if isinstance(part, bytes) else part for part in call)
    if call and (line.count("\n") != 1 or len(line) > 401 or not line.startswith("hone: ")):
        failures.append(f"hone {shown}: not one line of at most 400 characters:\n{line[:600]}")
    if done.returncode != 2:
        failures.append(f"hone {shown}: exit status {done.returncode}, wanted 2: {line[:300]}")
    if expected not in line:
        failures.append(f"hone {shown}: '{expected}' is not in: {line[:400]}")
    print(f"hone {shown[:100]}\n    {line.strip()[:400]}")
assert not failures, "\n".join(failures)
assert sorted(os.listdir(".")) == before, "a wrong call left something behind"

# A full disk: the work fails with status 1, one line, and nothing half-written under the final name.
done = subprocess.run([HONE, *GENERATE, "--prompts", prompts], stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE, text=True)
assert done.returncode == 1 and done.stderr.count("\n") == 1 and "standard output" in done.stderr, done.stderr
print(f"{len(CASES)} wrong calls, each with its line")
