"""Prompts of a file as texts, chats and tokens: where the model reads the same, it learns the same; what it cannot read is refused by file and
line before anything is written."""
import json
import os
import re
import shutil
import tempfile

from hone_cli import TINY, hone, lines, newest, sha256, train

PROBLEMS = [(a, b, a + b) for a in range(1, 10) for b in range(1, 10)]
RECIPE = """
name: "file"
seed: 3
threads: 2
task: "countdown"
model { path: "model" }
stage { kind: SFT steps: 20 batch_size: 16 learning_rate: 3e-3 }
"""
RL = "stage { kind: RL steps: 4 prompts_per_step: 8 samples_per_prompt: 4 max_new_tokens: 8 learning_rate: 1e-3 samples_every: 1 checkpoint_every: 2 }\n"
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{{ sign }}"


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def asked(kind, text):
    """The same question, with the begin token in front as a text or as tokens, without it as a chat or as tokens."""
    if kind == "prompt":
        return {"prompt": text}
    if kind == "messages":
        return {"messages": [{"role": "system", "content": text[:2]}, {"role": "user", "content": text[2:-1]}],
                "chat_template_kwargs": {"sign": text[-1]}}
    return {"tokens": TOKENS[text] if kind == "tokens" else [BEGIN] + TOKENS[text]}


def task(kind):
    rows = [{**asked(kind, f"{a} {b}:{c}="), "answer": f"{a}+{b}", "metadata": {"numbers": [a, b], "target": c}} for a, b, c in PROBLEMS]
    write(f"{kind}.train.jsonl", rows[:60])
    write(f"{kind}.test.jsonl", rows[60:])
    return f"jsonl(path='{kind}.train.jsonl', held_out_path='{kind}.test.jsonl', demonstration_key=answer, verifier=countdown)"


def learnt(kind):
    """SFT draws no random numbers, and greedy evaluation neither: only what the model reads counts."""
    train(f"run_{kind}", f"task={task(kind)}", "evaluation.prompts=21", "evaluation.temperature=0", "evaluation.max_new_tokens=8",
          recipe="recipe.textproto")
    checkpoint = newest(f"run_{kind}")
    # The checkpoint carries the chat template.
    out, _ = hone("eval", "--model", checkpoint, "--task", task(kind), "--max_new_tokens", 8, "--temperature", 0, "--output", "eval.jsonl")
    rows = lines("eval.jsonl")
    assert rows[0]["prompt"] == "7 7:14=" and len(rows) == 21, rows
    return (sha256(checkpoint + "/model.safetensors"), out, lines(f"run_{kind}/metrics.jsonl")[-1]["eval/pass@1"],
            [(row["prompt"], row["completion"], row["score"]) for row in rows])


def test_what_is_read_is_what_counts():
    assert learnt("prompt") == learnt("tokens_with_begin")
    assert learnt("messages") == learnt("tokens")
    assert sha256(newest("run_prompt") + "/model.safetensors") != sha256(newest("run_tokens") + "/model.safetensors")


def test_reinforcement_and_resume():
    for kind in ("messages", "tokens"):
        with open("rl.textproto", "w", encoding="utf-8") as file:
            file.write(RECIPE.replace("task: \"countdown\"", f"task: \"{task(kind)}\"") + RL)
        train(f"rl_{kind}", recipe="rl.textproto")
        samples = lines(f"rl_{kind}/samples/step_000024.jsonl")
        assert len(samples) == 32 and all(re.fullmatch(r"\d \d:\d+=", row["prompt"]) for row in samples), samples[0]
        # From the checkpoint in the middle, whose template is its own, to the same bytes.
        shutil.copytree(f"rl_{kind}", f"again_{kind}")
        shutil.rmtree(newest(f"again_{kind}"))
        os.rename("model", "gone")
        hone("resume", f"again_{kind}")
        os.rename("gone", "model")
        assert sha256(newest(f"again_{kind}") + "/model.safetensors") == sha256(newest(f"rl_{kind}") + "/model.safetensors")


