#include "engine/speculation.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hone {
namespace {

// Drafts have to promise this much more than plain decoding: estimates err, and equal is not worth the risk.
constexpr double kLeastGain = 1.03;
constexpr double kLeastTrialGain = 1.25;
// A pass without drafts after so many with: keeps the price of plain decoding current.
constexpr int64_t kPlainEvery = 64;
constexpr int64_t kLongestPause = 128;
constexpr int32_t kMostToAsk = 64;

// Row counts beyond those seen are taken to be cheap, so that they are tried: one pass then tells.
constexpr double kUntriedPrice = 0.5;
constexpr int64_t kExactRows = 32;
constexpr int64_t kReadByToken =
    8;  // what a draft model reads of a sample between two drafts, where it is not a prompt
constexpr double kReadingPasses = 32;  // over which what it cost to read a text is to pay off
constexpr double kNewShare = 0.25;     // of an observation in a running mean
constexpr double kMostOutlier = 2;     // a pass that someone else slowed down counts at most so many times the mean
constexpr double kPriorTrials = 8;     // observations that the first guess is worth
constexpr double kPriorMean = 0.6;     // acceptance before anything was seen
constexpr double kTallyMemory = 2000;  // observations
constexpr double kMostChance = 0.98;

// Row counts that share an estimate: one sixteenth apart.
int64_t Rounded(int64_t rows) {
  int64_t step = 1;
  while (rows / step > kExactRows) step *= 2;
  return (rows + step / 2) / step * step;
}

}  // namespace

void PassCost::Observe(int64_t rows, double seconds) {
  const auto [entry, is_new] = seconds_.try_emplace(Rounded(rows), seconds);
  if (is_new) return;
  entry->second += kNewShare * (std::min(seconds, kMostOutlier * entry->second) - entry->second);
}

void PassCost::ObservePrompts(int64_t rows, double seconds) {
  if (rows < 2 * kExactRows) return;  // arithmetic is not the limit
  const double row_seconds = seconds / static_cast<double>(rows);
  row_seconds_ += (row_seconds_ == 0 ? 1 : kNewShare) * (row_seconds - row_seconds_);
}

double PassCost::Seconds(int64_t rows) const {
  if (seconds_.empty()) return 0;
  const auto above = seconds_.lower_bound(rows);
  if (above == seconds_.begin()) return above->second;
  const auto below = std::prev(above);
  const auto more = static_cast<double>(rows - below->first);
  if (above == seconds_.end()) {
    const double price = row_seconds_ > 0 ? row_seconds_ : below->second / static_cast<double>(below->first);
    return below->second + more * price * kUntriedPrice;
  }
  // More rows never take less, whatever the noise.
  const double rise = std::max(0.0, above->second - below->second) / static_cast<double>(above->first - below->first);
  return below->second + more * rise;
}

bool PassCost::Knows(int64_t rows) const {
  const auto near = seconds_.lower_bound(rows - rows / 8);
  return near != seconds_.end() && near->first <= rows + rows / 8;
}

void Acceptance::Observe(float confidence, bool accepted) {
  const auto bucket = static_cast<size_t>(std::clamp(confidence, 0.0f, 0.999f) * static_cast<float>(tallies_.size()));
  for (Tally* tally : {&tallies_[bucket], &all_}) {
    const double keep = 1 - 1 / kTallyMemory;
    tally->tried = tally->tried * keep + 1;
    tally->accepted = tally->accepted * keep + (accepted ? 1 : 0);
  }
}

void Acceptance::Fade() {
  all_ = {all_.tried / 2, all_.accepted / 2};
  for (Tally& tally : tallies_) tally = {tally.tried / 2, tally.accepted / 2};
}

double Acceptance::Mean() const { return (all_.accepted + kPriorMean * kPriorTrials) / (all_.tried + kPriorTrials); }

double Acceptance::Chance(float confidence) const {
  const auto bucket = static_cast<size_t>(std::clamp(confidence, 0.0f, 0.999f) * static_cast<float>(tallies_.size()));
  const Tally& tally = tallies_[bucket];
  return (tally.accepted + static_cast<double>(confidence) * kPriorTrials) / (tally.tried + kPriorTrials);
}

double SpeculationPlanner::DraftingSeconds(int64_t samples) const {
  if (drafter_.cost() == DraftCost::kNothing) return 0;
  if (drafting_.Knows(samples)) return drafting_.Seconds(samples);
  return drafter_.relative_cost() * cost_.Seconds(samples);
}

void SpeculationPlanner::Pause(int64_t samples) {
  wait_ = pause_;
  pause_ = std::min(kLongestPause, 2 * pause_);
  paused_samples_ = samples;
}

