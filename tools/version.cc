// hone version: the build, instruction set and libraries.
#include <cstdio>

#include "build_info.h"
#include "kernels/instruction_set.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace hone {
int VersionCommand(int argc, char** argv) {
  Arguments arguments("version", "Shows the build, instruction set and libraries.");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  std::printf("hone %s (%s)\n", kBuildVersion, kBuildGitHash);
  std::printf("compiler         %s, %s\n", kBuildCompiler, kBuildType);
  std::printf("instruction set  %s\n", kernels::InstructionSets().front().name.c_str());
  std::printf("LibTorch         %s\n", kBuildLibTorch);
  std::printf("CUDA             %s\n", kBuildCuda ? "compiled in" : "none");
  return 0;
}

}  // namespace hone
