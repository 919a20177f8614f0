"""How the judge (judge.py) and the player (player.py) talk: one JSON object a line, and Python values inside them as data.

A value crosses as what it is (numbers, texts, containers, dates), never as code, so that nothing of the tested program's runs on the judge's side.
Anything else stays with the player and crosses as a number, {"object": 7}. None of the decoding trusts what it reads.
"""

import collections
import datetime
import decimal
import fractions
import json
import math
import os
import sys

MAX_LINE = 32 << 20
MUTABLE = (list, dict, set, bytearray, collections.deque)
SEQUENCES = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": collections.deque}
ATOMS = {
    "int": (int, hex, lambda text: int(text, 16)),
    "float": (float, repr, float),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "bytearray": (bytearray, lambda value: bytes(value).hex(), bytearray.fromhex),
    "complex": (complex, lambda value: [repr(value.real), repr(value.imag)], lambda parts: complex(*map(float, parts))),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "fraction": (fractions.Fraction, lambda value: [hex(value.numerator), hex(value.denominator)],
                 lambda parts: fractions.Fraction(*(int(part, 16) for part in parts))),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "timedelta": (datetime.timedelta, lambda value: [value.days, value.seconds, value.microseconds],
                  lambda parts: datetime.timedelta(*parts)),
}
ATOM_OF = {kind: (name, write) for name, (kind, write, _) in ATOMS.items()}
SEQUENCE_OF = {kind: name for name, kind in SEQUENCES.items()}
DICTS = (dict, collections.OrderedDict, collections.Counter, collections.defaultdict)


def encode(value, keep):
    """`keep(value)` says how a value that is no data crosses."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int and -(1 << 60) < value < 1 << 60:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is list:
        return [encode(each, keep) for each in value]
    if kind in DICTS:
        return {"dict": [[encode(key, keep), encode(each, keep)] for key, each in value.items()]}
    if kind in SEQUENCE_OF:
        return {SEQUENCE_OF[kind]: [encode(each, keep) for each in value]}
    if kind in ATOM_OF:
        name, write = ATOM_OF[kind]
        return {name: write(value)}
    if kind is range:
        return {"range": [value.start, value.stop, value.step]}
    return keep(value)


def decode(value, find):
    """`find(message)` gives what stands behind {"object": ...} and the like."""
    if isinstance(value, list):
        return [decode(each, find) for each in value]
    if not isinstance(value, dict):
        return value
    for name, content in value.items():
        if name == "dict":
            return {decode(key, find): decode(each, find) for key, each in content}
        if name in SEQUENCES:
            return SEQUENCES[name](decode(each, find) for each in content)
        if name in ATOMS:
            return ATOMS[name][2](content)
        if name == "range":
            return range(*content)
        break
    return find(value)


class Channel:
    def __init__(self):
        # Digits of whole numbers are not limited here: the sandbox limits time and memory.
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(0)
        self.reader = os.fdopen(3, "rb")
        self.writer = os.fdopen(4, "wb")

    def send(self, message):
        self.writer.write(json.dumps(message).encode() + b"\n")
        self.writer.flush()

    def receive(self):
        """None at the end; ValueError or RecursionError for what is no message."""
        line = self.reader.readline(MAX_LINE)
        if not line:
            return None
        if not line.endswith(b"\n"):
            raise ValueError("a line without end")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("no JSON object")
        return message
