#!/usr/bin/env bash
# Installs what building Hone needs and is missing: Debian packages, and under .deps/ LibTorch from PyTorch's PyPI wheel.
# Says nothing and takes no time when nothing is missing.
#
#   tools/setup.sh              what the build and quickstart.sh need
#   tools/setup.sh --peers      also what all tests need: clang 14, a Python with PyTorch and transformers in .deps/peers, a real model in
#                               .deps/smollm2 (tools/get_smollm2.sh), and chat templates of other models in .deps/chat_templates
#
#   HONE_LIBTORCH=DIR           use this LibTorch (a folder with include/ and lib/, such as site-packages/torch) and download none
#   HONE_NO_APT=1               do not look for Debian packages (another distribution, or installed by hand)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly torch_version=2.11.0
readonly torch_tag=cp311 # libtorch_cpu.so is the same in the wheels of every Python.
readonly cudart=nvidia-cuda-runtime==13.0.96
readonly cupti=nvidia-cuda-cupti==13.0.85

readonly build_packages=(cmake ninja-build g++ python3 libabsl-dev libgmock-dev libgtest-dev libhwy-dev libonig-dev libprotobuf-dev
  libre2-dev libseccomp-dev libsentencepiece-dev libutf8proc-dev nlohmann-json3-dev protobuf-compiler)
readonly test_packages=(clang-14 clang-format-14 libclang-rt-14-dev)
readonly templates_from=llama-cpp-python==0.3.36 # its sources hold llama.cpp's, and these the chat templates of 70 models
readonly peers_stamp_of=(tools/setup.sh tests/peers/requirements.txt tests/peers/stub_cuda.py)

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# ---- Debian packages ----

install_packages() {
  [[ $# -gt 0 ]] || return 0
  [[ -z ${HONE_NO_APT:-} ]] || die "missing: $*: install by hand what these Debian packages hold (HONE_NO_APT is set)."
  local root=()
  if [[ $EUID -ne 0 ]]; then
    if sudo -n true 2>/dev/null || { [[ -t 0 ]] && command -v sudo >/dev/null; }; then
      root=(sudo)
    else
      die "as root, run: apt-get update && apt-get install -y --no-install-recommends $*; then run this again."
    fi
  fi
  say "installing $* (log: .deps/apt.log)"
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q)
  if ! "${apt[@]}" update >.deps/apt.log 2>&1; then
    tail -n 20 .deps/apt.log >&2
    die "apt-get update failed: check the network and /etc/apt/sources.list, then run this again."
  fi
  if ! "${apt[@]}" install -y --no-install-recommends "$@" >>.deps/apt.log 2>&1; then
    tail -n 20 .deps/apt.log >&2
    die "apt-get install failed (see above): put that right, then run this again."
  fi
}

# Prints those of the packages that are not installed.
missing_packages() {
  local installed
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package} ' "$@" 2>/dev/null || true)"
  for package in "$@"; do
    [[ $installed == *"ii $package "* ]] || echo "$package"
  done
}

debian_packages() {
  [[ -z ${HONE_NO_APT:-} ]] || return 0
  command -v dpkg-query >/dev/null ||
    die "this is no Debian or Ubuntu: install the likes of '$*' by hand, then run this again with HONE_NO_APT=1."
  local missing
  mapfile -t missing < <(missing_packages "$@")
  install_packages "${missing[@]}"
}

