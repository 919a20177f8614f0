"""Chat templates of real models, and random small ones, rendered by `hone tokenize` as transformers' apply_chat_template renders them."""
import datetime
import glob
import json
import os
import random
import shutil
import subprocess
import sys

import transformers.utils.chat_template_utils as chat_template_utils
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, os.path.join(os.environ["HONE_SOURCE"], "tests/e2e"))
from hone_cli import HONE, hone, lines, train  # noqa: E402

TEMPLATES = os.path.join(os.environ["HONE_SOURCE"], ".deps/peers/chat_templates")
FAMILIES = ["SmolLM2", "Qwen2.5", "Qwen3-0.6B", "Llama-3.1", "Llama-3.2", "Llama-3.3", "Mistral-Nemo", "Mistral-Small", "Ministral"]
NOW = datetime.datetime(2025, 1, 31, 12, 30, 5)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
RANDOM_TEMPLATES = 600


class FrozenTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FrozenTime


# ---- Conversations ----

def call(name, arguments, number=0):
    return {"id": f"call0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name, properties, required):
    return {"type": "function", "function": {"name": name, "description": f"The \"{name}\" <tool> of Zürich & 東京.", "parameters": {
        "type": "object", "properties": properties, "required": required}}}


TOOLS = [
    tool("weather", {"city": {"type": "string", "description": "Where"}, "unit": {"type": "string", "enum": ["C", "F"]}}, ["city"]),
    tool("add", {"a": {"type": "integer"}, "b": {"type": "number", "default": 1.5}, "deep": {
        "type": "array", "items": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}}}, ["a", "b"]),
]
TEXTS = ["Hello!", "", "  two spaces and a newline \n", "\n\nlines\nof\r\ntext\n\n", "Größe, 東京, 🙂, a\u0301", "{{ not }} {% a %} {# template #}",
         "<|im_start|>system\nobey<|im_end|>", "<think>hidden</think>shown", "<think>\nlong\n</think>\n\nanswer", "'single' \"double\" \\ back",
         "[INST] x [/INST]", "\u00a0nbsp\u2003em", "1 < 2 && 3 > 2", "<tool_response>\n{}\n</tool_response>", "</think>end", "$x^2$ \t tab"]


def conversations():
    """Objects with what a prompt line may hold."""
    rng = random.Random(1)
    system, user, assistant = ({"role": role} for role in ("system", "user", "assistant"))
    for text in TEXTS:
        yield {"messages": [{**user, "content": text}]}
        yield {"messages": [{**system, "content": text}, {**user, "content": "Question?"}]}
        yield {"messages": [{**user, "content": "Q"}, {**assistant, "content": text}, {**user, "content": text}]}
        yield {"messages": [{**user, "content": "Q"}, {**assistant, "content": text}], "add_generation_prompt": False}
    for _ in range(12):
        chat = [{**system, "content": rng.choice(TEXTS)}] if rng.random() < 0.5 else []
        for _ in range(rng.randrange(1, 5)):
            chat += [{**user, "content": rng.choice(TEXTS)}, {**assistant, "content": rng.choice(TEXTS)}]
        yield {"messages": chat, "add_generation_prompt": False}
        yield {"messages": chat[:-1]}
        yield {"messages": chat[:-1], "chat_template_kwargs": {"enable_thinking": rng.random() < 0.5}}
    yield {"messages": [{**system, "content": "S"}], "add_generation_prompt": False}
    yield {"messages": [{**user, "content": [{"type": "text", "text": "one"}, {"type": "text", "text": " two"}]}]}
    yield {"messages": [{**assistant, "content": "first"}, {**user, "content": "after"}]}
    yield {"messages": [{**user, "content": "a"}, {**user, "content": "b"}]}
    yield {"messages": [{**user, "content": "Q"}, {**assistant, "content": "A", "reasoning_content": "because"}, {**user, "content": "R"}]}
    yield {"messages": [{**user, "content": "Q"}, {**assistant, "content": "A", "reasoning": "because\n"}], "add_generation_prompt": False}
    yield {"messages": [{**user, "content": "Q", "name": None}], "documents": [{"title": "T", "text": "Some text."}]}
    yield {"messages": [{**user, "content": "Q"}], "chat_template_kwargs": {"bos_token": "<other>", "date_string": "1 Jan 2030"}}
    for tools in (TOOLS, TOOLS[:1]):
        for start in ([], [{**system, "content": "You help.\n"}]):
            ask = start + [{**user, "content": "Weather in Zürich?"}]
            yield {"messages": ask, "tools": tools}
            yield {"messages": ask, "tools": tools, "chat_template_kwargs": {"enable_thinking": False, "tools_in_user_message": False}}
            for arguments in ({"city": "Zürich", "n": [1, 2.0, None, True, {"k": "v"}]}, '{"city": "Paris"}', {}):
                for content in ({"content": ""}, {"content": None}, {"content": "Let me see."}, {}):
                    step = ask + [{**assistant, **content, "tool_calls": [call("weather", arguments)]}]
                    yield {"messages": step, "tools": tools, "add_generation_prompt": False}
                    step = step + [{"role": "tool", "name": "weather", "content": "{\"t\": 21.5}", "tool_call_id": "call00000"}]
                    yield {"messages": step, "tools": tools}
                    yield {"messages": step + [{**assistant, "content": "It is 21.5 °C."}, {**user, "content": "And Oslo?"}], "tools": tools}
            two = ask + [{**assistant, "content": "", "tool_calls": [call("weather", {"city": "A"}), call("add", {"a": 1, "b": 2}, 1)]}]
            two += [{"role": "tool", "name": n, "content": "5", "tool_call_id": f"call0000{i}"} for i, n in enumerate(("weather", "add"))]
            yield {"messages": two, "tools": tools}
    yield {"messages": [{**user, "content": "Q"}], "tools": []}


# ---- Both sides ----

def theirs(tokenizer, template, line):
    """(text, None), or (None, why there is none)."""
    try:
        return tokenizer.apply_chat_template(
            line["messages"], tools=line.get("tools"), documents=line.get("documents"), chat_template=template, tokenize=False,
            add_generation_prompt=line.get("add_generation_prompt", True), **line.get("chat_template_kwargs", {})), None
    except Exception as error:  # a template may raise anything
        return None, f"{type(error).__name__}: {error}"


def ours(folder, rows):
    """The same for each row. A refused line stops `hone tokenize`, so the rest is asked for again; a crash fails the test."""
    results = []
    while len(results) < len(rows):
        with open("lines.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"date": NOW.isoformat(" "), **row}, ensure_ascii=False) + "\n" for row in rows[len(results):])
        done = subprocess.run([HONE, "tokenize", "--model", folder, "--input", "lines.jsonl"], capture_output=True, timeout=120)
        assert done.returncode in (0, 2), (folder, done.returncode, done.stderr)
        results += [(json.loads(line)["text"], None) for line in done.stdout.decode().splitlines()]
        if done.returncode == 2:
            message = done.stderr.decode()
            assert len(message.encode()) <= 401 and message.count("\n") == 1, message
            results.append((None, message.strip()))
    return results


def make_folder(base, template):
    shutil.rmtree("model", ignore_errors=True)
    shutil.copytree(base, "model")
    with open("model/tokenizer_config.json", encoding="utf-8") as file:
        config = json.load(file)
    config.update({"chat_template": template, **SPECIAL})
    with open("model/tokenizer_config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    return "model"
