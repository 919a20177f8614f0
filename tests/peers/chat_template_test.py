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

TEMPLATES = os.path.join(os.environ["HONE_SOURCE"], ".deps/chat_templates")
FAMILIES = ["SmolLM2", "Qwen2.5", "Qwen3-0.6B", "Llama-3.1", "Llama-3.2", "Llama-3.3", "Mistral-Nemo", "Mistral-Small", "Ministral"]
NOW = datetime.datetime(2025, 1, 31, 12, 30, 5)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
RANDOM_TEMPLATES, REFUSALS = 1500, 15


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
    for variables in ({"functions": "[]", "datetime": "2025-01-31", "reasoning_effort": "high"}, {"enable_thinking": False, "thinking": True}):
        yield from ({"messages": [{**user, "content": text}], "chat_template_kwargs": variables} for text in TEXTS[:3])
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
            file.writelines(json.dumps({"date": NOW.isoformat(), **row}, ensure_ascii=False) + "\n" for row in rows[len(results):])
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


# ---- Real templates ----

def real_templates():
    found = {os.path.basename(path)[:-6]: open(path, encoding="utf-8", newline="").read()
             for path in sorted(glob.glob(os.path.join(TEMPLATES, "*.jinja")))}
    assert len(found) >= 60, f"{TEMPLATES} holds {len(found)} templates: run tools/setup.sh --peers"
    return found


def check_real(base, name, template, tokenizer, lines_of_chat):
    """(identical texts, what was refused by name, whether we render what transformers refuses); a difference fails the test."""
    known = [(line, *theirs(tokenizer, template, line)) for line in lines_of_chat]
    good = [(line, text) for line, text, _ in known if text is not None]
    bad = [line for line, text, _ in known if text is None]
    identical, refused = 0, {}
    # One that transformers refuses comes last, so that the refusal costs no further call.
    results = ours(make_folder(base, template), [line for line, _ in good] + bad[:1])
    for (line, text), (our_text, why) in zip(good, results):
        if our_text is not None:
            assert our_text == text, f"{name}: {json.dumps(line)}\nours:   {our_text!r}\ntheirs: {text!r}"
            identical += 1
        else:
            reason = why.split("chat_template:", 1)[-1]
            assert "not supported" in reason, f"{name}: {json.dumps(line)}\n{why}"
            refused[reason] = refused.get(reason, 0) + 1
    return identical, refused, bool(bad) and results[-1][0] is not None


def check_all_real(base, tokenizer):
    chats = list(conversations())
    templates, whole, partly = real_templates(), [], {}
    smollm2 = os.path.join(os.environ["HONE_SOURCE"], ".deps/smollm2/tokenizer_config.json")
    if os.path.exists(smollm2):
        with open(smollm2, encoding="utf-8") as file:
            templates["SmolLM2-135M-Instruct"] = json.load(file)["chat_template"]
    total, only_ours = 0, []
    for name, template in templates.items():
        # The families that Hone runs take every conversation, the others a third.
        named = any(family in name for family in FAMILIES)
        identical, refused, alone = check_real(base, name, template, tokenizer, chats if named else chats[::3])
        total += identical
        if refused:
            partly[name] = refused
        elif identical:
            whole.append(name)
        else:
            partly[name] = {"transformers renders no conversation either": len(chats)}
        if alone:
            only_ours.append(name)
    print(f"{len(templates)} templates, {len(chats)} conversations: {total} texts identical, none different")
    print(f"{len(whole)} templates wholly identical")
    for name, reasons in partly.items():
        print(f"  refused: {name}: {reasons}")
    print(f"templates that render here what transformers refuses: {only_ours}")
    for family in FAMILIES:
        assert any(family in name for name in whole), f"{family} is not identical, or not there"


# ---- Random templates ----

