#include "recipes/recipe.h"

#include <filesystem>

#include "engine/base/file.h"
#include "engine/base/spec.h"
#include "recipes/parse.h"
#include "recipes/recipe.pb.h"

namespace hone {
namespace fs = std::filesystem;

namespace {

constexpr uintmax_t kMaxFileBytes = 1 << 20;
constexpr int kMaxNeighbours = 1000;

// "; did you mean 'quickstart.textproto'?" from the files beside a missing one.
std::string NearestFile(const std::string& path) {
  const fs::path folder = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (names.size() == kMaxNeighbours) break;
    if (entry->path().extension() == ".textproto") names.push_back(entry->path().filename().string());
  }
  return DidYouMean(fs::path(path).filename().string(), names);
}

}  // namespace

std::string RecipeLocations::Find(absl::string_view path) const {
  for (std::string each(path); !each.empty();) {
    if (const auto found = where_.find(each); found != where_.end()) return found->second;
    const size_t dot = each.rfind('.');
    each.resize(dot == std::string::npos ? 0 : dot);
  }
  return file_;
}

LoadedRecipe::LoadedRecipe(std::unique_ptr<proto::Recipe> recipe, RecipeLocations locations)
    : recipe_(std::move(recipe)), locations_(std::move(locations)) {}
LoadedRecipe::LoadedRecipe(LoadedRecipe&&) noexcept = default;
LoadedRecipe& LoadedRecipe::operator=(LoadedRecipe&&) noexcept = default;
LoadedRecipe::~LoadedRecipe() = default;

absl::StatusOr<LoadedRecipe> ParseRecipe(absl::string_view text, const std::string& file,
                                         const std::vector<std::string>& sets) {
  auto recipe = std::make_unique<proto::Recipe>();
  RecipeLocations locations(file);
  HONE_RETURN_IF_ERROR(ParseRecipeText(text, *recipe, locations));
  for (const std::string& each : sets) HONE_RETURN_IF_ERROR(ApplyOverride(each, *recipe, locations));
  return LoadedRecipe(std::move(recipe), std::move(locations));
}

absl::StatusOr<LoadedRecipe> ReadRecipe(const std::string& path, const std::vector<std::string>& sets) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return InputError(path, ": no such recipe", NearestFile(path));
  if (fs::is_directory(status)) {
    return InputError(path, ": is a folder, a recipe is a file; a run is continued with hone resume ", path);
  }
  // A device never ends, and a large file is none of ours.
  const bool is_large = fs::is_regular_file(status) && fs::file_size(path, error) > kMaxFileBytes;
  if (is_large || fs::is_character_file(status) || fs::is_block_file(status)) {
    return InputError(path, ": is no recipe, but a device or more than ", kMaxFileBytes, " bytes");
  }
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseRecipe(text, path, sets);
}

}  // namespace hone
