# A layer is a static library and an include root of its own: build/layers/<name>/ holds one link, to the layer's folder.
# So `#include "kernels/gemm.h"` compiles only in a target that links hone_kernels: an include across a border that the
# design does not have is a compile error. (tests/layering_test.py checks the finer rules, and says them in words.)

# hone_<name>: headers are included as "<folder>/file.h".
function(hone_include_root name folder)
  set(root ${PROJECT_BINARY_DIR}/layers/${name})
  get_filename_component(parent ${root}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${folder} ${root}/${folder} SYMBOLIC)
  if(NOT TARGET hone_${name})
    add_library(hone_${name} INTERFACE)
    target_include_directories(hone_${name} INTERFACE ${root})
  else()
    target_include_directories(hone_${name} PUBLIC ${root})
  endif()
endfunction()

# hone_layer(<name> <folder> [SLOTS <sub-folder>...] [PUBLIC <target>...] [PRIVATE <target>...])
# Sources: <folder>/*.cc but main.cc, not the program in rewards/jail (EmbeddedFiles.cmake), and those of the slots (SLOTS * is every sub-folder). PUBLIC targets are seen by whoever links the layer,
# PRIVATE ones only by its own .cc files.
function(hone_layer name folder)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SLOTS;PUBLIC;PRIVATE")
  set(patterns ${folder}/*.cc)
  foreach(slot IN LISTS arg_SLOTS)
    list(APPEND patterns ${folder}/${slot}/*.cc)
  endforeach()
  list(TRANSFORM patterns PREPEND ${PROJECT_SOURCE_DIR}/)
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$|/rewards/jail/")
  if(sources)
    add_library(hone_${name} STATIC ${sources})
    hone_include_root(${name} ${folder})
    target_link_libraries(hone_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  else()
    hone_include_root(${name} ${folder})
    target_link_libraries(hone_${name} INTERFACE ${arg_PUBLIC} ${arg_PRIVATE})
  endif()
endfunction()

# Compile options for a layer's own files.
function(hone_layer_options name)
  get_target_property(type hone_${name} TYPE)
  if(NOT type STREQUAL INTERFACE_LIBRARY)
    target_compile_options(hone_${name} PRIVATE ${ARGN})
  endif()
endfunction()

# Generates <proto>.pb.{h,cc} and adds them to a layer. Included as "<path>/<stem>.pb.h", by this layer's files only.
function(hone_protobuf name proto)
  get_target_property(type hone_${name} TYPE)
  if(type STREQUAL INTERFACE_LIBRARY OR NOT EXISTS ${PROJECT_SOURCE_DIR}/${proto})
    return()
  endif()
  set(out ${PROJECT_BINARY_DIR}/generated/${name})
  string(REGEX REPLACE "\\.proto$" ".pb" stem ${proto})
  file(MAKE_DIRECTORY ${out})
  add_custom_command(
    OUTPUT ${out}/${stem}.cc ${out}/${stem}.h
    COMMAND StaticProtobuf::protoc --proto_path=${PROJECT_SOURCE_DIR} --cpp_out=${out} ${proto}
    DEPENDS ${PROJECT_SOURCE_DIR}/${proto}
    COMMENT "protoc ${proto}"
    VERBATIM)
  set_source_files_properties(${out}/${stem}.cc PROPERTIES COMPILE_OPTIONS "-w")
  target_sources(hone_${name} PRIVATE ${out}/${stem}.cc ${out}/${stem}.h)
  target_include_directories(hone_${name} SYSTEM PRIVATE ${out})
endfunction()
