// Published algorithms by name: each is a set of a stage's fields with the values of its paper or code. recipes/algorithms.def is the
// table. For recipes/*.cc only.
#pragma once

#include <vector>

#include "engine/base/status.h"
#include "recipes/build.h"
#include "recipes/recipe.h"

namespace hone {

namespace proto {
class Recipe;
}

// Fills the fields that a stage with an `algorithm` leaves out; what the stage says itself stays. Errors about a filled field name the
// algorithm as its place. Done twice, it changes nothing.
absl::Status ExpandAlgorithms(proto::Recipe& recipe, RecipeLocations& locations);

// The slot `algorithm` of `hone list`.
void ListAlgorithms(std::vector<ComponentInfo>& list);

}  // namespace hone