class Grammar:
    """Writes small templates over a few variables of every type."""
    NAMES = ["s", "t", "n", "f", "flag", "nothing", "items", "words", "d", "deep", "missing", "messages"]

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.loops = 0

    def pick(self, *choices):
        return self.rng.choice(choices)

    def literal(self):
        return self.pick("'a'", "' b '", "\"it's\"", "'x,y,,z'", "'\\n'", "1", "0", "-3", "2.5", "1e3", "true", "false", "none", "[]", "[1, 'a', none]",
                         "{'k': 1, 'b': [2.0]}", "('p', 2)", "'ÄÖ ß'", "[3, 1, 2]", "'Abc dEF'", "{}", "''")

    def atom(self):
        names = self.NAMES + (["x", "loop.index", "loop.first", "loop.last", "loop.index0", "loop.length", "loop.revindex"] if self.loops else [])
        return self.pick(self.literal(), self.rng.choice(names), self.rng.choice(names))

    # Mostly what Python computes; what it refuses tells less, since then nothing is compared.
    def expression(self, depth=3):
        if depth == 0:
            return self.atom()
        e = lambda: self.expression(depth - 1)
        kind = self.rng.randrange(20)
        if kind < 2:
            return self.number(2)
        if kind == 2:
            return f"({e()} ~ {e()})"
        if kind == 3:
            return f"({e()} {self.pick('==', '!=')} {e()})"
        if kind == 4:
            return self.pick(f"({self.number(1)} {self.pick('<', '<=', '>', '>=')} {self.number(1)} {self.pick('', '< 5', '!= 2')})",
                             f"({self.atom()} {self.pick('in', 'not in')} {self.list()})", f"('{self.pick('a', 'e', '', 'wö')}' in {self.atom_text()})")
        if kind == 5:
            return f"({e()} {self.pick('and', 'or')} {e()})"
        if kind == 6:
            return self.pick(f"(not {e()})", f"({e()} if {e()} else {e()})")
        if kind == 7:
            return f"({e()}|{self.filter()})"
        if kind == 8:
            return f"({self.atom_text()}|{self.text_filter()})"
        if kind in (9, 10):
            return f"({self.list()}|{self.list_filter()})"
        if kind == 11:
            return f"({e()} is {self.pick('', 'not ')}{self.test()})"
        if kind in (12, 13):
            return f"{self.atom_text()}.{self.method()}"
        if kind == 14:
            return f"{self.pick('s', 'items', 'words', 't', 'messages', self.list())}[{self.slice()}]"
        if kind == 15:
            return "d." + self.pick("k", "zz", "keys()", "values()", "items()", "get('k')", "get('no', 5)", "get('no')", "items()|list", "copy()")
        if kind == 16:
            return self.pick("d", "deep", "messages[0]") + "[" + self.pick("'k'", "'content'", "0", "'role'", "s", "'items'") + "]"
        if kind == 17:
            return self.pick(f"[{e()}, {e()}]", f"({e()}, {e()})", f"{{'q': {e()}, {self.pick('1', chr(39) + 'w' + chr(39), 'none', 'true')}: {e()}}}")
        if kind == 18:
            return ("(messages|" + self.pick("selectattr", "rejectattr") + "('role', '" + self.pick("equalto", "eq", "ne") + "', 'user')|" +
                    self.pick("list", "first", "map(attribute='content')|list", "list|length") + ")")
        return self.atom()

    def atom_text(self):
        return self.pick("s", "t", "'a-b-c'", "'  pad  '", "s[1:]", "messages[0].content", "'Mixed Case'", "'tab\\tnew\\n'", "'one\\n\\ntwo\\r\\nthree'", "'12'",
                         "'-4.5'", "(s ~ t)", "''")

    def number(self, depth):
        if depth == 0:
            return self.pick("n", "f", "3", "-2", "0.5", "7", "1", "flag", "words|length", "d.k", "items[1]", "1e20", "0")
        a, b = self.number(depth - 1), self.number(depth - 1)
        return self.pick(f"({a} {self.pick('+', '-', '*', '+')} {b})", f"({a} {self.pick('/', '//', '%')} {self.pick('2', '3', '-3', '0.7', b)})", a, f"-{a}",
                         f"({a}|{self.pick('abs', 'int', 'float', 'round', 'round(1)', 'string', 'round(2, ' + chr(39) + 'floor' + chr(39) + ')')})",
                         f"({a} ** 2)", f"([{a}, {b}]|{self.pick('max', 'min', 'sum')})")

    def list(self):
        return self.pick("items", "words", "[3, 1, 2]", "['b', 'A', 'a']", "[]", "range(4)", "d", "s", "missing", "(1, 2)", "d.values()", "['x', 'x', 'y']",
                         "items[::-1]", "'a b c'.split()", "messages")

    def filter(self):
        return self.pick("string", "trim", "default('dd')", "default('dd', true)", "string|length", "lower", "upper", "replace('a', 'QQ')", "safe", "string|list")

    def text_filter(self):
        return self.pick("length", "trim", "upper", "lower", "title", "capitalize", "tojson", "list", "first", "last", "join('-')", "int", "float", "reverse",
                         "replace('a', 'QQ')", "indent", "indent(2, true)", "indent(1, blank=true)", "trim('a ')", "tojson(ensure_ascii=true)", "int(7)",
                         "replace('e', 'E', 1)", "sort|join", "unique|list")

    def list_filter(self):
        return self.pick("length", "list", "first", "last", "join", "join(', ')", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "map('string')|list",
                         "select|list", "reject('none')|list", "max", "min", "tojson", "tojson(indent=2)", "tojson(separators=(',', ':'))", "count", "string",
                         "tojson(sort_keys=true)", "select('string')|list", "map('upper')|join", "map('default', 'x')|list", "select('in', ['a', 1])|list",
                         "sort(case_sensitive=true)")

    def test(self):
        return self.pick("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "boolean", "true", "false", "integer", "float",
                         "odd", "even", "divisibleby(3)", "eq(1)", "in([1, 'a'])", "upper", "lower", "callable", "sameas(none)", "ge(2)")

    def method(self):
        return self.pick("strip()", "lstrip()", "rstrip('c ')", "split()", "split('-')", "split('-', 1)", "upper()", "lower()", "title()", "capitalize()",
                         "startswith('a')", "endswith(('c', ' '))", "replace('a', '')", "replace('', '.')", "find('b')", "rsplit('-', 1)", "splitlines()",
                         "split(',')[-1]", "count('a')", "isdigit()", "removeprefix('a')", "join(words)", "format(1)", "partition('-')", "isspace()")

    def slice(self):
        number = lambda: self.pick("", "0", "1", "-1", "2", "-2", "100", "-100")
        return self.pick("0", "-1", "7", f"{number()}:{number()}", f"{number()}:{number()}:{self.pick('1', '-1', '2', '-2')}", "::-1")

    def tag(self, text):
        return "{%" + self.pick("", "", "-", "+") + " " + text + " " + self.pick("", "", "-") + "%}"

    def text(self):
        return self.pick("", " ", "\n", "  \n", "a", " b\n", "\n\n", "\t", "é\n ", "{", "} ")

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 4)))

    def statement(self, depth=2):
        kind = self.rng.randrange(12 if depth else 4)
        out = self.text()
        if kind < 4:
            return out + "{{" + self.pick("", "", "-") + " " + self.expression() + " " + self.pick("", "", "-") + "}}" + self.text()
        inner = lambda: self.block(depth - 1)
        if kind < 6:
            out += self.tag(f"if {self.expression(2)}") + inner()
            if self.rng.random() < 0.4:
                out += self.tag(f"elif {self.expression(2)}") + inner()
            return out + (self.tag("else") + inner() if self.rng.random() < 0.5 else "") + self.tag("endif") + self.text()
        if kind < 9:
            head = self.pick(f"for x in {self.expression(2)}", "for x in items", "for x in messages", "for x in words if x", "for x in s", "for x, y in d.items()",
                             "for x in d", "for x in words if x|length > 1", "for x in messages[::-1]", "for x in range(3)")
            self.loops += 1
            body = inner() + self.pick("", "", self.tag("if loop.index0 == 1") + self.tag(self.pick("break", "continue")) + self.tag("endif"))
            self.loops -= 1
            return out + self.tag(head) + body + (self.tag("else") + inner() if self.rng.random() < 0.3 else "") + self.tag("endfor") + self.text()
        if kind == 9:
            return out + self.tag(f"set {self.pick('t', 's', 'v', 'ns.a', 'ns.b', 'n')} = {self.expression()}") + "{{ ns.a }}" + self.text()
        if kind == 10:
            return out + self.tag("set u") + inner() + self.tag("endset") + "{{ u }}" + self.text()
        name = self.pick("m1", "m2")
        return (out + self.tag(f"macro {name}(a, b={self.literal()}, c='c')") + "{{ a }}|{{ b }}|" + inner() + self.tag("endmacro") +
                "{{ " + name + "(" + self.pick(f"{self.expression(1)}", f"1, {self.expression(1)}", "a=2", f"c={self.literal()}", "") + ") }}" + self.text())


