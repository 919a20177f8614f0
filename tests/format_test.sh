# Every C++ file is as clang-format 14 would write it (.clang-format: Google style, 120 columns).
set -euo pipefail
cd "$HONE_SOURCE"

format=clang-format-14
if ! command -v "$format" >/dev/null; then
  echo "no $format: run tools/setup.sh --peers"
  [[ -z ${HONE_NO_SKIP:-} ]] || exit 1
  exit 77
fi
mapfile -t files < <(find kernels engine rewards rollout trainer recipes tools tests -name '*.cc' -o -name '*.h' -o -name '*.cu')
wrong=()
for file in "${files[@]}"; do
  "$format" "$file" | cmp -s - "$file" || wrong+=("$file")
done
if [[ ${#wrong[@]} -gt 0 ]]; then
  "$format" "${wrong[0]}" | diff -u "${wrong[0]}" - | head -40 || true
  echo "not formatted: ${#wrong[@]} of ${#files[@]} files. Run:"
  echo "$format -i ${wrong[*]}"
  exit 1
fi
echo "${#files[@]} files are formatted"
