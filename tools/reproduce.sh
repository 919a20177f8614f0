#!/usr/bin/env bash
# A paper's idea against the plain baseline, on two cores in minutes: same start, same number of sampled answers, paired seeds.
#
#   tools/reproduce.sh NAME [--seeds 1,2,3] [--out runs/reproduce/NAME] [--set FIELD=VALUE]...
#   tools/reproduce.sh            lists the names
#
# Writes OUT/table.md and OUT/plot.svg and prints the table. What an arm of an experiment is, and what its paper claims, stands in
# tools/reproduce.py; the recipes in recipes/papers/. --set changes a field of every arm, as in --set stage[0].steps=20. Runs that are there are
# not run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "${1:-}" != "--help" ] || { sed -n '2,/^# not run/p' "$0" | sed 's/^# \{0,1\}//'; exit 0; }
[ -x build/hone ] || { tools/setup.sh && tools/build.sh; }
exec python3 tools/reproduce.py "$@"
