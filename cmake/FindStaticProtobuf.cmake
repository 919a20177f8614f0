# Protobuf as an archive, its symbols kept inside the program: Debian's libsentencepiece exports a Protobuf of its own, and two that see
# each other abort at start. StaticProtobuf::StaticProtobuf and the compiler StaticProtobuf::protoc.
find_library(StaticProtobuf_LIBRARY NAMES libprotobuf.a NO_CACHE)
find_path(StaticProtobuf_INCLUDE_DIR google/protobuf/message.h NO_CACHE)
find_program(StaticProtobuf_PROTOC protoc NO_CACHE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(StaticProtobuf
  REASON_FAILURE_MESSAGE "Run tools/setup.sh."
  REQUIRED_VARS StaticProtobuf_LIBRARY StaticProtobuf_INCLUDE_DIR StaticProtobuf_PROTOC)

if(NOT TARGET StaticProtobuf::StaticProtobuf)
  add_library(StaticProtobuf::StaticProtobuf STATIC IMPORTED)
  set_target_properties(StaticProtobuf::StaticProtobuf PROPERTIES
    IMPORTED_LOCATION ${StaticProtobuf_LIBRARY}
    INTERFACE_LINK_LIBRARIES Threads::Threads
    INTERFACE_LINK_OPTIONS "LINKER:--exclude-libs,ALL")
  if(NOT StaticProtobuf_INCLUDE_DIR STREQUAL /usr/include)
    set_target_properties(StaticProtobuf::StaticProtobuf PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${StaticProtobuf_INCLUDE_DIR})
  endif()
  add_executable(StaticProtobuf::protoc IMPORTED)
  set_target_properties(StaticProtobuf::protoc PROPERTIES IMPORTED_LOCATION ${StaticProtobuf_PROTOC})
endif()
