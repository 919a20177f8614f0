#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. Arguments go to ctest: tools/test.sh -R kernels
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh --peers
tools/build.sh
# Set-up has installed what tests may ask for: none has a reason to be skipped.
HONE_NO_SKIP=1 ctest --test-dir build -j2 --output-on-failure "$@"
