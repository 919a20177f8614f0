"""The work of tools/reproduce.sh: runs an experiment's arms over seeds, compares them at equal sampled answers, writes table and plot."""
import argparse
import collections
import json
import os
import re
import statistics
import subprocess
import sys

HONE = os.environ.get("HONE_BINARY", "build/hone")
RL = "stage[0]"
# In `backtrack`.
SEARCH_STEPS = 40  # of GRPO on searches
MOST_TOKENS = {"direct": 16, "search": 160}  # of an answer

PLAIN = [f"{RL}.algorithm=grpo", f"{RL}.gate=none", f"{RL}.advantage=grpo(std_normalize=false)",
         f"{RL}.loss=ppo_clip(clip_low=0.2, clip_high=0.2, aggregation=token_mean)"]

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
        costs=True),
    "dars": dict(
        paper="https://arxiv.org/abs/2508.13755",
        claim="more samples for hard prompts raise pass@k without loss of pass@1; full-batch epochs (DARS-B) raise both",
        arms={"GRPO": [f"{RL}.curriculum=uniform", f"{RL}.steps=160", f"{RL}.evaluate_every=10"], "DARS": [],
              "DARS-B": [f"{RL}.minibatches=1", f"{RL}.epochs=2"]}, ks=[1, 8]),
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
        arms={"GRPO, 160 tokens": [*PLAIN, f"{RL}.max_new_tokens=160"], "GRPO, 32 tokens": PLAIN, "DLER": []}),
    "rapid": dict(
        paper="https://arxiv.org/abs/2510.03515",
        claim="11 to 34 % less time at equal or better accuracy",
        arms={"GRPO": [f"{RL}.algorithm=dr_grpo", f"{RL}.minibatches=1", f"{RL}.prompts_per_step=64", f"{RL}.steps=320", f"{RL}.evaluate_every=20"], "RAPID": []}),
    "shuffle_r1": dict(
        paper="https://arxiv.org/abs/2508.05612",
        claim="GRPO's result with half of the steps",
        arms={"GRPO": [f"{RL}.composer=none"], "Shuffle-R1": []}),
    "backtrack": dict(
        paper="https://arxiv.org/abs/2504.07052",
        claim="on Countdown, as many direct answers as one search has tokens solve more; GRPO helps the search more than the direct answers"),
    "rest": dict(
        paper="https://arxiv.org/abs/2308.08998",
        claim="better than supervised training, with less sampling than online RL",
        arms={"GRPO": [f"{RL}.algorithm=grpo", f"{RL}.kl=none"], "ReST": []}),
}

def refuse(line):
    print(f"reproduce: {line}", file=sys.stderr)
    sys.exit(2)


def recipe_of(name):
    return f"recipes/papers/{name}.textproto"


def start_of(recipe):
    """The supervised recipe that the comment `# start: FILE` of a recipe names."""
    with open(recipe, encoding="utf-8") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("# start:"))


def checkpoint(run):
    """The newest whole one, or None."""
    folder = f"{run}/checkpoints"
    names = [name for name in os.listdir(folder) if re.fullmatch(r"step_\d+", name)] if os.path.isdir(folder) else []
    return f"{folder}/{max(names)}" if names else None


def is_done(run):
    if checkpoint(run) is None:
        return False
    with open(f"{checkpoint(run)}/state/run.json", encoding="utf-8") as file:
        return json.load(file)["finished"]


def train(recipe, run, sets):
    """A run of the recipe with these changes; one that is there must have been made with the same."""
    made_with = json.dumps([recipe, *sets])
    if os.path.isdir(run):
        with open(f"{run}.settings.json", encoding="utf-8") as file:
            if file.read() != made_with:
                refuse(f"{run} was made with other settings; remove it, or choose another --out")
    if is_done(run):
        return run
    if os.path.isdir(run):
        command = [HONE, "resume", run]
    else:
        command = [HONE, "train", recipe, "--out", run, *(part for change in sets for part in ("--set", change))]
        with open(f"{run}.settings.json", "w", encoding="utf-8") as file:
            file.write(made_with)
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
        refuse(f"'{' '.join(command)}' failed")
    return run


def start_for(start, seed):
    name = os.path.basename(start).removesuffix(".textproto")
    return train(start, f"runs/reproduce/{name}_seed{seed}", [f"seed={seed}"])


def rows(run):
    with open(f"{run}/metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def task_of(run):
    with open(f"{run}/recipe.textproto", encoding="utf-8") as file:
        return next(json.loads(line.split(":", 1)[1]) for line in file if line.startswith("task:"))


Point = collections.namedtuple("Point", "samples seconds pass_at_1 tokens")  # at an evaluation; the first two since the stage began


def curve(run):
    points, samples, seconds = [], 0, 0
    for row in rows(run):
        samples += row["sample/count"]
        seconds += row["time/step_s"]
        if "eval/pass@1" in row:
            points.append(Point(samples, seconds, row["eval/pass@1"], row["eval/mean_tokens"]))
    return points


def choosing_cost(run):
    """Seconds a step to find the prompts that train: those of the curriculum, and of the rollouts that a gate throws away."""
    return statistics.mean(row["time/choose_s"] + (row["time/generate_s"] + row["time/verify_s"]) * (1 - row.get("gate/kept", 1)) for row in rows(run))


def evaluate(run, task, ks, max_new_tokens=16):
    command = [HONE, "eval", "--model", checkpoint(run), "--task", task, "--n", str(max(ks)), "--k", ",".join(map(str, ks)), "--limit", "1000",
               "--max_new_tokens", str(max_new_tokens)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def spread(values, scale=1, digits=1):
    """Mean and half of largest less smallest."""
    values = [scale * value for value in values]
    return f"{statistics.mean(values):.{digits}f} ± {(max(values) - min(values)) / 2:.{digits}f}"


def draw(name, curves):
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
             f'<text x="{left}" y="18">{name}: held-out pass@1 over answers sampled, mean and range over seeds</text>']
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


def table(head, rows_of_cells):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(cells) + " |" for cells in rows_of_cells)]


