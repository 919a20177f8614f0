# LibTorch for the CPU: LibTorch::LibTorch, from HONE_LIBTORCH (CMake or environment variable: a folder with include/ and lib/, so an
# unpacked LibTorch or site-packages/torch) or from .deps/libtorch, where tools/setup.sh puts it.
# PyTorch's own TorchConfig.cmake insists on a whole CUDA toolkit, also for programs that use none of it.

set(HONE_LIBTORCH "$ENV{HONE_LIBTORCH}" CACHE PATH "LibTorch: a folder with include/ and lib/ (empty: .deps/libtorch)")
set(_torch "${HONE_LIBTORCH}")
if(NOT _torch)
  set(_torch ${PROJECT_SOURCE_DIR}/.deps/libtorch)
endif()
get_filename_component(_torch "${_torch}" ABSOLUTE)

set(LibTorch_VERSION "")
if(EXISTS ${_torch}/include/torch/headeronly/version.h)
  file(STRINGS ${_torch}/include/torch/headeronly/version.h _lines REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" _numbers "${_lines}")
  string(REPLACE ";" "." LibTorch_VERSION "${_numbers}")
endif()

# libtorch_cpu.so wants these two also on machines without a GPU. The wheel's run path finds them in some layouts only, so Hone links them itself.
foreach(_name cudart cupti)
  find_library(LibTorch_${_name} NAMES lib${_name}.so.13 NO_CACHE
    HINTS ${PROJECT_SOURCE_DIR}/.deps/cuda ${_torch} ${_torch}/../nvidia/cu13 $ENV{CUDA_HOME} /usr/local/cuda
    PATH_SUFFIXES lib64 lib extras/CUPTI/lib64)
endforeach()

foreach(_file include/ATen/core/Tensor.h lib/libtorch_cpu.so lib/libc10.so)
  if(NOT EXISTS ${_torch}/${_file})
    message(FATAL_ERROR "LibTorch: no ${_file} in ${_torch}. Run tools/setup.sh, or set HONE_LIBTORCH to a folder with include/ and lib/.")
  endif()
endforeach()
if(NOT LibTorch_cudart OR NOT LibTorch_cupti)
  message(FATAL_ERROR "LibTorch: libcudart.so.13 or libcupti.so.13 not found in .deps/cuda, ${_torch} or a CUDA 13 toolkit. Run tools/setup.sh.")
endif()

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # The wheel's include folder carries an old Protobuf and others: it comes after all else.
  set_target_properties(LibTorch::LibTorch PROPERTIES
    INTERFACE_COMPILE_OPTIONS "SHELL:-idirafter ${_torch}/include"
    INTERFACE_COMPILE_DEFINITIONS AT_PER_OPERATOR_HEADERS
    INTERFACE_LINK_LIBRARIES "${_torch}/lib/libtorch_cpu.so;${_torch}/lib/libc10.so;-Wl,--push-state,--no-as-needed;${LibTorch_cudart};${LibTorch_cupti};-Wl,--pop-state")
endif()
message(STATUS "LibTorch ${LibTorch_VERSION}: ${_torch}")
set(LibTorch_FOUND TRUE)
