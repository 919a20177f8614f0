# No file from outside ends the program: the readers of safetensors and of tokenizer.json, built by clang with AddressSanitizer, LeakSanitizer
# and UndefinedBehaviorSanitizer, run their tests of hostile files, then a minute of libFuzzer each. A finding is kept in the test's folder.
#   HONE_FUZZ_SECONDS=3600 HONE_FUZZ_SEED=7 bash tests/fuzz/fuzz_test.sh      goes further
# ctest: TIMEOUT 600
# ctest: PROCESSORS 2
set -euo pipefail
source_folder=${HONE_SOURCE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=${HONE_BUILD:-$source_folder/build}/fuzz
seconds=${HONE_FUZZ_SECONDS:-60}
seed=${HONE_FUZZ_SEED:-1} # the same run every time, as far as the clock allows

compiler=clang++-14
if ! command -v "$compiler" >/dev/null; then
  echo "no $compiler: run tools/setup.sh --peers"
  [[ -z ${HONE_NO_SKIP:-} ]] || exit 1
  exit 77
fi
started=$SECONDS
{
  cmake -G Ninja -S "$source_folder/tests/fuzz" -B "$build" -DCMAKE_CXX_COMPILER="$compiler" && cmake --build "$build" --parallel 2
} >build.log 2>&1 || { tail -n 50 build.log; exit 1; }
echo "built in $((SECONDS - started)) s"

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
"$build/safetensors_test" >safetensors_test.log 2>&1 || { tail -n 50 safetensors_test.log; exit 1; }
tail -n 1 safetensors_test.log

rm -rf seeds corpus
python3 "$source_folder/tests/fuzz/seeds.py" seeds
"$build/tokenizer_json_fuzz" seeds/deep_tokenizer_json/* >deep.log 2>&1 || { tail -n 50 deep.log | cut -c1-300; exit 1; }

# fuzz TARGET: exit status 0 when nothing was found.
fuzz() {
  mkdir -p "corpus/$1"
  "$build/$1_fuzz" "corpus/$1" "seeds/$1" -dict="seeds/$1.dict" -seed="$seed" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="./$1-" -print_final_stats=1 >"$1.log" 2>&1
}

number() { grep -oE "$2" "$1.log" | tail -n 1 | grep -oE '[0-9]+' | head -n 1; }

# report TARGET FEWEST_RUNS FEWEST_ACCEPTED: a run that stopped early or that never got past the first check shows nothing.
report() {
  local runs accepted
  runs=$(number "$1" 'stat::number_of_executed_units: [0-9]+')
  accepted=$(number "$1" 'accepted [0-9]+')
  echo "$1: $runs runs, $accepted of them good files, $(number "$1" 'cov: [0-9]+') branches reached, at most $(number "$1" 'peak_rss_mb: *[0-9]+') MB"
  ((runs >= $2 * seconds && accepted >= $3)) || { echo "$1: too few: wanted $2 runs a second and $3 good files"; return 1; }
}

fuzz safetensors &
first=$!
fuzz tokenizer_json &
second=$!
failed=
wait $first || failed="safetensors"
wait $second || failed="$failed tokenizer_json"
for target in $failed; do
  echo "$target: a finding, kept as $PWD/$target-*; it comes back with: $build/${target}_fuzz FILE"
  grep -vE '^#[0-9]+' "$target.log" | head -n 40 | cut -c1-300
done
[[ -z $failed ]]
report safetensors 100 1000
report tokenizer_json 50 100
