"""The work of tools/reproduce.sh: runs an experiment's arms over seeds, compares them at equal sampled answers, writes table and plot."""
import argparse
import json
import os
import statistics
import subprocess
import sys

HONE = os.environ.get("HONE_BINARY", "build/hone")
RL = "stage[0]"

# An experiment: the paper, its claim, the recipe, and the arms as what they change in it; the first arm is the plain baseline. Arms are compared
# at the number of sampled answers that every arm reaches.
EXPERIMENTS = {
    "online_difficulty_filtering": dict(
        paper="https://arxiv.org/abs/2504.03380",
        claim="plain GRPO's best reward in 60 % of its training time",
        arms={"GRPO": [f"{RL}.gate=none", f"{RL}.steps=160", f"{RL}.evaluate_every=10"], "difficulty filtering": []}),
    "prompt_curriculum": dict(
        paper="https://arxiv.org/abs/2510.01135",
        claim="intermediate prompts found 12.1 to 16.9 times faster than by rollouts, at equal quality",
        arms={"GRPO": [f"{RL}.curriculum=uniform"], "filtering by rollouts": [f"{RL}.curriculum=uniform", f"{RL}.gate=difficulty(low=0.25, high=0.75)", f"{RL}.steps=50", f"{RL}.evaluate_every=5"],
              "prompt curriculum": []},
        metrics=["curriculum/value_explained_variance", "time/choose_s"]),
    "dars": dict(
        paper="https://arxiv.org/abs/2508.13755",
        claim="more samples for hard prompts raise pass@k without loss of pass@1; full-batch epochs (DARS-B) raise both",
        arms={"GRPO": [f"{RL}.curriculum=uniform"], "DARS": [], "DARS-B": [f"{RL}.minibatches=1", f"{RL}.epochs=2"]}, ks=[1, 8]),
    "rlep": dict(
        paper="https://arxiv.org/abs/2507.07451",
        claim="the baseline's peak in fewer updates, and a higher one (AIME-2024 38.2 to 39.9 %)",
        arms={"GRPO": [f"{RL}.composer=none"], "replay": []}),
    "rorecomp": dict(
        paper="https://arxiv.org/abs/2509.25958",
        claim="answers 27.7 % shorter at equal quality",
        arms={"GRPO": [f"{RL}.composer=none"], "RoRecomp": []}),
    "dler": dict(
        paper="https://arxiv.org/abs/2510.15110",
        claim="answers 70 % shorter at equal accuracy",
        arms={"GRPO, long answers": [f"{RL}.algorithm=grpo", f"{RL}.max_new_tokens=400"], "truncation, plain GRPO": [f"{RL}.algorithm=grpo"], "DLER": []}),
    "rapid": dict(
        paper="https://arxiv.org/abs/2510.03515",
        claim="11 to 34 % less time at equal or better accuracy",
        arms={"GRPO": [f"{RL}.algorithm=dr_grpo", f"{RL}.minibatches=1", f"{RL}.prompts_per_step=64", f"{RL}.steps=480"], "RAPID": []}),
    "shuffle_r1": dict(
        paper="https://arxiv.org/abs/2508.05612",
        claim="GRPO's result with half of the steps",
        arms={"GRPO": [f"{RL}.composer=none"], "Shuffle-R1": []}),
    "rest": dict(
        paper="https://arxiv.org/abs/2308.08998",
        claim="better than supervised training, with less sampling than online RL",
        arms={"GRPO": [f"{RL}.algorithm=grpo", f"{RL}.kl=none"], "ReST": []}),
}

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("name", nargs="?")
parser.add_argument("--seeds", default="1,2,3")
parser.add_argument("--out")
parser.add_argument("--set", action="append", default=[])
arguments = parser.parse_args()


def refuse(line):
    print(f"reproduce: {line}", file=sys.stderr)
    sys.exit(2)


if arguments.name is None:
    print("\n".join(f"{name:30} {experiment['paper']}" for name, experiment in EXPERIMENTS.items()))
    sys.exit(0)
if arguments.name not in EXPERIMENTS:
    refuse(f"no experiment '{arguments.name}'; have: {', '.join(EXPERIMENTS)}")
experiment = EXPERIMENTS[arguments.name]
out = arguments.out or f"runs/reproduce/{arguments.name}"
try:
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
except ValueError:
    refuse(f"--seeds {arguments.seeds}: wanted whole numbers with commas between")
RECIPE = f"recipes/papers/{arguments.name}.textproto"


def start_of(recipe):
    """The supervised recipe that the comment `# start: FILE` of a recipe names."""
    with open(recipe, encoding="utf-8") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("# start:"))


def checkpoint(run):
    folder = f"{run}/checkpoints"
    return f"{folder}/{sorted(os.listdir(folder))[-1]}"


def is_done(run):
    if not os.path.isdir(f"{run}/checkpoints") or not os.listdir(f"{run}/checkpoints"):
        return False
    with open(f"{checkpoint(run)}/state/run.json", encoding="utf-8") as file:
        return json.load(file)["finished"]


def train(recipe, run, sets):
    if is_done(run):
        return
    if os.path.isdir(run):
        command = [HONE, "resume", run]
    else:
        command = [HONE, "train", recipe, "--out", run, *(part for change in sets for part in ("--set", change))]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
        refuse(f"'{' '.join(command)}' failed")