python_has() { python3 -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

# ---- Wheels ----

readonly download=.deps/download.$$
clean_up() { rm -rf "$download"; }
trap clean_up EXIT

# fetch_wheel REQUIREMENT TAG: puts the wheel for that Python into $download, whatever the Python here is.
fetch_wheel() {
  python_has pip || install_packages python3-pip
  say "downloading $1"
  mkdir -p "$download"
  python3 -m pip download --disable-pip-version-check --no-input --no-deps --only-binary=:all: --implementation cp \
    --python-version "${2#cp}" --abi "$2" --abi none --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest "$download" "$1" >&2 ||
    die "pip could not download $1: check the network (pip's own settings apply), then run this again."
}

# unpack WHEEL FOLDER PATTERN=TARGET...: the files of the wheel that match a pattern (a prefix if it ends in /, else a whole name; * is
# one path part) go to FOLDER/TARGET. FOLDER appears whole or not at all.
unpack() {
  local wheel=$1 folder=$2
  shift 2
  rm -rf "$folder.new"
  python3 - "$wheel" "$folder.new" "$@" <<'PY' || die "could not unpack $wheel: is the disk full? Then run this again."
import fnmatch, os, shutil, sys, zipfile
wheel, folder, rules = sys.argv[1], sys.argv[2], [rule.split("=") for rule in sys.argv[3:]]
with zipfile.ZipFile(wheel) as archive:
    for pattern, target in rules:
        names = [n for n in archive.namelist() if not n.endswith("/") and
                 (n.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatch(n, pattern))]
        if not names:
            sys.exit(f"{wheel}: nothing matches {pattern}")
        for name in names:
            rest = name[len(pattern):] if pattern.endswith("/") else os.path.basename(name)
            path = os.path.join(folder, target, rest)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(name) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
PY
}

# install_folder FOLDER STAMP: FOLDER.new becomes FOLDER.
install_folder() {
  echo "$2" >"$1.new/hone-stamp"
  rm -rf "$1.old"
  [[ ! -e $1 ]] || mv "$1" "$1.old"
  mv "$1.new" "$1"
  rm -rf "$1.old"
}

has_stamp() { [[ -f $1/hone-stamp && $(<"$1/hone-stamp") == "$2" ]]; }

# ---- LibTorch ----

libtorch() {
  if [[ -n ${HONE_LIBTORCH:-} ]]; then
    for file in include/ATen/core/Tensor.h lib/libtorch_cpu.so lib/libc10.so; do
      [[ -e $HONE_LIBTORCH/$file ]] || die "HONE_LIBTORCH=$HONE_LIBTORCH has no $file: name a folder with include/ and lib/, or unset it."
    done
    return 0
  fi
  has_stamp .deps/libtorch "torch $torch_version" && return 0
  [[ $(uname -m) == x86_64 ]] || die "no LibTorch wheel is known for $(uname -m): set HONE_LIBTORCH to one of your own."
  fetch_wheel "torch==$torch_version" "$torch_tag"
  say "unpacking LibTorch to .deps/libtorch"
  unpack "$download"/torch-*.whl .deps/libtorch torch/include/=include torch/lib/libtorch_cpu.so=lib \
    torch/lib/libc10.so=lib "torch/lib/libgomp*.so*=lib" "torch-*.dist-info/licenses/*=licenses"
  install_folder .deps/libtorch "torch $torch_version"
}

# libtorch_cpu.so does not load without these two, although a machine without a GPU calls nothing in them. cmake/FindLibTorch.cmake looks
# in the same places.
cuda_libraries() {
  has_stamp .deps/cuda "$cudart $cupti" && return 0
  local torch=${HONE_LIBTORCH:-.deps/libtorch} missing=()
  for name in cudart cupti; do
    local found=
    for folder in "$torch" "$torch/../nvidia/cu13" ${CUDA_HOME:+"$CUDA_HOME"} /usr/local/cuda /usr/local /usr /usr/lib/x86_64-linux-gnu; do
      for sub in lib64 lib extras/CUPTI/lib64 .; do
        [[ ! -e $folder/$sub/lib$name.so.13 ]] || found=yes
      done
    done
    [[ -n $found ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  fetch_wheel "$cudart" "$torch_tag"
  fetch_wheel "$cupti" "$torch_tag"
  unpack "$download"/nvidia_cuda_runtime-*.whl .deps/cuda "nvidia/cu13/lib/libcudart.so.13=lib" "*.dist-info/[Ll]icen*=licenses"
  mv .deps/cuda.new .deps/cuda.part
  unpack "$download"/nvidia_cuda_cupti-*.whl .deps/cuda "nvidia/cu13/lib/libcupti.so.13=lib"
  mv .deps/cuda.part/lib/* .deps/cuda.new/lib/
  mv .deps/cuda.part/licenses .deps/cuda.new/
  rm -rf .deps/cuda.part
  install_folder .deps/cuda "$cudart $cupti"
}

# ---- The Python of tests/peers ----

peers() {
  local stamp
  stamp="$(python3 -c 'import sys; print(sys.prefix, sys.version)') $(cat "${peers_stamp_of[@]}" | sha256sum)"
  has_stamp .deps/peers "$stamp" && return 0
  python_has ensurepip || install_packages python3-venv
  say "making .deps/peers: PyTorch and transformers for tests/peers"
  rm -rf .deps/peers
  python3 -m venv .deps/peers || die "python3 -m venv failed: install python3-venv for $(command -v python3), then run this again."
  local torch="torch==$torch_version" wheels=("$download"/torch-*.whl)
  if [[ -e ${wheels[0]} && $(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])') == "$torch_tag" ]]; then
    torch=${wheels[0]}
  fi
  # --no-deps: the wheel wants gigabytes of CUDA libraries. --no-compile: the import below compiles what is used.
  .deps/peers/bin/python -m pip install --disable-pip-version-check --no-input --no-compile -q --no-deps "$torch" \
    -r tests/peers/requirements.txt >&2 ||
    die "pip could not install tests/peers/requirements.txt: check the network (pip's own settings apply), then run this again."
  # The same 450 MB are on the disk, and in memory while tests run, once.
  local ours=.deps/libtorch/lib/libtorch_cpu.so theirs=(.deps/peers/lib/python3*/site-packages/torch/lib/libtorch_cpu.so)
  ! cmp -s "$ours" "${theirs[0]}" || ln -f "$ours" "${theirs[0]}"
  .deps/peers/bin/python tests/peers/stub_cuda.py .deps/cuda/lib || die "tests/peers/stub_cuda.py failed (see above)."
  .deps/peers/bin/python -c 'import torch, transformers; assert torch.ones(2, 2).mm(torch.ones(2, 2)).sum() == 8' ||
    die "PyTorch does not load in .deps/peers (see above): delete .deps/peers and run this again."
  echo "$stamp" >.deps/peers/hone-stamp
}

# .deps/chat_templates: what tests/peers/chat_template_test.py renders.
chat_templates() {
  has_stamp .deps/chat_templates "$templates_from" && return 0
  say "downloading $templates_from (77 MB) for its chat templates"
  mkdir -p "$download"
  .deps/peers/bin/python -m pip download --disable-pip-version-check --no-input -q --no-deps --no-binary "${templates_from%%==*}" \
    --dest "$download" "$templates_from" >&2 ||
    die "pip could not download $templates_from: check the network (pip's own settings apply), then run this again."
  rm -rf .deps/chat_templates.new
  mkdir .deps/chat_templates.new
  tar -xzf "$download"/llama_cpp_python-*.tar.gz -C .deps/chat_templates.new --strip-components=5 --wildcards '*/models/templates/*.jinja' ||
    die "the sources of $templates_from hold no chat templates where they were expected: was the download cut? Then run this again."
  install_folder .deps/chat_templates "$templates_from"
}

main() {
  local want_peers=
  for argument in "$@"; do
    case $argument in
      --peers) want_peers=yes ;;
      *) die "unknown argument '$argument'; known: --peers" ;;
    esac
  done
  mkdir -p .deps
  exec 9>.deps/lock
  flock 9
  debian_packages "${build_packages[@]}" ${want_peers:+"${test_packages[@]}"}
  libtorch
  cuda_libraries
  [[ -z $want_peers ]] || { peers; chat_templates; tools/get_smollm2.sh; }
}

main "$@"
