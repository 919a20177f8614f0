"""Runs the tests of one task. The tested program is in another sandbox and answers calls (player.py): a test's comparisons, its expected values
and its control flow are here, out of the program's reach, and what comes back from there is data.

Reads ../work/tests.json: {"assertions": [text], "calls": [[arguments, expected]], "entry_point": name or null, "partial": bool}.
Prints one JSON object: {"total", "passed", "compiles", "failure": text or null} or {"no_verdict": text}.
"""

import ast
import builtins
import importlib
import json
import os
import reprlib
import sys

from remote import Gone, Program, Remote, Unjudgeable

MODULES = set("""math cmath itertools functools collections re random datetime decimal fractions string operator statistics heapq bisect copy
json typing numbers time sys os""".split())

short = reprlib.Repr()
short.maxstring = short.maxother = short.maxlong = 60


def require_equal(left, right, text):
    """What `assert left == right` becomes, so that a failure can show both."""
    if not left == right:
        raise AssertionError(f"{text} is {short.repr(left)}, wanted {short.repr(right)}")


class ShowBoth(ast.NodeTransformer):
    def __init__(self, source):
        self.source = source

    def visit_Assert(self, node):
        test = node.test
        if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
            return self.show_text(node)
        text = (ast.get_source_segment(self.source, test.left) or "the value")[:120]
        call = ast.Call(ast.Name("__require_equal", ast.Load()), [test.left, test.comparators[0], ast.Constant(text)], [])
        return ast.copy_location(ast.Expr(call), node)

    def show_text(self, node):
        if node.msg is None:
            node.msg = ast.copy_location(ast.Constant("not so: " + (ast.get_source_segment(self.source, node.test) or "")[:120]), node)
        return node


class Test:
    """One entry of "assertions": statements. It counts when it asserts something or defines check(candidate)."""

    def __init__(self, text):
        self.text = text
        tree = ast.parse(text)
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, (ast.Compare, ast.UnaryOp)):
            tree.body[0] = ast.copy_location(ast.Assert(tree.body[0].value, None), tree.body[0])
        nodes = list(ast.walk(tree))
        self.defines_check = any(isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1 for node in tree.body)
        self.calls_check = any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and
                               getattr(node.value.func, "id", "") == "check" for node in tree.body)
        self.counts = any(isinstance(node, ast.Assert) for node in nodes)
        self.used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        self.bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        self.bound |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        self.bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        self.code = compile(ast.fix_missing_locations(ShowBoth(text).visit(tree)), "test", "exec")


def entry(program, defined, name):
    """The function, or the method of LeetCode's class Solution."""
    if name in defined or "Solution" not in defined:
        return Remote({"name": name}, program)
    return getattr(Remote({"name": "Solution"}, program)(), name)


def scope_of(program, tests, entry_point):
    """The names that the tests use: from the program what it must provide, from here what anyone's Python has. A program that defines a
    function `abs` of its own does not change what abs means in a test."""
    defined = program.ask("names")
    used = set().union(*(test.used for test in tests)) - set().union(*(test.bound for test in tests))
    scope = {"__name__": "test", "__require_equal": require_equal}
    asked = {name for name in used & set(defined) if not hasattr(builtins, name) and name not in MODULES}
    if entry_point is None and not asked and not used - set(dir(builtins)) - MODULES:
        asked = used & set(defined)  # the task is to write a function that Python has as well
    for name in used & MODULES - asked:
        scope[name] = importlib.import_module(name)
    for name in asked:
        raised = {"raised": name, "base": defined[name]}
        scope[name] = program.error_class(raised) if defined[name] else Remote({"name": name}, program)
    if entry_point is not None:
        if entry_point not in defined and "Solution" not in defined:
            raise NameError(f"the program does not define {entry_point}")
        scope[entry_point] = entry(program, defined, entry_point)
    return scope


def run_test(test, scope, program, entry_point):
    asks = program.asks
    exec(test.code, scope)
    program.look_back()
    if test.defines_check and not test.calls_check:
        if entry_point is None:
            raise Unjudgeable("the tests define check(candidate); metadata needs \"entry_point\", the function's name")
        scope["check"](scope[entry_point])
        program.look_back()
    if test.counts and not (program.asks > asks):
        raise Unjudgeable(f"a test calls nothing of the program: {test.text[:120]}")


def as_json(value):
    """JSON has one kind of sequence, and texts as keys."""
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): as_json(each) for key, each in value.items()}
    return value


def run_call(arguments, expected, function):
    value = as_json(function(*arguments))
    # Some collections wrap every expected value in a list.
    if value != expected and not (isinstance(expected, list) and len(expected) == 1 and value == expected[0]):
        raise AssertionError(f"arguments {short.repr(arguments)} give {short.repr(value)}, wanted {short.repr(expected)}")


def judge(tests, task, program, result):
    """Fills `result` as it goes, so that what was reached is known however it ends."""
    entry_point = task["entry_point"]
    counted = [test for test in tests if test.counts]
    result["total"] = len(counted) + len(task["calls"])
    for step in ("compiles", "loads"):
        hello = program.receive()
        if hello.get(step) is not True:
            result["failure"] = f"the program fails before any test: {hello.get('text')}"
            return
        result["compiles"] = True
    try:
        scope = scope_of(program, tests, entry_point)
    except Exception as error:
        result["failure"] = str(error)
        return
    steps = [(test.counts, lambda test=test: run_test(test, scope, program, entry_point)) for test in tests]
    steps += [(True, lambda call=call: run_call(*call, scope[entry_point])) for call in task["calls"]]
    done = 0
    for counts, step in steps:
        done += counts
        try:
            step()
            result["passed"] += counts
        except Gone as gone:
            result["failure"] = result["failure"] or f"test {done}: {gone}"
            result["gone"] = True
            return
        except Exception as error:
            kind = "" if isinstance(error, AssertionError) and str(error) else type(error).__name__ + (": " if str(error) else "")
            result["failure"] = result["failure"] or f"test {max(done, 1)}: {kind}{error}"
            if not task["partial"]:
                return


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tests print is no verdict
    with open("../work/tests.json", encoding="utf-8") as file:
        task = json.load(file)
    result = {"total": 0, "passed": 0, "compiles": False, "failure": None, "gone": False}
    try:
        tests = [Test(text) for text in task["assertions"]]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        print(json.dumps({"no_verdict": f"an assertion is no Python: {error}"}), file=out, flush=True)
        return
    program = Program()
    try:
        judge(tests, task, program, result)
    except Unjudgeable as reason:
        result = {"no_verdict": str(reason)}
    except Gone as gone:
        result.update(failure=str(gone), gone=True)
    print(json.dumps(result), file=out, flush=True)
    os._exit(0)


main()
