#include "recipes/combinations.h"

#include "recipes/recipe.pb.h"

namespace hone {
namespace {

// "ppo_clip" of "ppo_clip(clip_low=0.2)".
std::string NameOf(const std::string& spec) { return spec.substr(0, spec.find('(')); }

class Checker {
 public:
  Checker(const RecipeLocations& locations, const std::string& path, const proto::Stage& recipe, const Stage& stage)
      : locations_(locations),
        path_(path),
        recipe_(recipe),
        stage_(stage),
        loss_(NameOf(recipe.loss())),
        advantage_(NameOf(recipe.advantage())),
        kl_(NameOf(recipe.kl())) {}

  absl::Status Check() const {
    HONE_RETURN_IF_ERROR(CheckGate());
    HONE_RETURN_IF_ERROR(CheckComposer());
    HONE_RETURN_IF_ERROR(CheckValueModel());
    HONE_RETURN_IF_ERROR(CheckPolicyEwma());
    HONE_RETURN_IF_ERROR(CheckReference());
    HONE_RETURN_IF_ERROR(CheckKl());
    HONE_RETURN_IF_ERROR(CheckTokenTerms());
    HONE_RETURN_IF_ERROR(CheckAggregation());
    return CheckReuse();
  }

 private:
  template <typename... Parts>
  absl::Status Error(const char* field, const Parts&... parts) const {
    return InputError(locations_.Find(absl::StrCat(path_, ".", field)), ": ", parts...);
  }

  absl::Status CheckGate() const {
    if (stage_.max_staleness == 0 || stage_.gate != nullptr) return absl::OkStatus();
    return Error("max_staleness", "'max_staleness' is ", stage_.max_staleness, ", but without a gate no group ever ",
                 "waits; name one: gate: \"dynamic_sampling\", or leave this out");
  }

  absl::Status CheckComposer() const {
    if (stage_.composer == nullptr) return absl::OkStatus();
    const std::string composer = NameOf(recipe_.composer());
    if (stage_.pairs || stage_.keep_above) {
      return Error("composer", "composer '", composer, "' arranges samples with advantages, but loss '", loss_,
                   "' takes none; leave one of them out");
    }
    if (stage_.value_model.trunk != ValueTrunk::kNone) {
      return Error("composer", "composer '", composer, "' may bring back samples whose values were told by an older ",
                   "value model; leave one of the two out");
    }
    if (stage_.composer->ranks_answers() && advantage_ == "tree") {
      return Error("composer", "composer '", composer, "' ranks answers by one advantage each, but advantage 'tree' ",
                   "gives each stretch of an answer its own; leave one of the two out");
    }
    if (stage_.composer->max_batches() > 1 && AsksForReference(stage_)) {
      return Error("composer", "composer '", composer, "' brings back samples that no reference has scored, which ",
                   stage_.loss->needs_reference() ? "the loss" : "kl", " asks for; leave one of the two out");
    }
    return absl::OkStatus();
  }

  // Advantages from values, and the model that tells values.
  absl::Status CheckValueModel() const {
    const bool wanted = stage_.advantage != nullptr && stage_.advantage->needs() == AdvantageNeeds::kValues;
    if (wanted == (stage_.value_model.trunk != ValueTrunk::kNone)) return absl::OkStatus();
    if (wanted) {
      return Error("advantage", "advantage '", advantage_,
                   "' is computed from values; name a model that tells them: ", "value_model: \"own\", or \"shared\"");
    }
    return Error("value_model", "'value_model' is \"", NameOf(recipe_.value_model()), "\", but advantage '", advantage_,
                 "' asks for no values; take gae, or leave the value model out");
  }

  absl::Status CheckPolicyEwma() const {
    if (stage_.beta_prox == 0 || loss_ == "decoupled_ppo") return absl::OkStatus();
    return Error("policy_ewma", "'policy_ewma' makes the proximal policy another one than the policy that sampled, ",
                 "which loss '", loss_, "' does not tell apart; write loss: \"decoupled_ppo\"");
  }

