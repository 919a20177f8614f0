"""The verifier json_schema accepts what the Python package jsonschema accepts under draft 2020-12, on random schemas and values.

Left out because the two differ by intent: multiples of decimals (jsonschema divides doubles, Hone the decimals as written), `format` (a note in
jsonschema unless asked), and what Hone refuses (unevaluated*, $dynamicRef, addresses outside of the schema).
"""
import json
import os
import random
import sys

from jsonschema import Draft202012Validator

sys.path.insert(0, os.path.join(os.environ["HONE_SOURCE"], "tests/e2e"))
from hone_cli import hone, lines  # noqa: E402

SCHEMAS = 2500
VALUES_OF_EACH = 4
KEYS = ["a", "b", "ab", "x y", "a/b", "~", "ä", ""]
TEXTS = ["", "a", "b", "ab", "aab", "ä", "😀", "0", "1", "true", "a b"]
NUMBERS = [0, 1, -1, 2, 3, 7, 0.5, 1.0, 2.5, -3.5, 10, 1e3, 1e20, 2**53, 2**63, -0.0]
PATTERNS = ["a", "^a", "b$", "^a+b?$", "^.$", "[0-9]", "^$", "ä|b"]
TYPES = ["null", "boolean", "object", "array", "number", "string", "integer"]


class Maker:
    def __init__(self, seed):
        self.draw = random.Random(seed)

    def value(self, depth=3):
        kind = self.draw.randrange(8 if depth else 5)
        if kind == 0:
            return self.draw.choice([None, True, False])
        if kind < 3:
            return self.draw.choice(NUMBERS)
        if kind < 5:
            return self.draw.choice(TEXTS)
        size = self.draw.randrange(5)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(size)]
        return {self.draw.choice(KEYS): self.value(depth - 1) for _ in range(size)}

    def schema(self, depth=3):
        if self.draw.random() < 0.1:
            return self.draw.random() < 0.7
        names = self.draw.sample(list(KEYWORDS), self.draw.choice([1, 1, 2, 2, 3, 4]))
        return {name: KEYWORDS[name](self, depth) for name in names if depth or name not in NESTING}

    def schemas(self, depth):
        return [self.schema(depth - 1) for _ in range(self.draw.choice([1, 2, 2, 3]))]

    def members(self, keys, make):
        return {self.draw.choice(keys): make() for _ in range(self.draw.choice([1, 2, 3]))}

    def near(self, value):
        """The value, one of its parts replaced."""
        if isinstance(value, list) and value and self.draw.random() < 0.8:
            value = list(value)
            value[self.draw.randrange(len(value))] = self.near(self.draw.choice(value))
            return value
        if isinstance(value, dict) and value and self.draw.random() < 0.8:
            value = dict(value)
            value[self.draw.choice(list(value) + KEYS)] = self.near(self.draw.choice(list(value.values())))
            return value
        return self.value(1)


def number(m, _):
    return m.draw.choice(NUMBERS)


def count(m, _):
    return m.draw.choice([0, 1, 1, 2, 3, 2.0])


def nested(m, depth):
    return m.schema(depth - 1)


def several(m, depth):
    return m.schemas(depth)


NESTING = {
    "items": nested, "contains": nested, "additionalProperties": nested, "propertyNames": nested, "not": nested, "if": nested, "then": nested,
    "else": nested, "prefixItems": several, "allOf": several, "anyOf": several, "oneOf": several,
    "properties": lambda m, depth: m.members(KEYS, lambda: m.schema(depth - 1)),
    "patternProperties": lambda m, depth: m.members(PATTERNS, lambda: m.schema(depth - 1)),
    "dependentSchemas": lambda m, depth: m.members(KEYS, lambda: m.schema(depth - 1)),
}
KEYWORDS = {
    **NESTING,
    "type": lambda m, _: m.draw.choice([m.draw.choice(TYPES), m.draw.sample(TYPES, 3)]),
    "enum": lambda m, _: [m.value(1) for _ in range(3)],
    "const": lambda m, _: m.value(2),
    "minimum": number, "maximum": number, "exclusiveMinimum": number, "exclusiveMaximum": number,
    "multipleOf": lambda m, _: m.draw.choice([1, 2, 3, 0.5, 7]),
    "minLength": count, "maxLength": count, "minItems": count, "maxItems": count, "minProperties": count, "maxProperties": count,
    "minContains": count, "maxContains": count,
    "uniqueItems": lambda m, _: m.draw.random() < 0.8,
    "pattern": lambda m, _: m.draw.choice(PATTERNS),
    "required": lambda m, _: m.draw.sample(KEYS, m.draw.choice([1, 2])),
    "dependentRequired": lambda m, _: m.members(KEYS, lambda: m.draw.sample(KEYS, 2)),
    "$ref": lambda m, _: "#/$defs/" + m.draw.choice(["one", "two", "a~1b", "per%25cent"]),
}


def pairs():
    for seed in range(SCHEMAS):
        m = Maker(seed)
        schema = m.schema()
        if isinstance(schema, dict):
            # What is referred to refers to nothing itself, or references could go round.
            plain = Maker(-1 - seed)
            schema["$defs"] = {key: without_references(plain.schema(2)) for key in ("one", "two", "a/b", "per%cent")}
        value = m.value()
        for _ in range(VALUES_OF_EACH):
            yield schema, value
            value = m.near(value)


def without_references(schema):
    if isinstance(schema, dict):
        return {key: without_references(value) for key, value in schema.items() if key != "$ref"}
    if isinstance(schema, list):
        return [without_references(each) for each in schema]
    return schema


def main():
    asked = list(pairs())
    with open("asked.jsonl", "w", encoding="utf-8") as file:
        for schema, value in asked:
            print(json.dumps({"completion": json.dumps(value), "metadata": {"schema": schema}}), file=file)
    hone("score", "--verifier", "json_schema", "--input", "asked.jsonl", "--output", "scored.jsonl")
    scored = list(lines("scored.jsonl"))
    assert len(scored) == len(asked), len(scored)
    valid, differ = 0, []
    for (schema, value), line in zip(asked, scored):
        wanted = Draft202012Validator(schema).is_valid(value)
        valid += wanted
        if line["score"] != float(wanted):
            differ.append((schema, value, wanted, line["score"], line["reason"]))
    for schema, value, wanted, score, reason in differ[:10]:
        print(f"{json.dumps(schema)}\n  on {json.dumps(value)}: jsonschema {wanted}, hone {score}: {reason}")
    print(f"{len(asked)} pairs, {valid} valid, {len(differ)} differ")
    # Both answers must be frequent, or the test says little.
    assert len(asked) / 5 < valid < len(asked) * 4 / 5, valid
    assert not differ


if __name__ == "__main__":
    main()
