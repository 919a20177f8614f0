// hone train --explain: what a recipe would do, before anything starts.
#pragma once

#include <string>

#include "engine/base/status.h"
#include "trainer/run_options.h"

namespace hone {

// The resolved recipe, then sizes, tokens per step and the memory that the parts need.
absl::StatusOr<std::string> Explain(const RunOptions& options);

}  // namespace hone
