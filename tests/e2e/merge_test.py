"""hone merge: the largest changes of a tuned model on its base, against the rule written out in Python; and what it refuses."""
import array
import json
import os
import shutil
import struct
import subprocess

from hone_cli import HONE, checkpoints, files_below, hone, newest, sha256, train

for name in ("run", "larger", "deeper", "own_head", "adapted", "models", "out"):
    shutil.rmtree(name, ignore_errors=True)
train("run", "stage[0].steps=20", "stage[0].checkpoint_every=10", "stage[1].steps=2", "evaluation.prompts=0")
BASE, TUNED = f"run/checkpoints/{checkpoints('run')[0]}", newest("run")
os.makedirs("models")
os.makedirs("out")


def split(folder):
    """The JSON header and the bytes behind it."""
    with open(folder + "/model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        return header, file.read()


def floats(folder):
    """All weights in the file's order, which is the model's."""
    header, data = split(folder)
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}
    return array.array("f", data)


def model(name, source=None, weights=None, rename=(), config=(), drop=(), **files):
    """A copy of a model folder: numbers replaced by place, a tensor renamed, keys of config.json changed, files removed or rewritten."""
    folder = shutil.copytree(source or BASE, "models/" + name)
    header, data = split(folder)
    values = array.array("f", data)
    for place, value in (weights or {}).items():
        values[place] = value
    text = json.dumps(header)
    for old, new in rename:
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    with open(folder + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text.encode() + values.tobytes())
    with open(folder + "/config.json", encoding="utf-8") as file:
        settings = json.load(file)
    with open(folder + "/config.json", "w", encoding="utf-8") as file:
        json.dump({**settings, **dict(config)}, file)
    for path in drop:
        os.remove(f"{folder}/{path}")
    for path, change in files.items():
        path = f"{folder}/{path.replace('__', '.')}"
        old = open(path, "rb").read()
        with open(path, "wb") as file:
            file.write(change(old))
    return folder


def merge(name, base, tuned, *options):
    out, _ = hone("merge", "--base", base, "--tuned", tuned, "--output", "out/" + name, *options)
    assert out.count("\n") == 1, out
    return "out/" + name, out


def expected(base, tuned, keep, scale):
    """Of all weights together those with the largest |tuned - base|, rounded to float32; equal ones stay or go together."""
    magnitudes = array.array("f", [abs(t - b) for b, t in zip(base, tuned)])
    least = sorted(magnitudes, reverse=True)[max(1, round(keep * len(base))) - 1]
    kept = [magnitude >= least for magnitude in magnitudes]
    values = [b if not stays else t if scale == 1 else b + scale * (t - b) for b, t, stays in zip(base, tuned, kept)]
    return array.array("f", values), sum(stays and magnitude > 0 for stays, magnitude in zip(kept, magnitudes))


base, tuned = floats(BASE), floats(TUNED)
COUNT = len(base)
changed = sum(b != t for b, t in zip(base, tuned))
assert changed > COUNT / 2, (changed, COUNT)

# All changes in full: the tuned model, and every byte of the folder that hone export writes of it.
hone("export", "--run", "run", "--output", "models/exported")
whole, out = merge("whole", BASE, TUNED, "--keep", 1, "--scale", 1)
assert files_below(whole) == files_below("models/exported")
for path in files_below(whole):
    assert sha256(f"{whole}/{path}") == sha256(f"models/exported/{path}"), path
assert f"{COUNT} weights, {changed} changed by training, {changed} of these" in out, out

# The paper's quarter and factor; a hundredth; and the largest alone. Norms and embedding share the bound with the matrices.
for keep, scale in ((0.25, 0.7), (0.25, 1), (0.01, 2), (1e-9, 1), (1, 0.5)):
    folder, out = merge(f"keep_{keep}_{scale}", BASE, TUNED, "--keep", keep, "--scale", scale)
    values, kept = expected(base, tuned, keep, scale)
    assert floats(folder) == values, (keep, scale)
    assert f" {kept} of these" in out, (out, kept)
    # At least the share asked for, and here few are equal to the bound.
    assert max(1, round(keep * COUNT)) <= kept + COUNT - changed and kept <= keep * COUNT + 3, (kept, keep)
    assert sum(a != b for a, b in zip(floats(folder), base)) <= kept
assert merge("default", BASE, TUNED)[1].split(":")[1] == merge("quarter", BASE, TUNED, "--keep", 0.25, "--scale", 0.7)[1].split(":")[1]
assert sha256("out/default/model.safetensors") == sha256("out/quarter/model.safetensors")
hone("generate", "--model", "out/default", "--prompt", "3 4:7=", "--max_new_tokens", 8)

