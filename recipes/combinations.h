// Which parts of an RL stage go together. Each part is fine by itself by now. For recipes/*.cc only.
#pragma once

#include <string>

#include "engine/base/status.h"
#include "recipes/recipe.h"
#include "trainer/run_options.h"

namespace hone {

namespace proto {
class Stage;
}

// Whether the loss or the KL term reads a reference policy's log-probabilities.
bool AsksForReference(const Stage& stage);

// Refuses what would train something else than what it says: the place in the recipe, the reason, the remedy.
absl::Status CheckCombinations(const RecipeLocations& locations, const std::string& path, const proto::Stage& recipe,
                               const Stage& stage);

}  // namespace hone