def compare_arms(name, experiment, seeds, out, sets):
    """Every arm from the same start for each seed, read where all have sampled the same number of answers."""
    curves, runs = {}, {}
    for seed in seeds:
        start = checkpoint(start_for(start_of(recipe_of(name)), seed))
        for number, (arm, changes) in enumerate(experiment["arms"].items()):
            run = train(recipe_of(name), f"{out}/seed{seed}_arm{number}", [f"seed={seed}", f"model.path={start}", *changes, *sets])
            curves.setdefault(arm, []).append(curve(run))
            runs.setdefault(arm, []).append(run)
    with open(f"{out}/plot.svg", "w", encoding="utf-8") as file:
        file.write(draw(name, curves))
    budget = min(points[-1].samples for arm in curves.values() for points in arm)
    ends = {arm: [[point for point in points if point.samples <= max(budget, points[0].samples)][-1] for points in seeds_of] for arm, seeds_of in curves.items()}
    baseline = next(iter(curves))
    best = [max(point.pass_at_1 for point in points if point.samples <= budget) for points in curves[baseline]]
    ks = experiment.get("ks", [])
    cells = []
    for arm, points in ends.items():
        differences = " / ".join(f"{100 * (mine.pass_at_1 - base.pass_at_1):+.1f}" for mine, base in zip(points, ends[baseline]))
        goals = [next((point.samples for point in points if point.pass_at_1 >= goal), None) for points, goal in zip(curves[arm], best)]
        cells.append([arm, spread([point.pass_at_1 for point in points], 100), "" if arm == baseline else differences,
                      f"{statistics.mean(point.samples for point in points):.0f}",
                      " / ".join("-" if goal is None else f"{goal / 1000:.0f}k" for goal in goals),
                      spread([point.tokens for point in points]), spread([point.seconds for point in points], 1, 0)])
        if ks:
            results = [evaluate(run, task_of(run), ks) for run in runs[arm]]
            cells[-1] += [spread([result[f"pass@{k}"] for result in results], 100) for k in ks if k > 1]
        if experiment.get("costs"):
            cells[-1].append(spread([choosing_cost(run) for run in runs[arm]], 1000))
    return table(["arm", "pass@1, %", "less the baseline's, by seed", "answers sampled", "answers to the baseline's best", "tokens an answer", "seconds",
                  *(f"pass@{k} at the end, %" for k in ks if k > 1), *(["ms of choosing a step"] if "costs" in experiment else [])], cells)


def compare_searches(name, seeds, out, sets):
    """Direct answers and searches, before and after GRPO: pass@n of as many direct answers as one search has tokens."""
    results = {}
    for seed in seeds:
        starts = {"direct": start_for("recipes/papers/start.textproto", seed), "search": start_for("recipes/papers/start_search.textproto", seed)}
        tokens = {kind: evaluate(run, task_of(run), [1], MOST_TOKENS[kind])["mean_tokens"] for kind, run in starts.items()}
        n = max(1, round(tokens["search"] / tokens["direct"]))
        for kind, start in starts.items():
            steps = (n if kind == "direct" else 1) * SEARCH_STEPS  # as many tokens
            trained = train(recipe_of(name), f"{out}/seed{seed}_{kind}",
                            [f"seed={seed}", f"model.path={checkpoint(start)}", f"task={task_of(start)}", f"{RL}.steps={steps}",
                             f"{RL}.max_new_tokens={MOST_TOKENS[kind]}", *sets])
            for stage, run in (("SFT", start), ("SFT, then GRPO", trained)):
                ks = [1, n] if kind == "direct" and n > 1 else [1]
                result = evaluate(run, task_of(start), ks, MOST_TOKENS[kind])
                results.setdefault((kind, stage), []).append((result["mean_tokens"], result["pass@1"], result[f"pass@{ks[-1]}"], ks[-1]))
    cells = [[kind, stage, spread([v[0] for v in values]), spread([v[1] for v in values], 100), spread([v[2] for v in values], 100),
              " / ".join(str(v[3]) for v in values)] for (kind, stage), values in results.items()]
    return table(["answers", "training", "tokens an answer", "pass@1, %", "pass@n at the tokens of one search, %", "n by seed"], cells)


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--out")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    name = arguments.name
    if name is None:
        print("\n".join(f"{name:30} {experiment['paper']}" for name, experiment in EXPERIMENTS.items()))
        return
    if name not in EXPERIMENTS:
        refuse(f"no experiment '{name}'; have: {', '.join(EXPERIMENTS)}")
    try:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
    except ValueError:
        refuse(f"--seeds {arguments.seeds}: wanted whole numbers with commas between")
    experiment = EXPERIMENTS[name]
    out = arguments.out or f"runs/reproduce/{name}"
    os.makedirs(out, exist_ok=True)
    if "arms" in experiment:
        lines = compare_arms(name, experiment, seeds, out, arguments.set)
    else:
        lines = compare_searches(name, seeds, out, arguments.set)
    lines = [f"Paper: {experiment['paper']}. Claim: {experiment['claim']}.", "", *lines]
    with open(f"{out}/table.md", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
