# ctest: NEEDS rustc
"""A verifier in Rust through the C header of plugins: the example's verdicts, and a panic, which costs its own sample alone."""
import json
import os
import subprocess

from hone_cli import SOURCE, hone, lines

EXAMPLE = os.path.join(SOURCE, "rewards/examples/rust_verifier.rs")
os.environ["RUST_BACKTRACE"] = "0"


def compiled(source, library):
    """As the example's first lines say, and without a warning."""
    subprocess.run(["rustc", "--edition", "2021", "-O", "-D", "warnings", "--crate-type", "cdylib", "-o", library, source], check=True)
    return library


def score(library, rows):
    with open("answers.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    _, summary = hone("score", "--verifier", f'plugin(path="{library}", workers=2)', "--input", "answers.jsonl", "--output", "scores.jsonl")
    return lines("scores.jsonl"), summary


compiled(EXAMPLE, "libmine.so")
rows = [{"completion": f"{i} und 1 gibt für jeden {i + 1 + (i % 3 == 0)}€", "answer": str(i + 1)} for i in range(2000)]
rows += [{"completion": "no number", "answer": "1"}, {"completion": "1"}, {"completion": "a\0 7", "answer": "7"}]
scored, _ = score("libmine.so", rows)
assert [row["score"] for row in scored] == [float(i % 3 != 0) for i in range(2000)] + [0, None, 1]
assert [row["reason"] for row in scored[-3:]] == ["", "the verifier says: the line has no answer to compare with", ""], scored[-3:]

with open(EXAMPLE, encoding="utf-8") as file:
    text = file.read()
body = "let (completion, answer) ="
assert text.count(body) == 1
with open("panics.rs", "w", encoding="utf-8") as file:
    file.write(text.replace(body, 'if read(&sample.completion) == "panic" { panic!("no luck") }\n    ' + body))
rows[500]["completion"] = rows[1500]["completion"] = "panic"
scored, summary = score(compiled("panics.rs", "libpanics.so"), rows)
wanted = [float(i % 3 != 0) for i in range(2000)] + [0, None, 1]
wanted[500] = wanted[1500] = None
assert [row["score"] for row in scored] == wanted
print(summary, scored[500]["reason"], sep="\n")