def refused(second, error, model="model"):
    """The second line is wrong; the first is of another kind and right."""
    write("bad.jsonl", [{"prompt": "9 9:1=", "answer": "9/9"}, {"answer": "1+2", **second}])
    spec = "jsonl(path='bad.jsonl', order=file, held_out_path='prompt.test.jsonl', demonstration_key=answer)"
    train_call = ("train", "recipe.textproto", "--set", f"task={spec}", "--set", f"model.path={model}")
    held_out = spec.replace("bad.jsonl", "prompt.train.jsonl").replace("prompt.test.jsonl", "bad.jsonl")
    for call in ((*train_call, "--out", "refused"), (*train_call, "--explain"), ("eval", "--model", model, "--task", held_out)):
        _, said = hone(*call, status=2)
        assert f"bad.jsonl:2: {error}" in said and said.count("\n") == 1 and len(said) < 401, (call, said)
    assert not os.path.exists("refused") and not os.path.exists("runs")


def test_what_cannot_be_read_is_refused_at_once():
    user = {"role": "user", "content": "1 2:3="}
    refused({}, "holds 0 of 'prompt', 'messages' and 'tokens', wanted exactly one")
    refused({"prompt": "1", "messages": [user]}, "holds 2 of 'prompt', 'messages' and 'tokens', wanted exactly one")
    refused({"tokens": [1, VOCABULARY]}, f"token {VOCABULARY} is outside the model's vocabulary, 0 to {VOCABULARY - 1}")
    refused({"tokens": [-1]}, "'tokens' holds -1, wanted ids from 0 on")
    refused({"tokens": []}, "'tokens' is empty")
    refused({"messages": []}, "'messages' is not a list of at least one message")
    refused({"messages": [user, "x"]}, "a message is not an object with 'role' and 'content'")
    refused({"messages": [user, {"content": "x"}]}, "message 2 has no 'role' that is a text")
    refused({"messages": [user], "tools": 5}, "'tools' is not a list")
    refused({"messages": [user]}, "plain: the model has no chat template", model="plain")
    # A new model has no tokens yet.
    for second in ({"tokens": [1]}, {"messages": [user]}):
        write("bad.jsonl", [{"prompt": "9 9:1=", "answer": "9/9"}, {"answer": "1+2", **second}])
        spec = "jsonl(path='bad.jsonl', held_out_path='prompt.test.jsonl', demonstration_key=answer)"
        _, said = hone("train", TINY, "--set", f"task={spec}", "--set", "evaluation.prompts=4", "--set", "stage[1].prompts_per_step=2",
                       "--out", "refused", status=2)
        assert said.startswith("hone: bad.jsonl:2: 'messages' and 'tokens' are for a model that exists"), said
    assert not os.path.exists("refused")


with tempfile.TemporaryDirectory(dir=".") as scratch:
    os.chdir(scratch)
    train("base", "stage[0].steps=60", "stage[1].steps=1", "evaluation.prompts=0")
    for name in ("model", "plain"):
        hone("export", "--run", "base", "--output", name)
    with open("model/chat_template.jinja", "w", encoding="utf-8") as file:
        file.write(TEMPLATE)
    with open("recipe.textproto", "w", encoding="utf-8") as file:
        file.write(RECIPE)
    write("texts.jsonl", [{"text": f"{a} {b}:{c}="} for a, b, c in PROBLEMS])
    out, _ = hone("tokenize", "--model", "model", "--input", "texts.jsonl")
    TOKENS = {row["text"]: row["tokens"] for row in map(json.loads, out.splitlines())}
    out, _ = hone("generate", "--model", "model", "--prompt", "1 1:2=", "--max_new_tokens", 1)
    BEGIN = json.loads(out)["prompt_tokens"][0]
    with open("model/config.json", encoding="utf-8") as file:
        VOCABULARY = json.load(file)["vocab_size"]
    test_what_is_read_is_what_counts()
    test_reinforcement_and_resume()
    test_what_cannot_be_read_is_refused_at_once()
    os.chdir("..")
