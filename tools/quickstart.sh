#!/usr/bin/env bash
# Installs what is missing, builds, trains Countdown from nothing (SFT, then RL), evaluates both, shows samples and says where everything is.
#   tools/quickstart.sh [OUT] [hone train options]      OUT: the run's folder, default runs/quickstart (runs/quickstart-2, ... when taken)
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh
tools/build.sh

out=${1:-}
[ $# -eq 0 ] || shift
if [ -z "$out" ]; then
  out=runs/quickstart
  for ((number = 2; ; ++number)); do
    [ -e "$out" ] || break
    out=runs/quickstart-$number
  done
fi

hone=build/hone
recipe=recipes/quickstart.textproto
started=$SECONDS
"$hone" train "$recipe" --out "$out" "$@"

# The last checkpoint of each stage: the policy before and after reinforcement learning.
task=$(sed -n 's/^task: "\(.*\)"$/\1/p' "$out/recipe.textproto")
sft=$(python3 - "$out/metrics.jsonl" <<'PYTHON'
import json, sys
print(max(row["step"] for row in map(json.loads, open(sys.argv[1])) if row["stage"] == "sft"))
PYTHON
)
sft_model=$(printf '%s/checkpoints/step_%06d' "$out" "$sft")
rl_model=$(ls -d "$out"/checkpoints/step_* | tail -n 1)

evaluate() { "$hone" eval --model "$1" --task "$task" --n 4 --k 1,4 --limit 1000 --max_new_tokens 16 --output "$out/$2" | tail -n 1; }
before=$(evaluate "$sft_model" eval_sft.jsonl)
after=$(evaluate "$rl_model" eval_rl.jsonl)

python3 - "$before" "$after" "$out/eval_rl.jsonl" "$((SECONDS - started))" <<'PYTHON'
import json, sys
before, after = json.loads(sys.argv[1]), json.loads(sys.argv[2])
print("\nheld-out Countdown problems, 1000 prompts x 4 samples at temperature 1")
print(f"{'':12}{'pass@1':>8}{'pass@4':>8}{'majority@4':>12}{'tokens':>8}")
for name, row in (("after SFT", before), ("after RL", after)):
    print(f"{name:12}{row['pass@1']:8.1%}{row['pass@4']:8.1%}{row['majority@4']:12.1%}{row['mean_tokens']:8.1f}")
print(f"reinforcement learning: {100 * (after['pass@1'] - before['pass@1']):+.1f} points; training and evaluation took {sys.argv[4]} s")
print("\nsamples of the final policy")
for line in list(open(sys.argv[3]))[:32:4]:
    row = json.loads(line)
    print(f"  {row['prompt']:>16}{row['completion']:<14} {'right' if row['score'] == 1 else 'wrong: ' + row['reason']}")
PYTHON
cat <<EOF

model       $rl_model  (loads in transformers, try: $hone generate --model $rl_model --prompt '12 7 30:25=')
curves      $out/report.html
metrics     $out/metrics.jsonl
EOF
