#!/usr/bin/env bash
# Every named algorithm on the same problem: trains one SFT checkpoint of recipes/quickstart.textproto's Countdown model, then from it one RL
# stage of the same number of sampled answers for each algorithm, and prints a Markdown table: held-out pass@1 before and after, seconds of
# training, peak memory. What the published settings say about clipping, KL, mini-batches and epochs stays; batch and learning rate, which
# belong to their large models, are the same for all. An algorithm that learns from a file of pairs gets those among the same number of
# answers of the SFT checkpoint.
#   tools/compare_algorithms.sh [OPTION VALUE]...
#     --out DIR            folder of recipes, runs and table.md; must not exist (runs/compare_algorithms)
#     --algorithms LIST    names with commas between; default: all of `hone list algorithm`
#     --steps N            rollout steps of each algorithm (100)
#     --samples N          answers a step, the greedy ones of a baseline included (2048)
#     --group N            answers to a prompt where the algorithm compares them (8); those that need no peers sample one
#     --learning_rate X    peak of a cosine (3e-4)
#     --sft_steps N        of the checkpoint that all start from (700)
#     --eval_prompts N     held-out problems, four answers each (1000)
#     --seed N             (1)
#     --set NAME:FIELD=VALUE   changes one algorithm's stage, as in gspo:learning_rate=1e-4; may be repeated
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1:-}" != "--help" ] || { sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0; }
[ -x build/hone ] || { tools/setup.sh && tools/build.sh; }

exec python3 - "$@" <<'PYTHON'
import json, os, re, subprocess, sys, time

HONE = "build/hone"
options = {"out": "runs/compare_algorithms", "algorithms": "", "steps": 100, "samples": 2048, "group": 8, "learning_rate": 3e-4,
           "sft_steps": 700, "eval_prompts": 1000, "seed": 1}
changes = {}  # algorithm -> ["field=value"]


def refuse(line):
    print(f"compare_algorithms: {line}", file=sys.stderr)
    sys.exit(2)


arguments = sys.argv[1:]
while arguments:
    name, value = arguments[0], arguments[1] if len(arguments) > 1 else refuse(f"{arguments[0]} needs a value")
    arguments = arguments[2:]
    key = name.removeprefix("--")
    if key == "set":
        match = re.fullmatch(r"(\w+):(\w+=.*)", value) or refuse(f"--set {value}: wanted NAME:FIELD=VALUE")
        changes.setdefault(match[1], []).append(match[2])
    elif key not in options or not name.startswith("--"):
        refuse(f"unknown option {name}; --help shows all")
    else:
        try:
            options[key] = type(options[key])(value)
        except ValueError:
            refuse(f"{name} {value}: wanted a number")
out = options["out"]
if os.path.exists(out):
    refuse(f"{out} exists; choose another --out")


def published():
    """{name: {field: value}} from `hone list algorithm`."""
    table, fields = {}, None
    for line in subprocess.run([HONE, "list", "algorithm"], capture_output=True, text=True, check=True).stdout.splitlines():
        if re.fullmatch(r"  \w+", line):
            fields = table[line.strip()] = {}
        elif match := re.match(r"      (\w+): (.*?)(?:  # .*)?$", line):
            fields[match[1]] = match[2]
    return table


def run(*command):
    """Seconds and peak megabytes of one call of hone; its last line of output."""
    began = time.time()
    process = subprocess.Popen([HONE, *map(str, command)], stdout=subprocess.PIPE, text=True)
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"hone {command[0]} ended with exit status {process.returncode}")
    return time.time() - began, usage.ru_maxrss / 1024, lines[-1] if lines else ""


def newest(folder):
    return os.path.join(folder, "checkpoints", sorted(os.listdir(os.path.join(folder, "checkpoints")))[-1])


def pass_at_1(model):
    _, _, line = run("eval", "--model", model, "--task", task, "--n", 4, "--k", 1, "--limit", options["eval_prompts"],
                     "--max_new_tokens", 16, "--seed", options["seed"])
    return json.loads(line)["pass@1"]


def write(name, text):
    path = f"{out}/{name}.textproto"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def recipe_of(name, stage):
    text = "\n".join(f"  {field}: {value}" for field, value in stage.items())
    return (f'name: "{name}"\nseed: {options["seed"]}\ntask: "{task}"\nmodel {{ path: "{os.path.abspath(start)}" }}\n'
            f"stage {{\n{text}\n}}\nevaluation {{ prompts: 0 }}\n")


