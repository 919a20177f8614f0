#include "kernels/instruction_set.h"

#include <cstdint>

#include "kernels/targets.h"

namespace hone::kernels {
namespace {

// Of this machine and build, whatever UseInstructionSet says. Highway numbers better targets lower.
const std::vector<int64_t>& Targets() {
  static const std::vector<int64_t>* const kTargets = [] {
    hwy::SetSupportedTargetsForTest(0);
    return new std::vector<int64_t>(hwy::SupportedAndGeneratedTargets());
  }();
  return *kTargets;
}

}  // namespace

std::vector<InstructionSet> InstructionSets() {
  std::vector<InstructionSet> sets;
  for (const int64_t target : Targets()) {
    sets.push_back({hwy::TargetName(target), target != HWY_SSE4 && target != HWY_EMU128 && target != HWY_SCALAR});
  }
  return sets;
}

void UseInstructionSet(const std::string& name) {
  if (name.empty()) hwy::SetSupportedTargetsForTest(0);
  for (const int64_t target : Targets()) {
    if (hwy::TargetName(target) == name) hwy::SetSupportedTargetsForTest(target);
  }
}

}  // namespace hone::kernels
