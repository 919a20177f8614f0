// The meaning of a recipe's plain fields: ranges, what needs what, defaults. Specs of components are build.cc's.
// For recipes/*.cc only.
#pragma once

#include "engine/base/status.h"
#include "recipes/recipe.h"

namespace hone {

// Refuses what cannot run and writes every default into `recipe`, except those that a component knows (the verifier of a task) or
// that follow from it (evaluation.prompts). Resolving twice changes nothing.
absl::Status ResolveRecipe(const RecipeLocations& locations, proto::Recipe& recipe);

}  // namespace hone
