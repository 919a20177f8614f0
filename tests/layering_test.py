"""Who may include whom, one door for each big library, and the size of a file.

The rules are the tables below; ARCHITECTURE.md gives the reasons. Before it looks at the checkout, the test builds one small tree that
breaks every rule and one that breaks none, and checks itself on both.
"""

import fnmatch
import os
import re
import sys
import tempfile

MAX_LINES = 450
FOLDERS = ["kernels", "engine", "rewards", "rollout", "trainer", "recipes", "tools", "tests"]

# (files, what of ours they may include); the first line that a file matches holds.
MAY_INCLUDE = [
    ("kernels/*", ["kernels/*"]),
    ("engine/base/*", ["engine/base/*"]),
    ("engine/*", ["engine/*", "kernels/*"]),
    ("rewards/*", ["rewards/*", "engine/base/*"]),
    # The one verifier that runs a model.
    ("rollout/reward_model.cc", ["rollout/*", "rewards/*", "engine/base/*", "engine/chat_template.h", "engine/checkpoint.h", "engine/generator.h",
                                 "engine/sequence_classifier.h", "engine/tokenizer.h", "kernels/thread_pool.h"]),
    ("rollout/*", ["rollout/*", "rewards/*", "engine/base/*", "engine/generator.h", "engine/tokenizer.h"]),
    ("trainer/*", ["trainer/*", "rollout/*", "rewards/*", "engine/*", "kernels/*"]),
    ("recipes/*", ["recipes/*", "trainer/*", "rollout/*", "rewards/*", "engine/*", "kernels/*"]),
    ("tools/*", ["tools/*", "recipes/*", "trainer/*", "rollout/*", "rewards/*", "engine/*", "kernels/*", "build_info.h"]),
    ("tests/*", ["*"]),
]

# (header, the files that may include it). The first line that a header matches holds.
DOORS = [
    ("torch/torch.h", []),  # 23 s a file
    ("torch/extension.h", []),
    ("torch/csrc/autograd/custom_function.h", ["engine/ops*.cc"]),
    ("torch/csrc/*", ["engine/*.cc", "trainer/*.cc", "tests/*.cc"]),
    ("torch/*", []),
    ("ATen/ops/*", ["engine/*.cc", "trainer/*.cc", "tests/*"]),  # one operator each, beside engine/base/tensor.h
    ("ATen/Parallel.h", ["engine/ops.cc", "tests/*_benchmark.cc"]),
    ("ATen/core/grad_mode.h", ["engine/*.cc", "trainer/*.cc", "tests/*.cc"]),
    ("ATen/*", ["engine/base/tensor.h"]),
    ("c10/*", ["engine/base/tensor.h"]),
    ("engine/base/tensor.h", ["engine/*", "trainer/*", "tests/*"]),
    ("sentencepiece*", ["engine/tokenizer*"]),
    ("oniguruma.h", ["engine/tokenizer_regex.cc"]),
    ("seccomp.h", ["rewards/sandbox_filter.cc"]),
    ("utf8proc.h", ["engine/tokenizer_unicode.cc"]),
    ("re2/*", ["rewards/verifier/regex.cc", "rewards/json_schema*.cc"]),
    ("google/protobuf/*", ["recipes/*"]),
    ("*.pb.h", ["recipes/*"]),
    ("cuda*", ["kernels/*.cu"]),
    ("cublas*", ["kernels/*.cu"]),
    ("nccl*", ["kernels/*.cu"]),
    ("hwy/*", ["kernels/*"]),
    ("nlohmann/json_fwd.hpp", ["*"]),
    ("nlohmann/*", ["*.cc", "tools/*", "tests/*"]),  # 1 s a file
]

# A slot holds implementations: one header at most, none per implementation.
SLOTS = [
    "engine/model", "engine/drafter", "rewards/verifier", "rewards/shaper", "rollout/task", "rollout/env", "rollout/curriculum", "rollout/gate",
    "trainer/advantage", "trainer/composer", "trainer/loss"
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def first_rule(path, table):
    return next((allowed for pattern, allowed in table if fnmatch.fnmatchcase(path, pattern)), None)


def ours(header):
    return header.split("/")[0] in FOLDERS or header == "build_info.h"


def check_include(path, bracket, header):
    """Yields what is wrong with one include."""
    if header.startswith(".") or "/../" in header:
        yield f"includes '{header}': name it from the top of the repository"
        return
    door = first_rule(header, DOORS)
    if door is not None and not matches(path, door):
        yield f"includes {header}; that is for {', '.join(door) or 'nobody'}"
    if ours(header):
        if bracket == "<":
            yield f'includes <{header}>: write "{header}", it is ours'
        allowed = first_rule(path, MAY_INCLUDE)
        if not matches(header, allowed):
            yield f"includes {header}; it may include {', '.join(allowed)}"
    elif bracket == '"' and not header.startswith(("absl/", "hwy/", "google/", "gtest/", "gmock/")):
        yield f'includes "{header}": name it from the top of the repository'


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    if len(lines) > MAX_LINES:
        yield f"{path}: has {len(lines)} lines; {MAX_LINES} are the most: split it"
    if path.endswith(".h") and not path.endswith("-inl.h") and "#pragma once" not in lines and path != "rewards/verifier_abi.h":
        yield f"{path}: has no #pragma once"
    for number, line in enumerate(lines, 1):
        if match := INCLUDE.match(line):
            for problem in check_include(path, *match.groups()):
                yield f"{path}:{number}: {problem}"


def check_tree(root):
    problems, count = [], 0
    for folder in FOLDERS:
        for where, _, names in os.walk(os.path.join(root, folder)):
            relative = os.path.relpath(where, root)
            sources = sorted(name for name in names if name.endswith((".cc", ".h", ".cu", ".inc")))
            headers = [name for name in sources if name.endswith(".h")]
            if relative in SLOTS and len(headers) > 1:
                problems.append(f"{relative}: a slot has one header, not {', '.join(headers)}")
            for name in sources:
                problems.extend(check_file(root, os.path.join(relative, name)))
            count += len(sources)
    return problems, count


def write_tree(root, files):
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)


