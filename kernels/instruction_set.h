// The instruction sets that the kernels are compiled for. They choose the best one of the machine by themselves.
#pragma once

#include <string>
#include <vector>

namespace hone::kernels {

struct InstructionSet {
  std::string name;  // "AVX3" is AVX-512
  // Multiplies and adds with one rounding. All sets that do give the same bits.
  bool fused;
};

// Those of this machine, best first: the first is in use.
std::vector<InstructionSet> InstructionSets();

// From now on the kernels use the named one, which is one of InstructionSets(); the empty name is the best. For tests and
// comparisons; not while a kernel runs.
void UseInstructionSet(const std::string& name);

}  // namespace hone::kernels