# +-0.5 three times, 0.25 once: the bound of one weight is 0.5 and keeps all three, whatever their signs; of four it is 0.25.
places = (0, COUNT // 3, COUNT // 2, COUNT - 1)
zeros = model("zeros", weights=dict.fromkeys(places, 0.0))
steps = model("steps", weights=dict(zip(places, (0.5, -0.5, 0.25, 0.5))))
for keep, result in ((1.4 / COUNT, (0.5, -0.5, 0, 0.5)), (4 / COUNT, (0.5, -0.5, 0.25, 0.5))):
    folder, out = merge(f"ties_{keep}", zeros, steps, "--keep", keep, "--scale", 1)
    assert tuple(floats(folder)[place] for place in places) == result, (keep, out)
    assert f" {sum(value != 0 for value in result)} of these" in out, out

# No change: the base. A scale of 0 as well.
same, out = merge("same", BASE, shutil.copytree(BASE, "models/copy"))
assert sha256(same + "/model.safetensors") == sha256(BASE + "/model.safetensors") and " 0 changed by training, 0 of these" in out, out
assert floats(merge("nothing", BASE, TUNED, "--scale", 0)[0]) == base

# What is stored as bfloat16 goes in exactly and comes out in either type.
hone("export", "--run", "run", "--output", "models/halves", "--dtype", "bfloat16")
halves, _ = merge("halves", BASE, "models/halves", "--keep", 1, "--scale", 1, "--dtype", "bfloat16")
assert files_below(halves) == files_below("models/halves")
assert all(sha256(f"{halves}/{path}") == sha256(f"models/halves/{path}") for path in files_below(halves))
rounded = array.array("f", b"".join(b"\0\0" + split("models/halves")[1][2 * i:2 * i + 2] for i in range(COUNT)))
assert floats(merge("widened", BASE, "models/halves", "--keep", 0.1, "--scale", 1)[0]) == expected(base, rounded, 0.1, 1)[0]

# ---- What is refused ----
SHORT = ("stage[0].steps=6", "stage[1].steps=2", "evaluation.prompts=0")
train("larger", *SHORT, "model.tokenizer=sentencepiece(model_type=char, whole_numbers=30)")
train("deeper", *SHORT, "model.layers=3")
train("own_head", *SHORT, "model.tie_word_embeddings=false")
with open("adapted.textproto", "w", encoding="utf-8") as file:
    file.write(f'threads: 2 task: "countdown(numbers=2, high=9, target_high=30)" model {{ path: "{TUNED}" lora: "lora(rank=2)" }} '
               "stage { kind: SFT steps: 1 batch_size: 4 learning_rate: 1e-3 } evaluation { prompts: 0 }")
train("adapted", recipe="adapted.textproto")
NAN, BIG = float("nan"), 3e38
MISTRAL = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
CASES = [
    ((), BASE, TUNED, "run", "run: exists already"),
    ((), BASE, TUNED, "/proc/nowhere/x", "/proc/nowhere"),
    ((), BASE, f"{TUNED}/../{os.path.basename(BASE)}", "x", "are the same folder"),
    ((), "missing", TUNED, "x", "missing"),
    ((), BASE, "missing", "x", "missing"),
    (("--keep", 0), BASE, TUNED, "x", "--keep"),
    (("--keep", 1.1), BASE, TUNED, "x", "--keep"),
    (("--keep", -0.5), BASE, TUNED, "x", "--keep"),
    (("--keep", "nan"), BASE, TUNED, "x", "--keep"),
    (("--scale", -1), BASE, TUNED, "x", "--scale"),
    (("--scale", "inf"), BASE, TUNED, "x", "--scale"),
    (("--dtype", "int8"), BASE, TUNED, "x", "float32"),
    ((), newest("adapted"), TUNED, "x", "holds a LoRA adapter, not a model; 'hone export"),
    ((), BASE, newest("adapted"), "x", "holds a LoRA adapter, not a model; 'hone export"),
    ((), BASE, newest("larger"), "x", "vocab_size is 41, that of " + BASE + " is 20; only a model and what training made of it can be merged"),
    ((), BASE, newest("deeper"), "x", "num_hidden_layers is 3"),
    ((), BASE, model("mistral", config=MISTRAL), "x", "models/mistral is a mistral model, " + BASE + " a llama"),
    ((), BASE, model("theta", config={"rope_theta": 500}), "x", "rope_theta or rope_scaling is another"),
    ((), BASE, model("epsilon", config={"rms_norm_eps": 0.1}), "x", "rms_norm_eps is another"),
    ((), BASE, newest("own_head"), "x", "tie_word_embeddings is another"),
    ((), newest("own_head"), TUNED, "x", "tie_word_embeddings is another"),
    ((), BASE, model("untied", config={"tie_word_embeddings": False}), "x", "'lm_head.weight' is missing"),
    # As many tokens, and one of them another: the character of '+' in SentencePiece's file.
    ((), BASE, model("tokens", tokenizer__model=lambda old: old.replace(b"\n\x01+", b"\n\x01?")), "x", "is '?', that of " + BASE + " is '+'"),
    ((), BASE, model("no_tokens", drop=("tokenizer.model", "tokenizer.json")), "x", "tokenizer.model"),
    ((), BASE, model("renamed", rename=[("model.norm.weight", "model.norm.bias")]), "x", "'model.norm.weight' is missing"),
    ((), BASE, model("no_weights", drop=("model.safetensors",)), "x", "model.safetensors"),
    ((), BASE, model("nan", weights={COUNT - 1: NAN}), "x", "holds nan at element"),
    ((), model("nan_base", weights={5: NAN}), TUNED, "x", "holds nan at element 5"),
    (("--scale", 3), model("low", weights={7: -BIG}), model("high", weights={7: BIG}), "x", "is beyond float32 when its update is scaled by 3; lower the scale"),
]
before = sorted(os.listdir("."))
for options, left, right, output, message in CASES:
    call = [HONE, "merge", "--base", left, "--tuned", right, "--output", output, *map(str, options)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    line = done.stderr
    assert done.returncode == 2 and not done.stdout, (call, done)
    assert line.startswith("hone: ") and line.count("\n") == 1 and len(line) <= 401 and message in line, (call, message, line)
    print(line.strip())
hone("merge", "--base", BASE, "--tuned", TUNED, status=2)
assert sorted(os.listdir(".")) == before, "a wrong call left something behind"
print(f"{COUNT} weights, {len(CASES)} wrong calls, each with its line")
