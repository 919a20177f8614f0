#include "recipes/algorithms.h"

#include <google/protobuf/text_format.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/base/check.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "recipes/fields.h"

namespace hone {
namespace {

using google::protobuf::TextFormat;

constexpr size_t kShownBytes = 40;

// A line of the table: a field as in a recipe, and where the value is from.
struct Setting {
  // "epochs: 4". {max_new_tokens} stands for the stage's own number, {updates_in_20_steps} for what 20 rollout steps come to, or all of
  // them where there are fewer.
  const char* text;
  const char* source;

  std::string field() const { return std::string(text).substr(0, std::string(text).find(':')); }
};

struct Algorithm {
  const char* name;
  proto::Stage::Kind kind;
  const char* description;
  const char* paper;
  std::vector<Setting> settings;
};

const std::vector<Algorithm>& Algorithms() {
  static const auto* const algorithms = new std::vector<Algorithm>{
#define ALGORITHM(name, kind, description, paper, ...) {name, proto::Stage::kind, description, paper, {__VA_ARGS__}},
#include "recipes/algorithms.def"
  };
  return *algorithms;
}

absl::StatusOr<const Algorithm*> FindAlgorithm(const std::string& name) {
  std::vector<std::string> names;
  for (const Algorithm& each : Algorithms()) {
    if (name == each.name) return &each;
    names.push_back(each.name);
  }
  std::sort(names.begin(), names.end());
  return InputError("no algorithm '", Visible(name, kShownBytes), "'; have: ", absl::StrJoin(names, ", "),
                    DidYouMean(name, names));
}

int64_t Updates(int64_t steps, const proto::Stage& stage) {
  return std::max<int64_t>(0, std::min<int64_t>(steps, stage.steps())) * stage.minibatches() * stage.epochs();
}

// Sets the field unless the stage has it; true when it did.
bool Fill(const Setting& setting, proto::Stage& stage) {
  const auto* field = proto::Stage::descriptor()->FindFieldByName(setting.field());
  HONE_CHECK(field != nullptr);
  const auto* reflection = proto::Stage::GetReflection();
  if (field->is_repeated() ? reflection->FieldSize(stage, field) > 0 : reflection->HasField(stage, field)) return false;
  const std::string text =
      absl::StrReplaceAll(setting.text, {{"{max_new_tokens}", absl::StrCat(stage.max_new_tokens())},
                                         {"{updates_in_20_steps}", absl::StrCat(Updates(20, stage))}});
  proto::Stage filled;
  HONE_CHECK(TextFormat::ParseFromString(text, &filled));
  stage.MergeFrom(filled);
  return true;
}

absl::Status Expand(const std::string& path, proto::Stage& stage, RecipeLocations& locations) {
  const std::string where = locations.Find(path + ".algorithm");
  const absl::StatusOr<const Algorithm*> algorithm = FindAlgorithm(stage.algorithm());
  if (!algorithm.ok()) return InputError(where, ": ", algorithm.status().message());
  const proto::Stage::Kind kind = (*algorithm)->kind;
  if (stage.has_kind() && stage.kind() != kind) {
    return InputError(where, ": algorithm '", stage.algorithm(), "' is for stages of kind ",
                      proto::Stage::Kind_Name(kind), "; this one is ", proto::Stage::Kind_Name(stage.kind()));
  }
  stage.set_kind(kind);
  for (const Setting& setting : (*algorithm)->settings) {
    if (!Fill(setting, stage)) continue;
    locations.Set(absl::StrCat(path, ".", setting.field()),
                  absl::StrCat(where, ": algorithm '", stage.algorithm(), "'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExpandAlgorithms(proto::Recipe& recipe, RecipeLocations& locations) {
  for (int i = 0; i < recipe.stage_size(); ++i) {
    proto::Stage& stage = *recipe.mutable_stage(i);
    if (stage.has_algorithm()) HONE_RETURN_IF_ERROR(Expand(absl::StrCat("stage[", i, "]"), stage, locations));
  }
  return absl::OkStatus();
}

void ListAlgorithms(std::vector<ComponentInfo>& list) {
  for (const Algorithm& algorithm : Algorithms()) {
    ComponentInfo info{"algorithm", algorithm.name, algorithm.name, algorithm.description, algorithm.paper};
    info.lines.push_back(absl::StrCat("kind: ", proto::Stage::Kind_Name(algorithm.kind)));
    for (const Setting& setting : algorithm.settings)
      info.lines.push_back(absl::StrCat(setting.text, "  # ", setting.source));
    list.push_back(std::move(info));
  }
}

}  // namespace hone
