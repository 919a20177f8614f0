#!/usr/bin/env bash
# Configures and builds: all of Hone, or the targets that are named. tools/setup.sh comes first.
#
#   tools/build.sh [TARGET...]      the binary is build/hone
#   HONE_JOBS=N                     compile N files at a time, else one per core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

configure_log=$(mktemp)
trap 'rm -f "$configure_log"' EXIT
if ! cmake --preset release -DHONE_LIBTORCH="${HONE_LIBTORCH:-}" >"$configure_log" 2>&1; then
  cat "$configure_log" >&2
  echo "build: CMake failed (see above): run tools/setup.sh; if it still fails, delete build/ and run this again." >&2
  exit 1
fi
sed -n 's/^-- left out: /build: left out: /p' "$configure_log" >&2
cmake --build build --parallel "${HONE_JOBS:-$(nproc)}" ${1:+--target "$@"} || {
  echo "build: the compiler failed (see above)." >&2
  exit 1
}
