// The task's prompts in their order, each as often as any other, with the same number of samples: what GRPO does,
// https://arxiv.org/abs/2402.03300, algorithm 1.
#include "rollout/curriculum.h"

namespace hone {
namespace {

class Uniform : public Curriculum {};

}  // namespace

absl::StatusOr<std::unique_ptr<Curriculum>> NewUniformCurriculum(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Uniform>();
}

}  // namespace hone
