#include "recipes/preferences.h"

#include "recipes/build.h"
#include "recipes/recipe.pb.h"

namespace hone {
namespace {

constexpr int64_t kMostSteps = 1'000'000'000;

class Selection {
 public:
  Selection(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe, Stage& stage)
      : locations_(locations),
        path_(path),
        recipe_(recipe),
        stage_(stage),
        loss_(recipe.loss().substr(0, recipe.loss().find('('))),
        takes_pairs_(stage.loss->aggregation() == Aggregation::kPairMean) {}

  absl::Status Build() {
    switch (stage_.kind) {
      case StageKind::kSft:
        if (loss_ == "sft") return absl::OkStatus();
        return Error("loss", "loss '", loss_, "' learns from ", takes_pairs_ ? "pairs" : "rewards",
                     ", an SFT stage has none; use sft");
      case StageKind::kPreference:
        return CheckOfflinePairs();
      case StageKind::kRl:
        break;
    }
    HONE_RETURN_IF_ERROR(TakePairs());
    return TakeKeepAbove();
  }

 private:
  template <typename... Parts>
  absl::Status Error(const char* field, const Parts&... parts) const {
    return InputError(locations_.Find(absl::StrCat(path_, ".", field)), ": ", parts...);
  }

  absl::Status CheckOfflinePairs() const {
    if (!takes_pairs_) {
      return Error("loss", "loss '", loss_,
                   "' does not learn from pairs, a PREFERENCE stage has nothing else; use dpo, ipo, ",
                   "simpo, hinge or kto");
    }
    if (stage_.loss->compares_with_rollout()) {
      return Error("loss", "loss '", loss_,
                   "' compares with the policy that sampled the answers, which a file does not know; ",
                   "use it in a stage of kind RL, or dpo here");
    }
    if (stage_.loss->needs_mismatched_kl() && stage_.batch_size < 2) {
      return Error("batch_size", "'batch_size' is 1, but loss '", loss_,
                   "' estimates a divergence from other pairs of the batch; ",
                   "take 2 or more, or fix it: loss: \"kto(kl=0)\"");
    }
    return absl::OkStatus();
  }

  absl::Status TakePairs() {
    if (!takes_pairs_) {
      if (!recipe_.has_pairs()) return absl::OkStatus();
      return Error("pairs", "'pairs' is for losses over pairs, such as dpo or dno; loss '", loss_, "' takes samples");
    }
    if (!recipe_.has_pairs()) recipe_.set_pairs("best_worst");
    const auto rule = BuildPairs(recipe_.pairs(), recipe_.mutable_pairs());
    if (!rule.ok()) return Error("pairs", rule.status().message());
    stage_.pairs = *rule;
    return WithoutAdvantage("takes pairs");
  }

  absl::Status TakeKeepAbove() {
    if (loss_ != "sft") {
      if (!recipe_.has_keep_above()) return absl::OkStatus();
      return Error("keep_above", "'keep_above' is for loss 'sft', which learns from all samples alike; loss '", loss_,
                   "' tells good from bad");
    }
    if (!recipe_.has_keep_above()) {
      return Error(
          "loss",
          "loss 'sft' ignores rewards, so an RL stage must say from which samples it learns; write keep_above: ",
          "\"rising(first=0, last=0.99)\", or use ppo_clip or reinforce");
    }
    const auto rule = BuildKeepAbove(recipe_.keep_above(), recipe_.mutable_keep_above());
    if (!rule.ok()) return Error("keep_above", rule.status().message());
    stage_.keep_above = *rule;
    return WithoutAdvantage("learns from all that is kept alike");
  }

  absl::Status WithoutAdvantage(const char* why) {
    const std::string& fallback = proto::Stage::default_instance().advantage();
    if (recipe_.advantage() != fallback) {
      return Error("advantage", "'advantage' is for losses that weigh samples; loss '", loss_, "' ", why,
                   "; leave it out");
    }
    return absl::OkStatus();
  }

  const RecipeLocations& locations_;
  const std::string& path_;
  proto::Stage& recipe_;
  Stage& stage_;
  const std::string loss_;
  const bool takes_pairs_;
};

}  // namespace

absl::Status ReadPreferenceData(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe,
                                Stage& stage) {
  if (recipe.kind() != proto::Stage::PREFERENCE) return absl::OkStatus();
  auto lines = ReadPreferences(recipe.data());
  if (!lines.ok()) return InputError(locations.Find(path + ".data"), ": ", lines.status().message());
  stage.preferences = *std::move(lines);
  const auto pairs = static_cast<int64_t>(stage.preferences.size());
  if (recipe.batch_size() > pairs) {
    return InputError(locations.Find(path + ".batch_size"), ": 'batch_size' is ", recipe.batch_size(), ", but ",
                      recipe.data(), " holds ", pairs, " pairs, so that an epoch has 0 steps; wanted at most ", pairs);
  }
  if (recipe.has_steps()) return absl::OkStatus();
  const int64_t steps = recipe.epochs() * pairs / recipe.batch_size();
  if (steps > kMostSteps) {
    return InputError(locations.Find(path + ".epochs"), ": 'epochs' is ", recipe.epochs(), ", which is ", steps,
                      " steps; ", kMostSteps, " are the most");
  }
  recipe.set_steps(static_cast<int32_t>(steps));
  recipe.clear_epochs();  // the resolved recipe says it in steps
  return absl::OkStatus();
}

absl::Status BuildSelection(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe,
                            Stage& stage) {
  return Selection(locations, path, recipe, stage).Build();
}

}  // namespace hone
