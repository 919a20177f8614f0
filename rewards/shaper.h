// SLOT: changes rewards after verification, such as a price on length. Plain numbers; the verdict stays the verifier's.
#pragma once

#include <memory>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

class Shaper {
 public:
  virtual ~Shaper() = default;
  // Adds to Sample::shaping of the samples with a verdict, and of the greedy answer where the rule looks at one answer alone. Sees what shapers
  // before it added. `max_new_tokens` is what an answer was allowed. Pure but for the group.
  virtual void Shape(int32_t max_new_tokens, Group& group) const = 0;
};

// Factories, one per file in rewards/shaper/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Shaper>> NewOverlongShaper(Spec& spec);
absl::StatusOr<std::unique_ptr<Shaper>> NewTruncationShaper(Spec& spec);
absl::StatusOr<std::unique_ptr<Shaper>> NewLengthRewardShaper(Spec& spec);

}  // namespace hone