def rows(run):
    with open(f"{run}/metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def curve(run):
    """[(answers sampled, seconds, held-out pass@1, its mean length, row)] at each evaluation."""
    points, samples, seconds = [], 0, 0
    for row in rows(run):
        samples += row["sample/count"]
        seconds += row["time/step_s"]
        if "eval/pass@1" in row:
            points.append((samples, seconds, row["eval/pass@1"], row["eval/mean_tokens"], row))
    return points


def pass_at(model, task, ks):
    command = [HONE, "eval", "--model", model, "--task", task, "--n", str(max(ks)), "--k", ",".join(map(str, ks)), "--limit", "1000"]
    line = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    return json.loads(line)


def task_of(run):
    with open(f"{run}/recipe.textproto", encoding="utf-8") as file:
        return next(json.loads(line.split(":", 1)[1]) for line in file if line.startswith("task:"))


def text_of(values, scale=1, digits=1):
    """Mean and spread, the spread being half of largest less smallest."""
    values = [scale * value for value in values]
    return f"{statistics.mean(values):.{digits}f} ± {(max(values) - min(values)) / 2:.{digits}f}"


def draw(curves):
    """Pass@1 over sampled answers: a line for the mean, a band from the lowest to the highest seed."""
    width, height, left, bottom = 720, 400, 60, 40
    colors = ["#555", "#c33", "#36c", "#292", "#a5a"]
    most = max(point[0] for runs in curves.values() for run in runs for point in run)
    values = [point[2] for runs in curves.values() for run in runs for point in run]
    low, high = min(values), max(values) + 1e-9
    x = lambda samples: left + (width - left - 20) * samples / most
    y = lambda value: height - bottom - (height - bottom - 30) * (value - low) / (high - low)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="{left}" y="18">{arguments.name}: held-out pass@1 over answers sampled, mean and range of {len(seeds)} seeds</text>']
    for i in range(5):
        value, samples = low + (high - low) * i / 4, most * i / 4
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y(value) + 4:.1f}">{value:.1%}</text><text x="{x(samples) - 15:.1f}" y="{height - 18}">{samples / 1000:.0f}k</text>')
    for color, (arm, runs) in zip(colors, curves.items()):
        steps = list(zip(*runs))
        points = [(statistics.mean(p[0] for p in step), [p[2] for p in step]) for step in steps]
        band = [f"{x(s):.1f},{y(max(v)):.1f}" for s, v in points] + [f"{x(s):.1f},{y(min(v)):.1f}" for s, v in reversed(points)]
        line = " ".join(f"{x(s):.1f},{y(statistics.mean(v)):.1f}" for s, v in points)
        parts.append(f'<polygon points="{" ".join(band)}" fill="{color}" opacity="0.15"/><polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        row = list(curves).index(arm)
        parts.append(f'<rect x="{width - 220}" y="{height - bottom - 20 - 18 * row}" width="12" height="12" fill="{color}"/>'
                     f'<text x="{width - 202}" y="{height - bottom - 10 - 18 * row}">{arm}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


os.makedirs(out, exist_ok=True)
curves, lasts = {}, {}
start = start_of(RECIPE)
for seed in seeds:
    sft = f"runs/reproduce/{os.path.basename(start).removesuffix('.textproto')}_seed{seed}"
    train(start, sft, [f"seed={seed}"])
    for number, (arm, sets) in enumerate(experiment["arms"].items()):
        run = f"{out}/seed{seed}_arm{number}"
        train(RECIPE, run, [f"seed={seed}", f"model.path={checkpoint(sft)}", *sets, *arguments.set])
        curves.setdefault(arm, []).append(curve(run))
        lasts.setdefault(arm, []).append(run)

budget = min(run[-1][0] for runs in curves.values() for run in runs)
baseline = next(iter(curves))
at_budget = {arm: [[point for point in run if point[0] <= budget][-1] for run in runs] for arm, runs in curves.items()}
best = [max(point[2] for point in run if point[0] <= budget) for run in curves[baseline]]


def reached(run, goal):
    """Answers until the curve first reaches the baseline's best within the budget."""
    return next((point[0] for point in run if point[2] >= goal), None)


ks, extra = experiment.get("ks", []), experiment.get("metrics", [])
head = ["arm", "pass@1, %", "less the baseline's, by seed", "answers sampled", "answers to the baseline's best", "tokens an answer", "seconds"]
head += [f"pass@{k}, %" for k in ks if k > 1] + extra
lines = [f"Paper: {experiment['paper']}. Claim: {experiment['claim']}.", "",
         "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
for arm, points in at_budget.items():
    differences = " / ".join(f"{100 * (mine[2] - base[2]):+.1f}" for mine, base in zip(points, at_budget[baseline]))
    goals = [reached(run, goal) for run, goal in zip(curves[arm], best)]
    goal_text = " / ".join("-" if goal is None else f"{goal / 1000:.0f}k" for goal in goals)
    cells = [arm, text_of([p[2] for p in points], 100), "" if arm == baseline else differences, f"{statistics.mean(p[0] for p in points):.0f}", goal_text,
             text_of([p[3] for p in points]), text_of([p[1] for p in points], 1, 0)]
    if ks:
        results = [pass_at(checkpoint(run), task_of(run), ks) for run in lasts[arm]]
        cells += [text_of([result[f"pass@{k}"] for result in results], 100) for k in ks if k > 1]
    for name in extra:
        values = [statistics.mean(row[name] for row in rows(run) if name in row) for run in lasts[arm] if any(name in row for row in rows(run))]
        cells.append(text_of(values, 1, 3) if values else "")
    lines.append("| " + " | ".join(cells) + " |")
with open(f"{out}/table.md", "w", encoding="utf-8") as file:
    file.write("\n".join(lines) + "\n")
with open(f"{out}/plot.svg", "w", encoding="utf-8") as file:
    file.write(draw(curves))
print("\n".join(lines))
