"""Hone's tokens and texts are those of Hugging Face's tokenizers and of sentencepiece: no difference in ids or in decoded text."""
# ctest: PROCESSORS 2
import glob
import io
import json
import os
import random
import sys
import sysconfig
import time

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

SOURCE = os.environ["HONE_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests/e2e"))
from hone_cli import hone, lines  # noqa: E402
import vocabularies  # noqa: E402

GSM8K = os.path.join(SOURCE, "../shared/data/gsm8k")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<s>", "</s>", "<unk>", "<tool>", "ab",
           "Word", "  ", "\u00e9", "Ⓐ")
SPACES = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
MARKS = "\u0301\u0300\u0315\u0323\u0327\u0338\u093c\u0f71\u3099\u0591\u05b0\u08ca\u1abf\u0334"
EMOJI = ("\U0001F469\u200d\U0001F4BB", "\U0001F3F4\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F", "\U0001F44D\U0001F3FD",
         "\U0001F1E9\U0001F1EA",
         "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001F468\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466", "\U0001FAE8")
WORDS = ("the", "Hello", "I'll", "they'RE", "don't", "x's", "naïve", "Größe", "日本語", "数字", "привет", "שלום", "مرحبا", "한국어", "ที่", "हिन्दी", "ﬁﬂ", "Å", "①②", "½",
         "٣٤٥", "12345", "3.14", "1e9", "0x1F", "snake_case", "CamelCase", "a+b", "->", "...", "!?", "'s", "'S", "’s", "\u0130", "ß", "\u01c5", "e\u0301")


def english():
    if os.path.isdir(GSM8K):
        for name in ("train.jsonl", "test.jsonl"):
            for row in lines(os.path.join(GSM8K, name)):
                yield row["question"]
                yield row["answer"]
    else:
        draw = random.Random(1)
        for _ in range(8000):
            yield " ".join(draw.choice(WORDS + ("of", "apples", "and", "costs", "$5", "each.\n")) for _ in range(draw.randrange(40)))


def source_code():
    names = [path for pattern in ("*/*.cc", "*/*.py", "*/*.h", "*.md") for path in glob.glob(os.path.join(SOURCE, pattern))]
    names += sorted(glob.glob(os.path.join(sysconfig.get_paths()["stdlib"], "*.py")))[:40]
    for name in names:
        with open(name, encoding="utf-8", errors="replace", newline="") as file:
            yield from file


def every_block():
    """All of the planes with characters in them, and some of the others."""
    points = [*range(0xD800), *range(0xE000, 0x18E00), *range(0x1AFF0, 0x20080), *range(0x2A6C0, 0x2A720), *range(0x3134A, 0x32400, 97),
              *range(0xE0000, 0xE0200), 0xF0000, 0x10FFFD, 0x10FFFF]
    for at in range(0, len(points), 24):
        yield "".join(map(chr, points[at:at + 24]))
    for at in range(0, len(points), 7):
        point = chr(points[at])
        yield f"a{point}1 {point}\n{point}{point}\u0315\u0301'{point}"


def mixtures(count):
    draw = random.Random(2)
    pools = (SPACES, MARKS, EMOJI, WORDS, SPECIAL, "abcdefghijklmnopqrstuvwxyz", "0123456789", "'\"()[]{}<>|_-+=*/\\.,;:!?#@&%$^~`", " ", "\n")
    for _ in range(count):
        pool = [draw.choice(pools) for _ in range(draw.randrange(1, 5))]
        yield "".join(draw.choice(draw.choice(pool)) for _ in range(draw.randrange(30)))


def long_words():
    draw = random.Random(3)
    for characters in ("a", "ab", "abcdefghijklmnopqrstuvwxyz", "0123456789", " ", "\n ", "é\u0301", "日本語", "=-", "\U0001F469\u200d"):
        for length in (63, 64, 65, 1000, 20000):
            yield "".join(draw.choice(characters) for _ in range(length))
    yield "a" + "\u0301\u0327" * 200


def corpus():
    texts = ["", " ", "\0", "a\0b"] + [text * count for text in SPACES for count in (1, 2, 3, 8)] + [f"x{text}y{text}" for text in SPACES]
    texts += [before + token + after for token in SPECIAL for before in ("", " ", "a", "a  ", "\u3000", "é", ".") for after in ("", " ", "b", "  b", "\n", "_", "\u0301", token)]
    code = list(source_code())
    return texts + list(english())[::2] + code[:5000] + list(every_block()) + list(mixtures(4000)) + list(long_words())


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def token_sequences(size, count):
    """Any tokens in any order: characters cut anywhere, special tokens between."""
    draw = random.Random(4)
    return [[draw.randrange(size) for _ in range(draw.randrange(24))] for _ in range(count)]