GOOD = {
    "kernels/gemm.h": "#pragma once\n",
    "kernels/gemm_cpu.cc": '#include "kernels/gemm.h"\n#include "hwy/highway.h"\n#include <vector>\n',
    "kernels/gemm.cu": "#include <cuda_runtime.h>\n",
    "engine/base/tensor.h": "#pragma once\n#include <ATen/core/Tensor.h>\n",
    "engine/ops.cc": '#include "engine/base/tensor.h"\n#include <torch/csrc/autograd/custom_function.h>\n#include <ATen/ops/exp.h>\n',
    "engine/tokenizer.cc": "#include <sentencepiece_processor.h>\n",
    "engine/model/model.h": "#pragma once\n",
    "rewards/verifier/regex.cc": "#include <re2/re2.h>\n",
    "rewards/verify_pool.cc": '#include "engine/base/status.h"\n#include "absl/status/status.h"\n',
    "rollout/collector.cc": '#include "engine/generator.h"\n#include "rewards/verify_pool.h"\n',
    "rollout/reward_model.cc": '#include "engine/sequence_classifier.h"\n#include "rewards/verifier.h"\n',
    "trainer/learner.cc": '#include "engine/base/tensor.h"\n#include "rollout/collector.h"\n',
    "recipes/build.cc": '#include "recipes/recipe.pb.h"\n#include <google/protobuf/text_format.h>\n',
    "tools/version.cc": '#include "build_info.h"\n',
    "tests/trainer/a_test.cc": '#include "tests/tiny_model.h"\n#include <gtest/gtest.h>\n#include "recipes/build.h"\n',
}

# path -> (text, what the complaint says)
BAD = {
    "kernels/a.cc": ('#include "engine/base/status.h"\n', "it may include kernels/*"),
    "kernels/b.cc": ("#include <ATen/ops/exp.h>\n", "that is for engine/*.cc"),
    "kernels/c.cc": ("#include <cuda_runtime.h>\n", "that is for kernels/*.cu"),
    "engine/base/d.cc": ('#include "engine/ops.h"\n', "it may include engine/base/*"),
    "engine/e.cc": ('#include "rollout/task.h"\n', "it may include engine/*"),
    "engine/f.cc": ("#include <torch/torch.h>\n", "that is for nobody"),
    "engine/g.cc": ("#include <ATen/ATen.h>\n", "that is for engine/base/tensor.h"),
    "engine/h.cc": ("#include <torch/csrc/autograd/custom_function.h>\n", "that is for engine/ops*.cc"),
    "engine/i.cc": ("#include <sentencepiece_processor.h>\n", "that is for engine/tokenizer*"),
    "engine/tokenizer_a.cc": ("#include <oniguruma.h>\n", "that is for engine/tokenizer_regex.cc"),
    "engine/tokenizer_b.cc": ("#include <utf8proc.h>\n", "that is for engine/tokenizer_unicode.cc"),
    "engine/j.h": ("#pragma once\n#include <nlohmann/json.hpp>\n", "that is for *.cc"),
    "engine/k.h": ("int x;\n", "no #pragma once"),
    "engine/model/l.h": ("#pragma once\n", None),
    "engine/model/m.h": ("#pragma once\n", "a slot has one header"),
    "rewards/n.cc": ('#include "engine/tokenizer.h"\n', "it may include rewards/*"),
    "rewards/verifier/math.cc": ("#include <re2/re2.h>\n", "that is for rewards/verifier/regex.cc"),
    "rewards/o.cc": ('#include "engine/base/tensor.h"\n', "that is for engine/*"),
    "rollout/p.cc": ('#include "engine/model/model.h"\n', "engine/generator.h"),
    "rollout/q.cc": ('#include "../engine/generator.h"\n', "from the top"),
    "rollout/reward_model.h": ('#pragma once\n#include "engine/sequence_classifier.h"\n', "engine/generator.h"),
    "rollout/reward_model.cc": ('#include "engine/ops.h"\n', "engine/sequence_classifier.h"),
    "trainer/r.cc": ('#include "recipes/recipe.pb.h"\n', "that is for recipes/*"),
    "trainer/s.cc": ("#include <google/protobuf/message.h>\n", "that is for recipes/*"),
    "trainer/t.cc": ('#include "loss.h"\n', "from the top"),
    "trainer/u.cc": ('#  include <trainer/loss.h>\n', "it is ours"),
    "recipes/v.cc": ('#include "tools/main.h"\n', "it may include recipes/*"),
    "tools/w.cc": ("\n" * (MAX_LINES + 1), "split it"),
    "tools/x.cc": ("#include <hwy/highway.h>\n", "that is for kernels/*"),
}


def check_self():
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, GOOD)
        problems, count = check_tree(root)
        assert not problems and count == len(GOOD), problems
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, {path: text for path, (text, _) in BAD.items()})
        problems, _ = check_tree(root)
        for path, (_, complaint) in BAD.items():
            if complaint:
                where = "engine/model:" if complaint.startswith("a slot") else path + ":"
                assert any(p.startswith(where) and complaint in p for p in problems), f"nothing was said against {path}"


def main():
    check_self()
    problems, count = check_tree(os.environ.get("HONE_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} problems")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