VARIABLES = {"s": "Hello wörld", "t": " a-b-c ", "n": 3, "f": 2.5, "flag": True, "nothing": None, "items": [3, 1, 2], "words": ["bee", "", "A", "ant"],
             "d": {"k": 1, "z": "x", "items": [1]}, "deep": {"content": {"k": [1, {"a": None}]}}}
CHAT = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b>\n"}, {"role": "assistant", "content": ""}],
        "chat_template_kwargs": VARIABLES}


def check_random(base, tokenizer):
    """Each template is a macro; many of them share one file and one call, and what Jinja refuses is asked for by itself."""
    macros, refusals = [], []
    for seed in range(RANDOM_TEMPLATES):
        body = "{% set ns = namespace(a=0, b='') %}" + Grammar(seed).block(2)
        template = f"{{% macro t{seed}() %}}{body}{{% endmacro %}}<<{seed}>>{{{{ t{seed}() }}}}"
        text, why = theirs(tokenizer, template, CHAT)
        if text is None:
            refusals.append((template, why))
        else:
            macros.append(template)
    groups, unsupported = [macros[i::5] for i in range(5)], []
    while groups:
        group = groups.pop()
        template = "\n".join(group)
        text, _ = theirs(tokenizer, template, CHAT)
        (our_text, why), = ours(make_folder(base, template), [CHAT])
        if our_text is None:
            # The line says which one: each macro begins on its own.
            assert "chat_template:" in why, why
            line = int(why.split("chat_template:")[1].split(":")[0])
            ends = [sum(t.count("\n") + 1 for t in group[:i + 1]) for i in range(len(group))]
            culprit = next(i for i, end in enumerate(ends) if line <= end)
            assert "not supported" in why, f"{why}\n{group[culprit]!r}"
            unsupported.append(why.split("chat_template:")[1].split(":", 1)[1].strip()[:60])
            groups.append(group[:culprit] + group[culprit + 1:])
            continue
        for index, macro in enumerate(group):
            mark = macro.rsplit("<<", 1)[1].split(">>")[0]
            parts = [t.split(f"<<{mark}>>", 1)[1].split("<<", 1)[0] for t in (our_text, text)]
            assert parts[0] == parts[1], f"{macro!r}\nours:   {parts[0]!r}\ntheirs: {parts[1]!r}"
        assert our_text == text
    agreed = 0
    for template, why in refusals[:REFUSALS]:
        (our_text, our_why), = ours(make_folder(base, template), [CHAT])
        agreed += our_text is None
        if our_text is not None:
            print(f"  rendered here, refused there ({why}): {template!r}")
    print(f"{len(macros) - len(unsupported)} of {len(macros)} random templates identical, {len(unsupported)} refused by name: {sorted(set(unsupported))}; "
          f"{agreed} of {min(REFUSALS, len(refusals))} that Jinja refuses are refused")
    assert len(unsupported) <= len(macros) // 20


def main():
    shutil.rmtree("run", ignore_errors=True)
    shutil.rmtree("base", ignore_errors=True)
    train("run", "stage[1].steps=1")
    hone("export", "--run", "run", "--output", "base")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file="base/tokenizer.json", **SPECIAL)
    check_all_real("base", tokenizer)
    check_random("base", tokenizer)


main()
