"""The exported folder in transformers, float32: log-probabilities, greedy text and token ids are ours."""
import json
import os
import shutil
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, os.path.join(os.environ["HONE_SOURCE"], "tests/e2e"))
from hone_cli import hone, lines, train  # noqa: E402

GREEDY_PROMPTS, NEW_TOKENS, TOLERANCE = 50, 24, 1e-4
torch.set_num_threads(2)


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def prompt(i):
    return f"{i % 9 + 1} {i * 7 % 9 + 1}:{i * 5 % 29 + 2}="


def same_logprobs(model, rows):
    worst = 0
    for row in rows:
        ids = torch.tensor([row["prompt_tokens"] + row["tokens"]])
        with torch.no_grad():
            logprobs = model(ids).logits.log_softmax(-1)[0]
        start = len(row["prompt_tokens"]) - 1
        for i, token in enumerate(row["tokens"]):
            worst = max(worst, abs(logprobs[start + i, token].item() - row["logprobs"][i]))
    assert worst <= TOLERANCE, worst
    return worst


def same_greedy_text(model, tokenizer, rows):
    for row in rows:
        ids = torch.tensor([row["prompt_tokens"]])
        with torch.no_grad():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False)[0]
        answer = out[ids.shape[1]:].tolist()
        assert answer == row["tokens"], (row["id"], answer, row["tokens"])
        assert tokenizer.decode(answer, skip_special_tokens=True) == row["text"], row


def same_ids(folder, tokenizer, texts):
    write("texts.jsonl", [{"text": text} for text in texts])
    hone("tokenize", "--model", folder, "--input", "texts.jsonl", "--output", "tokens.jsonl")
    for row in lines("tokens.jsonl"):
        assert tokenizer(row["text"], add_special_tokens=False)["input_ids"] == row["tokens"], row
        assert tokenizer(row["text"])["input_ids"] == [tokenizer.bos_token_id] + row["tokens"], row


def texts():
    """Problems, answers, and what no tokenizer of digits has seen."""
    rows = [prompt(i) for i in range(400)] + [f"({i}+{i * 3 % 50})*{i % 7}-{i}/5" for i in range(400)]
    rows += [f"{i}  {i}   :: {'=' * (i % 5)}" for i in range(150)]
    rows += ["", " ", "  leading", "trailing  ", "\tTab", "naïve Größe", "数字 12", "🙂 3+4", "<s>", "</s> 1", "1234567890", "a\u0301"]
    return rows + [f"mixed {i} été {i * i}" for i in range(60)]


for tokenizer_spec in ("sentencepiece(model_type=char)", "sentencepiece(model_type=char, whole_numbers=30)",
                       "sentencepiece(model_type=bpe, vocabulary_size=60)"):
    shutil.rmtree("run", ignore_errors=True)
    shutil.rmtree("exported", ignore_errors=True)
    train("run", f"model.tokenizer={tokenizer_spec}", "stage[1].steps=4")
    hone("export", "--run", "run", "--output", "exported")
    model = AutoModelForCausalLM.from_pretrained("exported", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained("exported")

    write("prompts.jsonl", [{"id": i, "prompt": prompt(i)} for i in range(GREEDY_PROMPTS)])
    common = ("--model", "exported", "--prompts", "prompts.jsonl", "--max_new_tokens", NEW_TOKENS, "--logprobs")
    hone("generate", *common, "--temperature", 0, "--output", "greedy.jsonl")
    hone("generate", *common, "--n", 4, "--output", "sampled.jsonl")
    worst = same_logprobs(model, lines("greedy.jsonl") + lines("sampled.jsonl"))
    same_greedy_text(model, tokenizer, lines("greedy.jsonl"))
    checked = texts()
    assert len(checked) >= 1000
    same_ids("exported", tokenizer, checked)
    print(f"{tokenizer_spec}: largest difference of log-probabilities {worst:.1e}, {GREEDY_PROMPTS} greedy answers and "
          f"{len(checked)} tokenised lines equal")