  absl::Status CheckReference() const {
    if (stage_.reference.kind != ReferenceKind::kNone || !AsksForReference(stage_)) return absl::OkStatus();
    const std::string who =
        stage_.loss->needs_reference() ? absl::StrCat("loss '", loss_, "'") : absl::StrCat("kl '", kl_, "'");
    return Error("reference", "'reference' is \"none\", but ", who,
                 " compares the policy with one; write \"start\", \"model(path=DIR)\" or \"ema\", or leave it out");
  }

  absl::Status CheckKl() const {
    if (stage_.kl.coef == 0) return absl::OkStatus();
    if (loss_ == "tbrm") {
      return Error("kl", "'kl' is \"", kl_, "\", but loss 'tbrm' has the divergence from the reference in its own ",
                   "residual, with weight beta; leave out kl and set loss: \"tbrm(beta=...)\"");
    }
    if (stage_.kl.place == KlPlace::kReward && advantage_ == "max_rl") {
      return Error("kl",
                   "'kl' lowers rewards, but advantage 'max_rl' divides by a group's mean reward, which may then ",
                   "be negative; write place=loss, or take another advantage");
    }
    return absl::OkStatus();
  }

  // KL and entropy are terms of tokens.
  absl::Status CheckTokenTerms() const {
    const Aggregation aggregation = stage_.loss->aggregation();
    if (aggregation != Aggregation::kSampleMean && aggregation != Aggregation::kPairMean) return absl::OkStatus();
    const char* unit = aggregation == Aggregation::kSampleMean ? "sample" : "pair";
    if (stage_.kl.place == KlPlace::kLoss && stage_.kl.coef != 0) {
      return Error("kl", "'kl' adds a term for each token, but loss '", loss_, "' has one value a ", unit,
                   "; leave it out, or write place=reward");
    }
    if (stage_.entropy_coef != 0) {
      return Error("entropy_coef", "'entropy_coef' adds a term for each token, but loss '", loss_, "' has one value a ",
                   unit, "; leave it out");
    }
    return absl::OkStatus();
  }

  absl::Status CheckAggregation() const {
    if (loss_ == "gspo" && stage_.loss->aggregation() == Aggregation::kTokenMean) {
      return Error("loss", "gspo: aggregation token_mean counts an answer's one ratio once for each of its tokens, so ",
                   "long answers weigh more; write aggregation=seq_mean_token_mean, which is its default");
    }
    return absl::OkStatus();
  }

  // After the first pass the samples are an older policy's.
  absl::Status CheckReuse() const {
    if (loss_ == "reinforce" && stage_.epochs > 1) {
      return Error("epochs", "'epochs' is ", stage_.epochs, ", but loss 'reinforce' is right for the policy's own ",
                   "samples only, which they are no longer in the second pass; write epochs: 1, or loss: \"ppo_clip\"");
    }
    if (loss_ == "reinforce" && stage_.max_staleness > 0) {
      return Error("max_staleness", "'max_staleness' is ", stage_.max_staleness, ", but loss 'reinforce' is right for ",
                   "the policy's own samples only, and groups that waited are an older one's; write max_staleness: 0, ",
                   "or loss: \"ppo_clip\"");
    }
    if (loss_ == "reinforce" && stage_.composer != nullptr && stage_.composer->mixes_policies()) {
      return Error("composer", "'composer' adds samples of older policies, for which loss 'reinforce' is not right; ",
                   "write loss: \"ppo_clip\"");
    }
    return absl::OkStatus();
  }

  const RecipeLocations& locations_;
  const std::string& path_;
  const proto::Stage& recipe_;
  const Stage& stage_;
  const std::string loss_, advantage_, kl_;
};

}  // namespace

bool AsksForReference(const Stage& stage) { return stage.kl.coef != 0 || stage.loss->needs_reference(); }

absl::Status CheckCombinations(const RecipeLocations& locations, const std::string& path, const proto::Stage& recipe,
                               const Stage& stage) {
  return Checker(locations, path, recipe, stage).Check();
}

}  // namespace hone
