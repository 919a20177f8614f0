// The syntax of a recipe: text format and --set overrides into the message, with errors in our words. For recipes/*.cc only.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "recipes/recipe.h"

namespace hone {

// Fills `recipe` from `text`, and `locations` with the place of every field.
absl::Status ParseRecipeText(absl::string_view text, proto::Recipe& recipe, RecipeLocations& locations);

// Applies one "path=value".
absl::Status ApplyOverride(const std::string& assignment, proto::Recipe& recipe, RecipeLocations& locations);

}  // namespace hone