def compare(name, folder, input_path, texts, encode, decode, size, round_trip=None, ties=0):
    """`ties`: so many lines may have the same tokens in another order."""
    hone("tokenize", "--model", folder, "--input", input_path, "--output", "tokens.jsonl")
    tokens, tied, bad = 0, [], []
    ours = lines("tokens.jsonl")
    assert len(ours) == len(texts)
    start = time.process_time()
    wanted = [encode(text) for text in texts]
    seconds = time.process_time() - start
    for text, row, ids in zip(texts, ours, wanted):
        tokens += len(ids)
        decoded = decode(ids)
        if row["tokens"] != ids or row["decoded"] != decoded or (round_trip and round_trip(text) and row["decoded"] != text):
            same_pieces = sorted(row["tokens"]) == sorted(ids) and row["decoded"] == decoded
            (tied if same_pieces and len(tied) < ties else bad).append((text[:80], row["tokens"][:20], ids[:20], row["decoded"][:80], decoded[:80]))
    assert not bad, f"{name}: {len(bad)} of {len(texts)} lines differ, such as {bad[:3]}"

    sequences = token_sequences(size, 3000)
    write("sequences.jsonl", [{"tokens": ids} for ids in sequences])
    hone("tokenize", "--model", folder, "--input", "sequences.jsonl", "--output", "decoded.jsonl")
    bad = [(ids, row["decoded"], decode(ids)) for ids, row in zip(sequences, lines("decoded.jsonl"), strict=True) if row["decoded"] != decode(ids)]
    assert not bad, f"{name}: {len(bad)} of {len(sequences)} token sequences differ, such as {bad[:3]}"
    if tied:
        print(f"{name}: cut otherwise with the same score: {tied}")
    print(f"{name}: {len(texts)} lines, {tokens} tokens and {len(sequences)} token sequences, no difference; "
          f"the library took {seconds:.2f} s to encode")
    return len(texts)


def compare_with_tokenizers(name, tokenizer, input_path, texts, round_trip=None):
    """`tokenizer`: of the tokenizers library, or a folder with tokenizer.json."""
    folder = tokenizer
    if isinstance(tokenizer, Tokenizer):
        folder = os.path.join("folders", name)
        os.makedirs(folder, exist_ok=True)
        tokenizer.save(os.path.join(folder, "tokenizer.json"))
    loaded = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    size = max(loaded.get_vocab(with_added_tokens=True).values()) + 1
    return compare(name, folder, input_path, texts, lambda text: loaded.encode(text, add_special_tokens=False).ids, loaded.decode, size, round_trip)


def plain(text):
    return not any(special in text for special in SPECIAL[:8])


def all_families(texts, training):
    """The tokenizers that people use: real vocabularies if there are, else trained ones with the same steps."""
    count = 0
    for name in vocabularies.REAL:
        if vocabularies.write_real(name, os.path.join("folders", name)):
            kept = plain if name != "qwen2" else None  # NFC changes text
            count += compare_with_tokenizers(name, os.path.join("folders", name), "texts.jsonl", texts, kept)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trained = {
        "smollm": vocabularies.byte_level(None, digits, training),
        "llama-3": vocabularies.byte_level(None, vocabularies.words(r"\p{N}{1,3}"), training),
        "qwen": vocabularies.byte_level(normalizers.NFC(), vocabularies.words(r"\p{N}"), training),
    }
    for name, tokenizer in trained.items():
        count += compare_with_tokenizers(name, tokenizer, "texts.jsonl", texts, plain if name != "qwen" else None)
    return count


