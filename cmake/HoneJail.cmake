# The program that walls in tested programs (rewards/jail), and its way into hone_rewards: rewards/jail_files.cc copies it and the scripts beside it.
# It is of its own, so that starting it is cheap, and without sanitizers, whose memory maps its limits would not allow.
file(GLOB _sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/rewards/jail/*.cc)
file(GLOB _scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/rewards/jail/*.py ${PROJECT_SOURCE_DIR}/rewards/jail/printer.h)
set(_jail ${PROJECT_BINARY_DIR}/generated/jail/hone-jail)

add_executable(hone_jail ${_sources})
set_target_properties(hone_jail PROPERTIES OUTPUT_NAME hone-jail RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/generated/jail)
target_include_directories(hone_jail PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(hone_jail PRIVATE -fno-sanitize=all)
target_link_options(hone_jail PRIVATE -fno-sanitize=all -static-libstdc++ -static-libgcc -Wl,-s)

add_dependencies(hone_rewards hone_jail)
set_source_files_properties(${PROJECT_SOURCE_DIR}/rewards/jail_files.cc PROPERTIES
  COMPILE_DEFINITIONS "HONE_JAIL_PROGRAM=\"${_jail}\";HONE_JAIL_FOLDER=\"${PROJECT_SOURCE_DIR}/rewards/jail\""
  OBJECT_DEPENDS "${_jail};${_scripts}")
