"""Turns a Llama GGUF file with a byte-level BPE tokenizer into a folder as Hugging Face lays it out: config.json,
generation_config.json, model.safetensors, and the tokenizer's files (tools/gguf_tokenizer.py).

    gguf_to_folder.py GGUF FOLDER [float32|bfloat16]          needs numpy and the PyPI package gguf; tools/get_smollm2.sh calls it

Quantised weights come out as the numbers that they stand for, so float32 is exact and bfloat16 rounds once more.
"""
import importlib.util
import json
import os
import sys
import types

import numpy

import gguf_tokenizer


def gguf_modules():
    """The two modules of the package that are used; its __init__ would import all the others and what those depend on."""
    spec = importlib.util.find_spec("gguf")
    if spec is None:
        sys.exit("gguf_to_folder: no Python package gguf: pip install --no-deps gguf")
    package = types.ModuleType("gguf")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["gguf"] = package
    from gguf import gguf_reader, quants
    return gguf_reader, quants


class Metadata:
    def __init__(self, path):
        self.path, self.fields = path, gguf_tokenizer.read_metadata(path)

    def want(self, key):
        if key not in self.fields:
            sys.exit(f"gguf_to_folder: {self.path} has no '{key}': not a Llama model with a tokenizer")
        return self.fields[key]

    def get(self, key, default=None):
        return self.fields.get(key, default)


def shortest(number):
    """GGUF stores float32: 1e-05 comes back as 9.99999974e-06, which as float64 is another number."""
    return float(str(numpy.float32(number)))


# ---- Weights ----

LAYER_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def hugging_face_name(name):
    if name in TOP_NAMES:
        return TOP_NAMES[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in LAYER_NAMES and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.weight"
    sys.exit(f"gguf_to_folder: no place for tensor '{name}': not a plain Llama model")


def halves_from_pairs(rows, heads):
    """llama.cpp rotates neighbouring rows (2i, 2i+1) of a head, Hugging Face rows (i, i + head_dim / 2): its converter
    interleaves the two halves of each head of q_proj and k_proj, and this takes them apart again."""
    count, width = rows.shape
    return rows.reshape(heads, count // heads // 2, 2, width).swapaxes(1, 2).reshape(count, width)


def write_safetensors(path, tensors, dtype):
    """tensors: name -> (shape, function that gives the float32 numbers), so that one tensor at a time is in memory."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, _) in tensors.items():
        end = offset + int(numpy.prod(shape)) * (4 if dtype == "float32" else 2)
        header[name] = {"dtype": "F32" if dtype == "float32" else "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, values in tensors.values():
            values = numpy.ascontiguousarray(values(), dtype="<f4")
            if dtype == "bfloat16":  # to the nearest, ties to even
                bits = values.view("<u4").astype(numpy.uint64)
                values = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
            file.write(values.tobytes())


def tensors_of(reader, quants, heads, kv_heads):
    tensors = {}
    for tensor in reader.tensors:
        name = hugging_face_name(tensor.name)
        heads_of = heads if "q_proj" in name else kv_heads if "k_proj" in name else None

        def values(tensor=tensor, heads_of=heads_of):
            plain = quants.dequantize(tensor.data, tensor.tensor_type)
            return plain if heads_of is None else halves_from_pairs(plain, heads_of)

        tensors[name] = ([int(extent) for extent in reversed(tensor.shape)], values)
    return dict(sorted(tensors.items()))


# ---- Configuration ----

def config_of(metadata, tied, dtype):
    if metadata.want("general.architecture") != "llama":
        sys.exit(f"gguf_to_folder: {metadata.path} is a '{metadata.want('general.architecture')}' model, wanted 'llama'")
    hidden, heads = metadata.want("llama.embedding_length"), metadata.want("llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata.want("tokenizer.ggml.tokens")),
        "hidden_size": hidden,
        "intermediate_size": metadata.want("llama.feed_forward_length"),
        "num_hidden_layers": metadata.want("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", heads),
        "head_dim": metadata.get("llama.attention.key_length", hidden // heads),
        "max_position_embeddings": metadata.want("llama.context_length"),
        "rope_theta": shortest(metadata.get("llama.rope.freq_base", 10000.0)),
        "rope_scaling": None,
        "rms_norm_eps": shortest(metadata.want("llama.attention.layer_norm_rms_epsilon")),
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "initializer_range": hidden**-0.5,
        "bos_token_id": metadata.want("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.want("tokenizer.ggml.eos_token_id"),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": dtype,
        "use_cache": True,
    }


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["float32"], ["bfloat16"]):
        sys.exit(__doc__)
    source, folder = sys.argv[1:3]
    dtype = sys.argv[3] if len(sys.argv) == 4 else "float32"
    gguf_reader, quants = gguf_modules()
    reader = gguf_reader.GGUFReader(source)
    metadata = Metadata(source)
    tied = all(tensor.name != "output.weight" for tensor in reader.tensors)
    config = config_of(metadata, tied, dtype)
    generation = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}

    gguf_tokenizer.write_tokenizer(source, folder)
    for name, content in {"config.json": config, "generation_config.json": generation}.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
    tensors = tensors_of(reader, quants, config["num_attention_heads"], config["num_key_value_heads"])
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors, dtype)


if __name__ == "__main__":
    main()
