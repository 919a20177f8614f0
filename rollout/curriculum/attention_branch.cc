// AttnRL, https://arxiv.org/abs/2509.26628, with the defaults of its code, https://github.com/RyanLiu112/AttnRL: answers branch where later steps attend
// most, so that what a step is worth shows in how its continuations end. Goes with advantage "tree". Steps less than `distance` apart do not count: answers
// of a few tokens want a distance of 1.
//
// Of a group's n answers, of which a share z is right, round(n exp(-z)) are continued `continuations` times from each of the `forks` earliest steps among
// the share `top` of highest influence. Where all are right, only groups of more than average influence are: the others teach nothing. Where some are
// right, the rarer kind goes first. The paper samples a step's branches together with the next step's answers, one update late, to save a call of its
// generator; here they follow at once, on-policy, on the pages of the same prompts' prefixes.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/base/file.h"
#include "rollout/curriculum.h"
#include "rollout/gate.h"

namespace hone {
namespace {

using Json = nlohmann::json;

struct AttentionBranchOptions {
  int64_t forks, continuations, spacing, distance;
  double top;
};

class AttentionBranch : public Curriculum {
 public:
  explicit AttentionBranch(const AttentionBranchOptions& options) : options_(options) {}

  bool wants_attention() const override { return true; }
  void UseAttention(AttentionMeter* meter) override { meter_ = meter; }

  std::vector<Branch> Branches(const Group& group) override {
    const std::optional<double> rate = PassRate(group);
    if (!rate) return {};
    std::vector<size_t> order(group.samples.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const bool rarely_wrong = *rate >= 0.5;
    std::stable_partition(order.begin(), order.end(), [&](size_t i) {
      return (group.samples[i].verdict.score.value_or(0) >= kCorrectScore) != rarely_wrong;
    });
    const auto expanded = static_cast<size_t>(std::lround(std::exp(-*rate) * static_cast<double>(order.size())));
    if (*rate == 1 && !IsAboveAverage(group)) return {};
    std::vector<Branch> branches;
    for (size_t i = 0; i < std::min(expanded, order.size()); ++i) {
      for (const int32_t at : Forks(Measure(group, order[i])))
        branches.push_back({static_cast<int32_t>(order[i]), at, static_cast<int32_t>(options_.continuations)});
    }
    pending_.branches += static_cast<double>(branches.size());
    return branches;
  }

  // The step counts from here on.
  absl::Status Learn(std::span<const Group> /*groups*/, Metrics& metrics) override {
    metrics.Set("curriculum/branches", pending_.branches);
    sum_ += pending_.sum;
    groups_ += pending_.groups;
    pending_ = {};
    return absl::OkStatus();
  }

  absl::Status Save(const std::string& path) const override {
    return WriteFile(path, Json{{"influence_sum", sum_}, {"groups", groups_}}.dump() + "\n");
  }
  absl::Status Load(const std::string& path) override {
    HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("influence_sum") || !json["influence_sum"].is_number() ||
        !json.contains("groups") || !json["groups"].is_number())
      return InputError(path, ": no 'influence_sum' and 'groups'; damaged; go on from an earlier checkpoint");
    sum_ = json["influence_sum"];
    groups_ = json["groups"];
    return absl::OkStatus();
  }

 private:
  std::vector<AnswerStep> Measure(const Group& group, size_t sample) const {
    return meter_->Measure(group.prompt, group.samples[sample], static_cast<int32_t>(options_.distance));
  }

  // Of the groups with right answers only, this one among them.
  bool IsAboveAverage(const Group& group) {
    double sum = 0;
    for (size_t i = 0; i < group.samples.size(); ++i) {
      const std::vector<AnswerStep> steps = Measure(group, i);
      double answer = 0;
      for (const AnswerStep& step : steps) answer += step.influence;
      sum += answer / static_cast<double>(steps.size());
    }
    const double mean = sum / static_cast<double>(group.samples.size());
    pending_.sum += mean;
    pending_.groups += 1;
    return mean > (sum_ + pending_.sum) / (groups_ + pending_.groups);
  }

  // Where an answer forks: the beginning of its earliest steps of high influence, the first step, which is the whole answer's beginning, apart.
  std::vector<int32_t> Forks(const std::vector<AnswerStep>& steps) const {
    std::vector<double> influences;
    for (size_t i = 1; i < steps.size(); ++i) influences.push_back(steps[i].influence);
    std::sort(influences.begin(), influences.end(), std::greater<>());
    const auto high = static_cast<size_t>(std::ceil(options_.top * static_cast<double>(influences.size())));
    while (!influences.empty() && influences.back() <= 0) influences.pop_back();  // nothing comes late enough
    std::vector<int32_t> forks;
    if (influences.empty()) return forks;
    const double least = influences[std::min(high, influences.size()) - 1];
    for (size_t i = 1; i < steps.size() && static_cast<int64_t>(forks.size()) < options_.forks; ++i) {
      if (steps[i].influence < least) continue;
      if (!forks.empty() && steps[i].begin - forks.back() < options_.spacing) continue;
      forks.push_back(steps[i].begin);
    }
    return forks;
  }

  const AttentionBranchOptions options_;
  AttentionMeter* meter_ = nullptr;
  double sum_ = 0, groups_ = 0;  // mean influences of groups whose answers were all right
  struct {
    double sum = 0, groups = 0, branches = 0;
  } pending_;  // of the step under way
};

}  // namespace

absl::StatusOr<std::unique_ptr<Curriculum>> NewAttentionBranchCurriculum(Spec& spec) {
  AttentionBranchOptions options;
  options.forks = spec.Int("forks", 2, 1, 64);
  options.continuations = spec.Int("continuations", 2, 1, 64);
  options.top = spec.Double("top", 0.2, 0.001, 1);
  options.distance = spec.Int("distance", 4, 1, 1 << 20);  // steps
  options.spacing =
      spec.Int("spacing", 1, 1, 1 << 20);  // tokens between forks; 512 in the paper's code, for answers of thousands
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<AttentionBranch>(options);
}

}  // namespace hone
