#!/usr/bin/env python3
"""The byte-level BPE tokenizer inside a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) as the files of a Hugging
Face model folder: tokenizer.json, tokenizer_config.json with the chat template, special_tokens_map.json.

    tools/gguf_tokenizer.py MODEL.gguf FOLDER

GGUF keeps tokens, merges and the pre-tokenizer's name; what that name stands for is the table PRE_TOKENIZERS. Needs no package.
"""
import json
import os
import struct
import sys

# The value types of GGUF that are one number, as struct formats; 8 is text and 9 an array.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
CONTROL, USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def words(digits):
    """The cut that Llama-3 and Qwen share; they differ in how many digits are one word."""
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits +
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


# name in GGUF -> (normalizer, pre_tokenizer, ignore_merges)
PRE_TOKENIZERS = {
    "gpt-2": (None, byte_level(True), False),
    "smollm": (None, sequence({"type": "Digits", "individual_digits": True}, byte_level(True)), False),
    "starcoder": (None, sequence({"type": "Digits", "individual_digits": True}, byte_level(True)), False),
    "llama-bpe": (None, sequence(words(r"\p{N}{1,3}"), byte_level(False)), True),
    "qwen2": ({"type": "NFC"}, sequence(words(r"\p{N}"), byte_level(False)), False),
}


def read_metadata(path):
    """Key -> value of the file's header."""
    with open(path, "rb") as file:
        def number(form):
            size = struct.calcsize(form)
            data = file.read(size)
            if len(data) != size:
                sys.exit(f"{path}: ends inside its header; fetch it again")
            return struct.unpack("<" + form, data)[0]

        def value(kind):
            if kind == TEXT:
                return file.read(number("Q")).decode("utf-8")
            if kind == ARRAY:
                kind, count = number("I"), number("Q")
                return [value(kind) for _ in range(count)]
            if kind not in NUMBERS:
                sys.exit(f"{path}: value type {kind} is not one of GGUF's")
            return number(NUMBERS[kind])

        if file.read(4) != b"GGUF" or number("I") not in (2, 3):
            sys.exit(f"{path}: is no GGUF file of version 2 or 3")
        number("Q")  # tensors
        return {value(TEXT): value(number("I")) for _ in range(number("Q"))}


def added_tokens(tokens, types):
    return [{"id": token, "content": tokens[token], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": kind == CONTROL} for token, kind in enumerate(types) if kind in (CONTROL, USER_DEFINED)]


def begin_in_front(begin, token):
    def special(kind):
        return {"SpecialToken": {"id": begin, "type_id": kind}}

    def text(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}

    return {"type": "TemplateProcessing", "single": [special(0), text("A", 0)],
            "pair": [special(0), text("A", 0), special(1), text("B", 1)],
            "special_tokens": {begin: {"id": begin, "ids": [token], "tokens": [begin]}}}


def tokenizer_files(metadata, pre=None):
    """File name -> JSON value. `pre` overrides the name of the pre-tokenizer."""
    def field(name, default=None):
        return metadata.get("tokenizer.ggml." + name, default)

    pre = pre or field("pre")
    if field("model") != "gpt2" or pre not in PRE_TOKENIZERS:
        sys.exit(f"tokenizer '{field('model')}' with pre-tokenizer '{pre}' is not known; known: gpt2 with {', '.join(PRE_TOKENIZERS)}")
    normalizer, pre_tokenizer, ignore_merges = PRE_TOKENIZERS[pre]
    tokens = field("tokens")
    names = {role: tokens[field(key)] for role, key in
             (("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"), ("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id"))
             if field(key) is not None}
    post_processor = byte_level(True)
    if field("add_bos_token", pre == "llama-bpe"):
        begin = begin_in_front(names["bos_token"], field("bos_token_id"))
        post_processor = {"type": "Sequence", "processors": [byte_level(True), begin]}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": added_tokens(tokens, field("token_type")),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges,
                  "vocab": {text: token for token, text in enumerate(tokens)}, "merges": field("merges")},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    if "tokenizer.chat_template" in metadata:
        config["chat_template"] = metadata["tokenizer.chat_template"]
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": config, "special_tokens_map.json": names}


def write_tokenizer(path, folder, pre=None):
    """Writes the tokenizer of the GGUF file at `path` into `folder`."""
    os.makedirs(folder, exist_ok=True)
    for name, content in tokenizer_files(read_metadata(path), pre).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} MODEL.gguf FOLDER")
    write_tokenizer(*sys.argv[1:])
