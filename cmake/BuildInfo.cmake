# build_info.h for `hone version`: written anew only when its text changes, seen only by the files of tools/; let one of them include it, so that a
# commit recompiles one file. Run by CMake as a script (HONE_BUILD_INFO_OUT set) it writes the header.
if(NOT HONE_BUILD_INFO_OUT)
  set(_out ${PROJECT_BINARY_DIR}/generated/build_info/build_info.h)
  add_custom_target(hone_build_info_header
    COMMAND ${CMAKE_COMMAND} -DHONE_BUILD_INFO_OUT=${_out} -DHONE_SOURCE=${PROJECT_SOURCE_DIR} -DHONE_VERSION=${PROJECT_VERSION}
            "-DHONE_COMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" -DHONE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
            -DHONE_LIBTORCH_VERSION=${LibTorch_VERSION} -DHONE_CUDA=${HONE_CUDA}
            -P ${PROJECT_SOURCE_DIR}/cmake/BuildInfo.cmake
    BYPRODUCTS ${_out}
    COMMENT "build_info.h"
    VERBATIM)
  add_library(hone_build_info INTERFACE)
  target_include_directories(hone_build_info INTERFACE ${PROJECT_BINARY_DIR}/generated/build_info)
  add_dependencies(hone_build_info hone_build_info_header)
  return()
endif()

execute_process(COMMAND git -C ${HONE_SOURCE} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE HONE_GIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  set(HONE_GIT unknown)
endif()
if(HONE_CUDA)
  set(HONE_CUDA true)
else()
  set(HONE_CUDA false)
endif()
file(CONFIGURE OUTPUT ${HONE_BUILD_INFO_OUT} CONTENT [[
// Written by cmake/BuildInfo.cmake.
#pragma once

namespace hone {

inline constexpr char kBuildVersion[] = "@HONE_VERSION@";
inline constexpr char kBuildGitHash[] = "@HONE_GIT@";
inline constexpr char kBuildCompiler[] = "@HONE_COMPILER@";
inline constexpr char kBuildType[] = "@HONE_BUILD_TYPE@";
inline constexpr char kBuildLibTorch[] = "@HONE_LIBTORCH_VERSION@";
inline constexpr bool kBuildCuda = @HONE_CUDA@;

}  // namespace hone
]] @ONLY)
