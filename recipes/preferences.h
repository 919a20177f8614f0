// What a stage's loss learns from: demonstrations, pairs of a file, pairs or the better samples of a rollout, or advantages. For recipes/*.cc
// only.
#pragma once

#include <string>

#include "engine/base/status.h"
#include "recipes/recipe.h"
#include "trainer/run_options.h"

namespace hone {

namespace proto {
class Stage;
}

// Reads the data of a PREFERENCE stage, and turns its epochs into steps. Does nothing for other kinds. Before all that asks for steps.
absl::Status ReadPreferenceData(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe,
                                Stage& stage);

// Refuses a loss that the stage has nothing for, and reads `pairs` and `keep_above`. The stage's loss is built by now.
absl::Status BuildSelection(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe,
                            Stage& stage);

}  // namespace hone