bool SpeculationPlanner::ShowsSample(int32_t index) const {
  constexpr int64_t kLongPause = 8;
  constexpr int32_t kShownOf = 4;
  return check_every_draft_ || pause_ < kLongPause || index % kShownOf == 0;
}

int32_t SpeculationPlanner::MostToAsk(int64_t samples) {
  if (samples == 0) return 0;
  if (check_every_draft_) return kMostToAsk;
  // A batch that has shrunk is another matter.
  if (wait_ > 0 && samples >= paused_samples_ - paused_samples_ / 8) {
    --wait_;
    return 0;
  }
  wait_ = 0;
  if (!cost_.Knows(samples) || since_plain_ >= kPlainEvery) {
    since_plain_ = 0;
    return 0;
  }
  if (drafter_.cost() == DraftCost::kNothing) return kMostToAsk;
  const double plain = cost_.Seconds(samples), chance = std::min(kMostChance, acceptance_.Mean());
  // The first drafts of a model cost more: it has to read the prompts.
  double tokens = 1, chain = 1, best = (drafting_.Knows(samples) ? kLeastGain : kLeastTrialGain) / plain;
  int32_t most = 0;
  for (int32_t length = 1; length <= kMostToAsk; ++length) {
    chain *= chance;
    tokens += chain;
    const double seconds = cost_.Seconds(samples * (1 + length)) + length * DraftingSeconds(samples);
    if (tokens / seconds > best) best = tokens / seconds, most = length;
  }
  if (most == 0) Pause(samples);
  return most;
}

void SpeculationPlanner::Choose(int64_t rows, int64_t rows_left, std::span<PlannedDraft> drafts, double propose_s) {
  struct Candidate {
    double chance;  // that the token is reached and drawn
    size_t draft;
  };
  std::vector<Candidate> candidates;
  size_t deepest = 0;
  int64_t read = 0;
  for (size_t i = 0; i < drafts.size(); ++i) {
    double chance = 1;
    read += drafts[i].request.read;
    for (const DraftedToken& token : drafts[i].request.draft) {
      chance *= std::min(kMostChance, acceptance_.Chance(token.confidence) * drafts[i].trust);
      candidates.push_back({chance, i});
    }
    deepest = std::max(deepest, drafts[i].request.draft.size());
    drafts[i].length = 0;
    if (!check_every_draft_) continue;
    drafts[i].length =
        static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(0, rows_left), drafts[i].request.draft.size()));
    rows_left -= drafts[i].length;
  }
  // A pass that reads a prompt says little of what a token costs after it.
  const bool reads_prompts = read > kReadByToken * static_cast<int64_t>(drafts.size());
  if (deepest > 0 && drafter_.cost() == DraftCost::kModelPass && !reads_prompts) {
    drafting_.Observe(static_cast<int64_t>(drafts.size()), propose_s / static_cast<double>(deepest));
  }
  if (check_every_draft_) return;
  // Chances fall along a draft, so that the best ones of all drafts are beginnings of them.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.chance > b.chance; });
  const auto samples = static_cast<double>(drafts.size());
  const double plain = cost_.Seconds(rows);
  double tokens = samples, best = kLeastGain * samples / plain, saved_s = 0;
  size_t chosen = 0;
  const size_t most = std::min(candidates.size(), static_cast<size_t>(std::max<int64_t>(0, rows_left)));
  for (size_t n = 1; n <= most; ++n) {
    tokens += candidates[n - 1].chance;
    const double seconds = cost_.Seconds(rows + static_cast<int64_t>(n));
    if (tokens / seconds <= best) continue;
    best = tokens / seconds;
    saved_s = plain * tokens / samples - seconds;
    chosen = n;
  }
  for (size_t n = 0; n < chosen; ++n) ++drafts[candidates[n].draft].length;
  since_plain_ += chosen > 0 ? 1 : 0;
  // One bad draft says little: what counts is whether asking pays in the mean.
  const double reading_s = reads_prompts
                               ? std::max(0.0, propose_s - static_cast<double>(deepest) *
                                                               DraftingSeconds(static_cast<int64_t>(drafts.size())))
                               : 0;
  reading_debt_s_ += reading_s;
  const double instalment_s = reading_debt_s_ / kReadingPasses;
  reading_debt_s_ -= instalment_s;
  const double net_s = saved_s - (propose_s - reading_s) - instalment_s;
  if (net_s > 0) pause_ = 1;
  worth_s_ += kNewShare * (net_s - worth_s_);
  if (worth_s_ >= 0) return;
  worth_s_ = 0;
  Pause(static_cast<int64_t>(drafts.size()));
}

}  // namespace hone
