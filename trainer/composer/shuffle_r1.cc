// Shuffle-R1, https://arxiv.org/abs/2508.05612, with the defaults of its code, https://github.com/xiaomi-research/shuffle-r1.
//
// Pairwise trajectory sampling: a group's samples sorted by advantage, the best paired with the worst, the second best with the second worst, and so on;
// the first `keep` of the pairs, which differ most, are kept. Advantages stay those of the whole group.
// Advantage-based shuffle: `rounds` times 1 / rounds of all kept pairs are drawn, without replacement in a round, with a chance proportional to
// |A_better| + |A_worse|: a pair that teaches more comes up to `rounds` times in a batch whose size stays the same. The bias is meant.
#include <algorithm>
#include <cmath>

#include "engine/base/weighted_draw.h"
#include "trainer/composer.h"

namespace hone {
namespace {

struct Pair {
  const std::vector<TokenId>* prompt;
  TrainSample better, worse;
  double weight;
};

double Advantage(const TrainSample& sample) { return sample.advantages->front(); }

class ShuffleR1 : public Composer {
 public:
  ShuffleR1(double keep, int64_t rounds) : keep_(keep), rounds_(rounds) {}

  bool ranks_answers() const override { return true; }

  std::vector<std::vector<TrainGroup>> Compose(const ComposerStep& step, std::vector<TrainGroup> groups,
                                               Metrics& metrics) override {
    std::vector<Pair> pairs;
    for (TrainGroup& group : groups) AddPairs(group, pairs);
    std::vector<double> weights;
    for (const Pair& pair : pairs) weights.push_back(pair.weight);
    std::vector<TrainGroup> batch;
    RandomSequence random(step.seed, RandomStream::kOrder, static_cast<uint64_t>(step.step));
    std::vector<int64_t> drawn(pairs.size());
    const auto count = static_cast<int64_t>(pairs.size());
    for (int64_t round = 0; round < rounds_; ++round) {
      const int64_t round_size = count * (round + 1) / rounds_ - count * round / rounds_;
      for (const size_t index : DrawWithoutReplacement(weights, round_size, random)) {
        const Pair& pair = pairs[index];
        batch.push_back({pair.prompt, {pair.better, pair.worse}});
        ++drawn[index];
      }
    }
    if (!pairs.empty()) {
      metrics.Set("composer/pairs", static_cast<double>(pairs.size()));
      metrics.Set("composer/repeats_max", static_cast<double>(*std::max_element(drawn.begin(), drawn.end())));
    }
    return {std::move(batch)};
  }

 private:
  // Pairs without a difference teach nothing and are left out.
  void AddPairs(TrainGroup& group, std::vector<Pair>& pairs) const {
    std::vector<TrainSample>& samples = group.samples;
    std::stable_sort(samples.begin(), samples.end(),
                     [](const TrainSample& a, const TrainSample& b) { return Advantage(a) > Advantage(b); });
    const auto kept = static_cast<size_t>(std::ceil(keep_ * static_cast<double>(samples.size() / 2)));
    for (size_t i = 0; i < kept; ++i) {
      const TrainSample &better = samples[i], &worse = samples[samples.size() - 1 - i];
      const double weight = std::abs(Advantage(better)) + std::abs(Advantage(worse));
      if (weight > 0) pairs.push_back({group.prompt, better, worse, weight});
    }
  }

  const double keep_;
  const int64_t rounds_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Composer>> NewShuffleR1Composer(Spec& spec) {
  const double keep = spec.Double("keep", 0.5, 0.01, 1);
  const int64_t rounds = spec.Int("rounds", 8, 1, 1024);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<ShuffleR1>(keep, rounds);
}

}  // namespace hone
