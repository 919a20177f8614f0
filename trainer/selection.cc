#include "trainer/selection.h"

#include <algorithm>
#include <cmath>

#include "engine/base/spec.h"

namespace hone {
namespace {

using Indices = std::vector<std::pair<size_t, size_t>>;

constexpr double kMaxScore = 1e9;

TrainSample Train(const Sample& sample) {
  return {.tokens = &sample.tokens,
          .logprobs = &sample.logprobs,
          .reference = sample.reference.empty() ? nullptr : &sample.reference,
          .advantages = &sample.advantages,
          .policy_version = sample.policy_version};
}

std::vector<size_t> WithVerdict(const Group& group) {
  std::vector<size_t> found;
  for (size_t i = 0; i < group.samples.size(); ++i) {
    if (group.samples[i].verdict.score) found.push_back(i);
  }
  return found;
}

double Score(const Group& group, size_t index) { return *group.samples[index].reward(); }

// (better, worse), in the order of the samples.
Indices Pairs(const PairRule& rule, const Group& group, const std::vector<size_t>& samples) {
  Indices pairs;
  if (rule.kind == PairRule::Kind::kAll) {
    for (const size_t better : samples) {
      for (const size_t worse : samples) {
        if (Score(group, better) - Score(group, worse) > rule.margin) pairs.emplace_back(better, worse);
      }
    }
    return pairs;
  }
  if (samples.empty()) return pairs;
  const auto less = [&](size_t a, size_t b) { return Score(group, a) < Score(group, b); };
  const size_t best = *std::max_element(samples.begin(), samples.end(), less),
               worst = *std::min_element(samples.begin(), samples.end(), less);
  if (Score(group, best) - Score(group, worst) > rule.margin) pairs.emplace_back(best, worst);
  return pairs;
}

void FillWinRates(const std::vector<size_t>& samples, Group& group) {
  for (Sample& sample : group.samples) sample.advantages.assign(sample.tokens.size(), 0);
  for (const size_t i : samples) {
    double wins = 0;
    for (const size_t other : samples) {
      if (other != i)
        wins += Score(group, other) < Score(group, i) ? 1 : Score(group, other) == Score(group, i) ? 0.5 : 0;
    }
    if (samples.size() < 2) continue;
    std::vector<float>& advantages = group.samples[i].advantages;
    std::fill(advantages.begin(), advantages.end(), static_cast<float>(wins / static_cast<double>(samples.size() - 1)));
  }
}

absl::StatusOr<PairRule> ReadPairRule(Spec& spec, PairRule::Kind kind) {
  const double margin = spec.Double("margin", 0, 0, kMaxScore);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return PairRule{kind, margin};
}

}  // namespace

absl::StatusOr<PairRule> ReadBestWorst(Spec& spec) { return ReadPairRule(spec, PairRule::Kind::kBestWorst); }
absl::StatusOr<PairRule> ReadAllPairs(Spec& spec) { return ReadPairRule(spec, PairRule::Kind::kAll); }

std::vector<TrainGroup> PairedGroups(const PairRule& rule, std::vector<Group>& groups, Metrics& metrics) {
  std::vector<TrainGroup> trained;
  size_t count = 0;
  for (Group& group : groups) {
    const std::vector<size_t> samples = WithVerdict(group);
    FillWinRates(samples, group);
    TrainGroup candidate{&group.prompt.tokens, {}};
    for (const auto& [better, worse] : Pairs(rule, group, samples)) {
      candidate.samples.push_back(Train(group.samples[better]));
      candidate.samples.push_back(Train(group.samples[worse]));
    }
    count += candidate.samples.size() / 2;
    if (!candidate.samples.empty()) trained.push_back(std::move(candidate));
  }
  const auto all = static_cast<double>(std::max<size_t>(1, groups.size())), kept = static_cast<double>(trained.size());
  metrics.Set("group/trained", kept / all);
  metrics.Set("preference/no_pair", (all - kept) / all);
  metrics.Set("preference/pairs", static_cast<double>(count));
  return trained;
}

double KeepRule::At(int64_t step, int64_t steps) const {
  if (steps < 2) return last;
  return std::lerp(first, last, static_cast<double>(step) / static_cast<double>(steps - 1));
}

absl::StatusOr<KeepRule> ReadRising(Spec& spec) {
  // Thresholds that rise are the paper's; from 0 to 0.99, for scores of 0 to 1, is our choice.
  KeepRule rule;
  rule.first = spec.Double("first", 0, -kMaxScore, kMaxScore);
  rule.last = spec.Double("last", 0.99, -kMaxScore, kMaxScore);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (rule.last < rule.first)
    return InputError("rising: 'first' is ", rule.first, " and 'last' ", rule.last, ", which falls; exchange them");
  return rule;
}

absl::StatusOr<KeepRule> ReadConstantThreshold(Spec& spec) {
  const double threshold = spec.Double("threshold", 0, -kMaxScore, kMaxScore);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return KeepRule{threshold, threshold};
}

std::vector<TrainGroup> KeptGroups(double threshold, std::vector<Group>& groups, Metrics& metrics) {
  std::vector<TrainGroup> trained;
  double scored = 0, kept = 0;
  for (Group& group : groups) {
    TrainGroup candidate{&group.prompt.tokens, {}};
    for (Sample& sample : group.samples) {
      const bool is_kept = sample.reward().value_or(threshold) > threshold;
      sample.advantages.assign(sample.tokens.size(), is_kept ? 1 : 0);
      scored += sample.verdict.score ? 1 : 0;
      if (is_kept) candidate.samples.push_back(Train(sample));
    }
    kept += static_cast<double>(candidate.samples.size());
    if (!candidate.samples.empty()) trained.push_back(std::move(candidate));
  }
  metrics.Set("group/trained",
              static_cast<double>(trained.size()) / static_cast<double>(std::max<size_t>(1, groups.size())));
  metrics.Set("keep/threshold", threshold);
  if (scored > 0) metrics.Set("keep/fraction", kept / scored);
  return trained;
}

}  // namespace hone
