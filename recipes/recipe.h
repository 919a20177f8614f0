// A recipe file as read: syntax checked, overrides applied, every field traceable to where it was written.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

namespace proto {
class Recipe;
}

// Where fields were given, by path: "stage[1].advantage" -> "quickstart.textproto:31:3" or "--set stage[1].advantage".
class RecipeLocations {
 public:
  explicit RecipeLocations(std::string file) : file_(std::move(file)) {}

  void Set(const std::string& path, std::string where) { where_[path] = std::move(where); }
  // Of the field; where nobody gave it, of the message that would hold it; at last, the file.
  std::string Find(absl::string_view path) const;
  bool Contains(const std::string& path) const { return where_.contains(path); }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, std::string> where_;
};

class LoadedRecipe {
 public:
  LoadedRecipe(std::unique_ptr<proto::Recipe> recipe, RecipeLocations locations);
  LoadedRecipe(LoadedRecipe&&) noexcept;
  LoadedRecipe& operator=(LoadedRecipe&&) noexcept;
  ~LoadedRecipe();

  const proto::Recipe& recipe() const { return *recipe_; }
  const RecipeLocations& locations() const { return locations_; }

 private:
  std::unique_ptr<proto::Recipe> recipe_;
  RecipeLocations locations_;
};

// Reads the text format of recipe.proto, then applies `sets` in order, each "path=value": "seed=3", "model.layers=2",
// "stage[1].advantage=dr_grpo", or a stage by its name: "stage[rl].steps=5". The first mistake is an input error of one line:
// "FILE:LINE:COLUMN: no field 'stpes' in stage; did you mean 'steps'?" or "--set stage[1].stpes: ...". Meaning is checked by
// BuildRun (build.h).
absl::StatusOr<LoadedRecipe> ReadRecipe(const std::string& path, const std::vector<std::string>& sets);

// The same for a text that `file` names in errors.
absl::StatusOr<LoadedRecipe> ParseRecipe(absl::string_view text, const std::string& file,
                                         const std::vector<std::string>& sets);

}  // namespace hone
