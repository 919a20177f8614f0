# Programs of Hone's own that run beside it, and the sandbox's scripts: rewards/embedded.cc copies them into hone_rewards. The programs are
# of their own, so that starting one is cheap, and without sanitizers, whose memory maps the limits of a sandbox would not allow.
set(_programs ${PROJECT_BINARY_DIR}/generated/programs)
file(GLOB _jail_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/rewards/jail/*.cc)
file(GLOB _jail_scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/rewards/jail/*.py ${PROJECT_SOURCE_DIR}/rewards/jail/printer.h)

add_executable(hone_guard rewards/guard/main.cc)
add_executable(hone_plugin_host rewards/plugin_host/main.cc)
target_link_libraries(hone_plugin_host PRIVATE nlohmann_json::nlohmann_json ${CMAKE_DL_LIBS})
add_executable(hone_jail ${_jail_sources})
target_link_options(hone_jail PRIVATE -static-libstdc++ -static-libgcc)
foreach(program hone_guard hone_plugin_host hone_jail)
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${_programs})
  target_include_directories(${program} PRIVATE ${PROJECT_BINARY_DIR}/layers/rewards)
  target_compile_options(${program} PRIVATE -fno-sanitize=all)
  target_link_options(${program} PRIVATE -fno-sanitize=all -s)
endforeach()

add_dependencies(hone_rewards hone_guard hone_plugin_host hone_jail)
set_source_files_properties(${PROJECT_SOURCE_DIR}/rewards/embedded.cc PROPERTIES
  OBJECT_DEPENDS "${_programs}/hone_guard;${_programs}/hone_plugin_host;${_programs}/hone_jail;${_jail_scripts}"
  COMPILE_DEFINITIONS
    "HONE_GUARD_FILE=\"${_programs}/hone_guard\";HONE_PLUGIN_HOST_FILE=\"${_programs}/hone_plugin_host\";HONE_JAIL_FILE=\"${_programs}/hone_jail\";HONE_JAIL_FOLDER=\"${PROJECT_SOURCE_DIR}/rewards/jail\"")
