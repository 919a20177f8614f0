// hone version: the build, instruction set and libraries.
#include <cstdio>

#include "build_info.h"
#include "hwy/targets.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace hone {
namespace {

// The best instruction set that both the machine and the kernels have.
const char* InstructionSet() {
  const int64_t supported = hwy::SupportedTargets();
  return hwy::TargetName(supported & -supported);
}

}  // namespace

int VersionCommand(int argc, char** argv) {
  Arguments arguments("version", "Shows the build, instruction set and libraries.");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  std::printf("hone %s (%s)\n", kBuildVersion, kBuildGitHash);
  std::printf("compiler         %s, %s\n", kBuildCompiler, kBuildType);
  std::printf("instruction set  %s\n", InstructionSet());
  std::printf("LibTorch         %s\n", kBuildLibTorch);
  std::printf("CUDA             %s\n", kBuildCuda);
  return 0;
}

}  // namespace hone
