"""Runs the tested program and does with its functions what the judge asks. Nothing here is trusted: the program can do all that this file can."""

import builtins
import operator
import sys
import types

import wire

kept = []  # the program's objects that the judge knows by number




def keep(value):
    for kind in (int, float, str, tuple, list, dict, set, frozenset):
        if isinstance(value, kind) and not isinstance(value, bool):
            plain = wire.encode(kind(value), keep)
            # A named tuple or a member of an enumeration is its value; another class of the program's also has methods of its own.
            if kind is tuple and hasattr(value, "_fields"):
                return plain
            kept.append(value)
            return {"object": len(kept) - 1, "type": type(value).__name__, "plain": plain}
    kept.append(value)
    is_error = isinstance(value, type) and issubclass(value, BaseException)
    return {"object": len(kept) - 1, "type": type(value).__name__, "error": value.__name__ if is_error else None}


def bases(value):
    """Of an exception's class, the names of what it derives from."""
    return [kind.__name__ for kind in value.__mro__] if isinstance(value, type) and issubclass(value, Exception) else []


def run(message, scope):
    find = lambda value: kept[value["object"]] if "object" in value else scope[value["name"]]
    what, arguments = message["do"], [wire.decode(each, find) for each in message["args"]]
    if what == "names":
        return {name: bases(value) for name, value in scope.items() if not name.startswith("__")}, arguments
    target = arguments[0]
    if what == "call":
        named = {key: wire.decode(each, find) for key, each in message["named"].items()}
        return target(*arguments[1:], **named), arguments
    if what == "get":
        return getattr(target, arguments[1]), arguments
    if what == "set":
        return setattr(target, *arguments[1:]), arguments
    function = getattr(builtins, what, None) or getattr(operator, what)
    return function(*arguments), arguments


def answer(message, scope):
    try:
        value, arguments = run(message, scope)
        changed = {}
        for at, argument in enumerate(arguments):
            if isinstance(argument, wire.MUTABLE):
                now = wire.encode(argument, keep)
                if now != message["args"][at]:
                    changed[at] = now
        return {"value": wire.encode(value, keep), "changed": changed}
    except BaseException as error:  # SystemExit too: the program's own ways to end are answers
        return {"raised": type(error).__name__, "base": [kind.__name__ for kind in type(error).__mro__],
                "text": str(error)[:500]}


def main():
    channel = wire.Channel()
    with open("../work/program.py", encoding="utf-8") as file:
        text = file.read()
    module = types.ModuleType("program")
    sys.modules["program"] = module
    scope = module.__dict__
    steps = {"compiles": lambda: scope.update(__code__=compile(text, "program.py", "exec")), "loads": lambda: exec(scope.pop("__code__"), scope)}
    for name, step in steps.items():
        try:
            step()
        except BaseException as error:
            channel.send({name: False, "text": f"{type(error).__name__}: {error}"[:500]})
            return
        channel.send({name: True})
    while (message := channel.receive()) is not None:
        channel.send(answer(message, scope))


main()