def rl_recipe(name, fields):
    """The stage of one algorithm within the budget, and how many answers that is."""
    group = 1 if fields.get("samples_per_prompt") == "1" else options["group"]
    answers = group + (1 if "remax" in fields.get("advantage", "") else 0)
    prompts = max(1, options["samples"] // answers)
    minibatches = max(m for m in range(1, int(fields.get("minibatches", 1)) + 1) if prompts % m == 0)
    stage = {"algorithm": f'"{name}"', "name": '"rl"', "steps": options["steps"], "prompts_per_step": prompts,
             "samples_per_prompt": group, "max_new_tokens": 16, "minibatches": minibatches,
             "learning_rate": options["learning_rate"], "schedule": '"cosine"'}
    if "gate" in fields:  # the same number of answers: a gate may leave groups out, and asks for none in their place
        stage["gate"] = re.sub(r'\(?([^()"]*)\)?"$', lambda m: '(max_rounds=1, ' + m[1] + ')"' if "=" in m[1] else m[1] + '(max_rounds=1)"', fields["gate"])
    return recipe_of(name, stage), prompts * answers * options["steps"]


def preference_recipe(name):
    """The same for a file of pairs: samples the SFT checkpoint, whose weights a rate of 1e-30 leaves as they are. Also the seconds of that."""
    stage = {"kind": "RL", "steps": options["steps"], "prompts_per_step": max(1, options["samples"] // options["group"]),
             "samples_per_prompt": options["group"], "max_new_tokens": 16, "learning_rate": "1e-30", "samples_every": 1}
    sampled = f"{out}/{name}_samples"
    seconds, _, _ = run("train", write(f"{name}_samples", recipe_of(f"{name}_samples", stage)), "--out", sampled)
    files = [f"{sampled}/samples/{file}" for file in sorted(os.listdir(f"{sampled}/samples"))]
    with open(f"{out}/{name}.jsonl", "w", encoding="utf-8") as pairs:
        subprocess.run([sys.executable, "tools/pairs_from_samples.py", *files], stdout=pairs, check=True)
    count = sum(1 for _ in open(f"{out}/{name}.jsonl", encoding="utf-8"))
    stage = {"algorithm": f'"{name}"', "name": '"preference"', "data": f'"{os.path.abspath(out)}/{name}.jsonl"', "epochs": 1,
             "batch_size": max(1, min(64, count)), "learning_rate": options["learning_rate"], "schedule": '"cosine"'}
    return recipe_of(name, stage), options["steps"] * (options["samples"] // options["group"]) * options["group"], seconds


def row_of(name, fields):
    before_s = 0
    if fields["kind"] == "PREFERENCE":
        recipe, samples, before_s = preference_recipe(name)
    else:
        recipe, samples = rl_recipe(name, fields)
    sets = [option for change in changes.get(name, []) for option in ("--set", f"stage[0].{change}")]
    seconds, megabytes, _ = run("train", write(name, recipe), "--out", f"{out}/{name}", *sets)
    seconds += before_s
    after = pass_at_1(newest(f"{out}/{name}"))
    return f"| {name} | {before:.1%} | {after:.1%} | {100 * (after - before):+.1f} | {samples} | {seconds:.0f} | {megabytes:.0f} |"


table = published()
names = options["algorithms"].split(",") if options["algorithms"] else list(table)
for name in [*names, *changes]:
    if name not in table:
        refuse(f"no algorithm '{name}'; have: {', '.join(table)}")

quickstart = open("recipes/quickstart.textproto", encoding="utf-8").read()
task = re.search(r'^task: "(.*)"$', quickstart, re.M)[1]
os.makedirs(out)
first_stage = quickstart[:[match.start() for match in re.finditer(r"^stage \{", quickstart, re.M)][1]]
sft = write("sft", first_stage + "\nevaluation { prompts: 0 }\n")
run("train", sft, "--out", f"{out}/sft", "--set", f"stage[0].steps={options['sft_steps']}", "--set", f"seed={options['seed']}",
    "--set", f"stage[0].schedule=cosine(warmup_steps={min(50, options['sft_steps'])})")
start = newest(f"{out}/sft")
before = pass_at_1(start)

lines = ["| algorithm | pass@1 before | after | points | answers sampled | seconds | peak memory, MB |", "|---|---|---|---|---|---|---|"]
failed = []
for name in names:
    try:
        lines.append(row_of(name, table[name]))
    except RuntimeError as error:
        failed.append(name)
        lines.append(f"| {name} | {before:.1%} | {error} | | | | |")
    with open(f"{out}/table.md", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
print("\n".join(lines))
sys.exit(1 if failed else 0)
PYTHON
