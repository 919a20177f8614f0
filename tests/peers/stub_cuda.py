"""Lets a PyTorch of PyPI load without the gigabytes of CUDA libraries that its wheel depends on.

libtorch_python.so needs libtorch_cuda.so, and that needs cuBLAS, cuDNN and others: the dynamic loader wants a library of each name,
with each symbol. Computing on the CPU calls none of them. So for each library that this machine lacks, this script builds a tiny one
beside PyTorch's own, with those symbols, each of which stops the program; real ones are used where they are found.

Run by tools/setup.sh with the Python that PyTorch was installed in:  python stub_cuda.py [FOLDER_WITH_CUDA_LIBRARIES...]
"""

import collections
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

# Unversioned symbols belong to the library of this name.
UNVERSIONED = {
    "cuFile": "libcufile.so.0",
    "curand": "libcurand.so.10",
    "cusparseLt": "libcusparseLt.so.0",
    "nccl": "libnccl.so.2",
    "nvshmem": "libnvshmem_host.so.3",
}

STOP = r"""
#include <stdio.h>
#include <stdlib.h>
__attribute__((visibility("hidden"))) void hone_stub_called(void) {
  fputs("%s is a stub: .deps/peers computes on the CPU only\n", stderr);
  abort();
}
"""


def read_elf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True).stdout


def needed_libraries(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", read_elf("-d", path))


def undefined_symbols(path):
    """Yields (symbol, version or None) for each symbol that another library has to define."""
    for line in read_elf("--dyn-syms", path).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[6] == "UND" and fields[4] != "WEAK":
            symbol, _, version = fields[7].partition("@")
            yield symbol, version or None


def version_owners(path):
    """{version: library} from the file's version needs."""
    owners, library = {}, None
    for line in read_elf("-V", path).splitlines():
        if match := re.search(r"File: (\S+)", line):
            library = match.group(1)
        elif library and (match := re.search(r"Name: (\S+)", line)):
            owners[match.group(1)] = library
    return owners


def find_library(name, folders):
    for folder in folders:
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return None


def known_to_the_loader():
    listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    return set(re.findall(r"^\s+(\S+) \(.*x86-64", listing, re.MULTILINE))


def build_stub(name, symbols, folder):
    """symbols: {version or None: {symbol}}."""
    with tempfile.TemporaryDirectory() as scratch:
        source, script = os.path.join(scratch, "stub.c"), os.path.join(scratch, "versions")
        with open(source, "w") as file:
            file.write(STOP % name)
            for symbol in sorted(set().union(*symbols.values())):
                file.write(f"void {symbol}(void) {{ hone_stub_called(); }}\n")
        with open(script, "w") as file:
            for version, names in symbols.items():
                if version:
                    file.write(f"{version} {{ global: {'; '.join(sorted(names))}; }};\n")
        flags = [f"-Wl,--version-script={script}"] if any(symbols) else []
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{name}", *flags, source, "-o",
                        os.path.join(folder, name)], check=True)


def main(extra_folders):
    torch = os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib")
    own = sorted(os.path.join(torch, file) for file in os.listdir(torch) if ".so" in file)
    folders = [torch, *extra_folders]
    for root in filter(None, [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]):
        folders += [os.path.join(root, part) for part in ("lib64", "lib", "extras/CUPTI/lib64")]

    # libcaffe2_nvrtc.so and libtorch_cuda_linalg.so are loaded by the first use of a GPU only.
    loaded = [path for path in own if not re.search(r"libcaffe2_nvrtc|libtorch_cuda_linalg", path)]
    loader = known_to_the_loader()
    stubs = collections.defaultdict(lambda: collections.defaultdict(set))
    for name in sorted({name for path in loaded for name in needed_libraries(path)} - loader):
        found = find_library(name, folders)
        if found is None:
            stubs[name]
        elif os.path.dirname(found) != torch:
            os.symlink(os.path.abspath(found), os.path.join(torch, name))

    for path in loaded:
        owners = version_owners(path)
        for symbol, version in undefined_symbols(path):
            library = owners.get(version)
            if version is None:
                library = next((lib for prefix, lib in UNVERSIONED.items() if symbol.startswith(prefix)), None)
            if library in stubs:
                stubs[library][version].add(symbol)
    for name, symbols in stubs.items():
        build_stub(name, symbols, torch)
    if stubs:
        print("stubs for", ", ".join(stubs), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