def added_tokens(tokenizer):
    """Every kind, also such that overlap, hold white space, or begin alike."""
    tokenizer.add_special_tokens([AddedToken("<s>", lstrip=True, special=True), AddedToken("</s>", rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("ab", single_word=True), AddedToken("Word", normalized=False), AddedToken("  ", normalized=True),
                          AddedToken("\u00e9", normalized=True), AddedToken("Ⓐ", single_word=True, lstrip=True, rstrip=True), AddedToken("<tool>"),
                          AddedToken("<tool><tool>", rstrip=True), AddedToken(" \u3000", normalized=False, lstrip=True), AddedToken("\u0301", normalized=False)])
    return tokenizer


def all_steps(training):
    """Each step in each of its forms."""
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"split-{behavior}-{invert}", vocabularies.byte_level(None, vocabularies.split(Regex(r"[\s\d]|'(?=s)"), behavior, invert), training, 600)
    yield "split-text", vocabularies.byte_level(None, vocabularies.split("a", "merged_with_next"), training, 600)
    yield "prefix-space", vocabularies.byte_level(None, pre_tokenizers.ByteLevel(add_prefix_space=True), training, 600)
    contiguous = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    yield "digits", added_tokens(vocabularies.byte_level(normalizers.NFD(), contiguous, training, 600))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, added_tokens(vocabularies.byte_level(getattr(normalizers, form)(), pre_tokenizers.ByteLevel(add_prefix_space=False), training, 600))
    steps = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.NFKC(), normalizers.Replace("th", "ht"), normalizers.Prepend(">")])
    yield "normalizers", added_tokens(vocabularies.byte_level(steps, vocabularies.words(r"\p{N}{1,3}"), training, 600))
    mark = "\u2581"
    yield "llama-2", vocabularies.like_llama2(training, None, normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)]))
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            steps = pre_tokenizers.Metaspace(replacement=mark, prepend_scheme=scheme, split=cut)
            yield f"metaspace-{scheme}-{cut}", added_tokens(vocabularies.like_llama2(training, steps, byte_fallback=cut, fuse_unk=scheme == "first"))


def sentencepiece_models(texts, training):
    """Of two ways to cut a text with the same sum of scores, sentencepiece 0.1.97 and 0.2 may take different ones."""
    count = 0
    some = texts[::8]
    write("some_plain.jsonl", [{"text": text} for text in some])
    settings = {
        "bpe": dict(model_type="bpe", byte_fallback=True),
        "unigram": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False),
        "plain": dict(model_type="bpe", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False),
        "unknown": dict(model_type="unigram", normalization_rule_name="nfkc", user_defined_symbols=["<tool>", "ab"]),
        "char": dict(model_type="char", normalization_rule_name="identity", remove_extra_whitespaces=False, unk_surface="?"),
    }
    for name, options in settings.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(training[:1500]), model_writer=model, vocab_size=1000, hard_vocab_limit=False,
                                                 character_coverage=0.999, minloglevel=3, num_threads=1, **options)
        folder = os.path.join("folders", "sentencepiece-" + name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.model"), "wb") as file:
            file.write(model.getvalue())
        library = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        path, lines_ = ("plain.jsonl", texts) if name in ("bpe", "unigram") else ("some_plain.jsonl", some)
        ties = 3 if options["model_type"] == "unigram" else 0
        count += compare("sentencepiece " + name, folder, path, lines_, library.encode, library.decode, library.vocab_size(), ties=ties)
    return count


def refused(tokenizer):
    """Wrong files: exit status 2 and one line."""
    os.makedirs("folders/wrong", exist_ok=True)
    good = json.loads(tokenizer.to_str())
    without_merges = {**good, "model": {**good["model"], "merges": None}}
    missing_token = {**good, "model": {**good["model"], "vocab": {text: token for text, token in good["model"]["vocab"].items() if token != 400}}}
    for content in ("", "{", "[" * 100000, json.dumps(good)[:-1000], json.dumps(without_merges), json.dumps(missing_token)):
        with open("folders/wrong/tokenizer.json", "w", encoding="utf-8") as file:
            file.write(content)
        out, error = hone("tokenize", "--model", "folders/wrong", "--input", "some.jsonl", status=2)
        assert out == "" and error.count("\n") == 1 and len(error) <= 401 and "folders/wrong/tokenizer.json" in error, error


def main():
    texts = corpus()
    assert len(texts) >= 20000, len(texts)
    write("texts.jsonl", [{"text": text} for text in texts])
    some = texts[:1000] + texts[1000::9]
    write("some.jsonl", [{"text": text} for text in some])
    training = [text for text in list(english())[:3000] + list(source_code())[:3000] if text.strip()]

    count = all_families(texts, training)
    for name, tokenizer in all_steps(training):
        if name == "split-text":
            refused(tokenizer)
        count += compare_with_tokenizers(name, tokenizer, "some.jsonl", some)
    # sentencepiece 0.1.97 and 0.2 differ in what they make of a character 0.
    without_zero = [text for text in texts if "\0" not in text]
    write("plain.jsonl", [{"text": text} for text in without_zero])
    count += sentencepiece_models(without_zero, training)
    print(f"{count} lines compared in all")


main()
