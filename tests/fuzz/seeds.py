"""Writes what fuzzing starts from: FOLDER/safetensors, FOLDER/tokenizer_json, a dictionary for each, and FOLDER/deep_tokenizer_json, files
that are too large to mutate.    seeds.py FOLDER"""
import copy
import json
import os
import struct
import sys

FOLDER = sys.argv[1]


def save(target, name, content):
    folder = os.path.join(FOLDER, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def save_dictionary(target, words):
    escaped = ["".join(c if c.isalnum() or c in " _{}[]:,.<>" else f"\\x{ord(c):02x}" for c in word) for word in sorted(words)]
    with open(os.path.join(FOLDER, target + ".dict"), "w") as file:
        file.writelines(f'"{word}"\n' for word in escaped)


def words_of(value):
    """Every key and every text of plain ASCII in a JSON value, quoted."""
    if isinstance(value, dict):
        return set().union(*(words_of(part) for pair in value.items() for part in pair))
    if isinstance(value, list):
        return set().union(*map(words_of, value))
    return {json.dumps(value)} if isinstance(value, str) and value.isascii() else set()


# ---- safetensors: see safetensors_fuzz.cc for the first byte ----

def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = {"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 2], 0, 16), "b": tensor("BF16", [3], 16, 22), "c": tensor("F16", [], 22, 24),
        "empty": tensor("F32", [0, 4], 24, 24)}
DATA = bytes(range(24))


def in_form(form, header, data=DATA):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"H" + text + b"\0" + data if form == "H" else b"F" + struct.pack("<Q", len(text)) + text + data


headers = {
    "good": GOOD, "none": {}, "past": {**GOOD, "b": tensor("BF16", [3], 16, 1 << 62)}, "overlap": {**GOOD, "b": tensor("BF16", [3], 8, 14)},
    "gap": {"a": tensor("F32", [2, 2], 8, 24)}, "huge": {"a": tensor("F32", [1 << 62, 4], 0, 24)}, "negative": {"a": tensor("F32", [-6], 0, 24)},
    "twice": b'{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
    "integers": {"a": tensor("I64", [3], 0, 24)}, "deep": b'{"a":' + b"[" * 200, "list": b"[1, 2, 3]", "text": b'"a"',
}
for name, header in headers.items():
    for form in "HF":
        save("safetensors", f"{name}_{form}", in_form(form, header))
save("safetensors", "liar", b"F" + b"\xff" * 8 + b"{}")
save("safetensors", "short", b"F\1\0")
for name, tensors in {"two": [0, 2, 3, 0, 1, 5, 1, 0], "none": [], "empty": [2, 0, 0, 0], "gap": [2, 4, 4, 0, 0, 1, 1, 3], "overlap": [0, 9, 7, 0, 0, 4, 4, 252]}.items():
    save("safetensors", f"tensors_{name}", b"T" + bytes(tensors))
for name, shard in {"good": "model-00001-of-00002.safetensors", "outside": "../x", "absolute": "/etc/passwd", "number": 7}.items():
    save("safetensors", f"index_{name}", "I" + json.dumps({"metadata": {"total_size": 24}, "weight_map": {"a": shard, "b": "x.safetensors"}}))
save_dictionary("safetensors", words_of(GOOD) | {'"weight_map"', "[0,16]", "9223372036854775807", "9223372036854775808", "18446744073709551615",
                                                 "1e300", "-1", '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}', "null"})


# ---- tokenizer.json ----

def byte_letters():
    """GPT-2's letter for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(256 + others.index(b)) for b in range(256)]


LETTERS = byte_letters()
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False,
         "pattern": {"Regex": r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}}
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o"]
VOCABULARY = {token: i for i, token in enumerate([*LETTERS, "he", "ll", "hell", "hello", "Ġw", "Ġwo"])}
ADDED = {"id": len(VOCABULARY), "content": "<|im_end|>", "single_word": False, "lstrip": False, "rstrip": True, "normalized": False, "special": True}
MODEL = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
         "byte_fallback": False, "ignore_merges": False, "vocab": VOCABULARY, "merges": MERGES}
GPT2 = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [ADDED], "normalizer": None, "pre_tokenizer": BYTE_LEVEL,
        "post_processor": BYTE_LEVEL, "decoder": BYTE_LEVEL, "model": MODEL}
# Few tokens, so that mutations fall on what matters.
SMALL = {**GPT2, "model": {**MODEL, "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3, "<0x0A>": 4}, "merges": [["a", "b"]], "unk_token": "<unk>"},
         "added_tokens": [{**ADDED, "id": 5, "normalized": True}]}
BEGIN = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [], "special_tokens": {"<unk>": {"id": "<unk>", "ids": [3], "tokens": ["<unk>"]}}}


def changed(base, **changes):
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = result
        for parent in parents:
            place = place[parent]
        place[last] = value
    return result


def sequence(kind, *steps):
    return {"type": "Sequence", kind: list(steps)}


tokenizers = {
    "gpt2": GPT2,
    "llama3": changed(GPT2, pre_tokenizer=sequence("pretokenizers", SPLIT, {**BYTE_LEVEL, "use_regex": False}), model__ignore_merges=True),
    "qwen": changed(GPT2, normalizer={"type": "NFC"}, model__merges=[merge.split() for merge in MERGES]),
    "smollm": changed(GPT2, pre_tokenizer=sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, BYTE_LEVEL)),
    "small": SMALL,
    "llama2": changed(SMALL, model__byte_fallback=True, model__fuse_unk=True, post_processor=BEGIN, pre_tokenizer=None,
                      normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "_"},
                                          {"type": "Replace", "pattern": {"String": " "}, "content": "_"}),
                      decoder=sequence("decoders", {"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"},
                                       {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})),
    "metaspace": changed(SMALL, pre_tokenizer={"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True}),
    "split": changed(SMALL, pre_tokenizer=sequence("pretokenizers", {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "MergedWithNext",
                                                                      "invert": True}), normalizer={"type": "NFKD"}),
    "no_merges": {**SMALL, "model": {key: value for key, value in SMALL["model"].items() if key != "merges"}},
    "bad_merge": changed(SMALL, model__merges=[["a", "z"]]), "twin_ids": changed(SMALL, model__vocab={"a": 0, "b": 0}),
    "huge_id": changed(SMALL, model__vocab={"a": 1 << 40}), "bad_regex": changed(SMALL, pre_tokenizer={**SPLIT, "pattern": {"Regex": "(["}}),
}
for name, tokenizer in tokenizers.items():
    save("tokenizer_json", name, json.dumps(tokenizer, ensure_ascii=False))
for name, inner in {"normalizer": '{"type":"Sequence","normalizers":[', "pre_tokenizer": '{"type":"Sequence","pretokenizers":[', "decoder": "[",
                    "added_tokens": '{"a":'}.items():
    closing = {"[": "]", ":": "}"}
    nested = inner * 50_000 + ("0" if inner[-1] == ":" else "") + (closing[inner[-1]] + ("}" if len(inner) > 9 else "")) * 50_000
    json_text = json.dumps({**SMALL, name: "@"}, ensure_ascii=False)
    save("deep_tokenizer_json", name, json_text.replace('"@"', nested))
save_dictionary("tokenizer_json", set().union(*(words_of(changed(t, model__vocab={})) for t in tokenizers.values())) |
                {'"Removed"', '"MergedWithPrevious"', '"Contiguous"', '"NFD"', '"NFKC"', '"always"', '"never"', '"left"', '"right"', "null", "true",
                 "false", r'"\\p{L}+"', '"<0xFF>"', "4294967296"})
