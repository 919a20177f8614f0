#!/usr/bin/env bash
# ReMax against PPO with a value model, on one model and one sampling budget: peak memory and seconds a step, as a table. The ReMax paper
# (https://arxiv.org/abs/2310.10505) reports about half of PPO's memory, and PPO about twice as slow a step.
#   tools/compare_remax_ppo.sh [MODEL [hone train options]]    MODEL: a model's folder; without one, a Llama of 10 million weights from a seed
# Environment: HONE (build/hone), STEPS (6; the first warms up and is left out), PROMPTS (16), SAMPLES (4), TOKENS (64), OUT (a temporary folder).
set -euo pipefail
cd "$(dirname "$0")/.."

hone=${HONE:-build/hone}
model=${1:-}
[ $# -eq 0 ] || shift
[ -x "$hone" ] || { echo "$hone: no such program; build it with tools/build.sh, or name one with HONE=" >&2; exit 2; }
advantages=$("$hone" list advantage)
for advantage in remax gae; do
  grep -qw "$advantage" <<< "$advantages" || { echo "$hone: has no advantage '$advantage'; build a newer one" >&2; exit 2; }
done
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
if [ -n "$model" ]; then
  sizes="path: \"$model\""
else
  sizes='tokenizer: "sentencepiece(model_type=char)" hidden_size: 320 intermediate_size: 864 layers: 8 heads: 5 max_position_embeddings: 256'
fi
cat > "$out/recipe.textproto" <<EOF
name: "compare" seed: 1
task: "countdown(numbers=3, low=1, high=50, target_low=1, target_high=99)"
model { $sizes }
verifier: "repetition(n=2, unit=characters)"  # rewards that differ: with equal ones ReMax would have nothing to train
drafter: "none"
stage {
  kind: RL  name: "rl"  steps: ${STEPS:-6}  learning_rate: 1e-6
  prompts_per_step: ${PROMPTS:-16}  samples_per_prompt: ${SAMPLES:-4}  max_new_tokens: ${TOKENS:-64}
  microbatch_tokens: 2048  samples_every: 0
}
evaluation { prompts: 0 }
EOF

exec python3 - "$hone" "$out" "$@" <<'PYTHON'
import json, os, resource, shutil, statistics, subprocess, sys

hone, out, more = sys.argv[1], sys.argv[2], sys.argv[3:]
METHODS = [
    ("ReMax", ["advantage=remax", "loss=reinforce"]),
    ("PPO, own value model", ["advantage=gae", "value_model=own", "loss=ppo_clip(clip_high=0.2)"]),
    ("PPO, value head shared", ["advantage=gae", "value_model=shared", "loss=ppo_clip(clip_high=0.2)"]),
]
rows = []
for name, sets in METHODS:
    run = os.path.join(out, "".join(c if c.isalnum() else "_" for c in name))
    shutil.rmtree(run, ignore_errors=True)
    options = [option for item in sets for option in ("--set", "stage[0]." + item)]
    process = subprocess.Popen([hone, "train", f"{out}/recipe.textproto", "--out", run, *options, *more],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # the peak of this child alone
    if status != 0:
        sys.exit(f"{name}: hone failed\n{errors}")
    steps = [json.loads(line) for line in open(run + "/metrics.jsonl")][1:]
    mean = lambda key: statistics.mean(step.get(key, 0) for step in steps)
    rows.append((name, usage.ru_maxrss / 1024, mean("time/step_s"), mean("time/generate_s"), mean("time/train_s"), mean("time/value_s")))
memory, seconds = rows[0][1], rows[0][2]
print(f"{'':24}{'peak MB':>9}{'x':>6}{'s/step':>9}{'x':>6}{'generate':>10}{'policy':>9}{'value':>8}")
for name, peak, step, generate, train, value in rows:
    print(f"{name:24}{peak:9.0f}{peak / memory:6.2f}{step:9.3f}{step / seconds:6.2f}{generate:10.3f}{train:9.3f}{value:8.3f}")
print(f"means of {len(steps)} steps after the first; runs in {out}")
PYTHON
