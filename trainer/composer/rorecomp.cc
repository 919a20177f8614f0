// Rollout Response Recomposition, https://arxiv.org/abs/2509.25958: brevity by choosing what to learn from, with rewards and loss as they are.
//
// Of each group the shortest `keep` of the correct samples and the longest `keep` of the wrong ones form the priority batch. The others go to a buffer; when
// it holds `buffer` of them, the oldest so many form a compensation batch, an update of its own, with chance `compensate`, which keeps the policy from
// forgetting how to think at length. Advantages are those of the whole group, taken when it was sampled, so that choosing does not move the baseline;
// ratios are to the policy that sampled. The paper leaves open the values of all three options and the order of choosing and normalising: these are our choices.
#include <algorithm>
#include <cmath>
#include <deque>

#include "engine/base/random.h"
#include "rollout/group_store.h"
#include "trainer/composer.h"

namespace hone {
namespace {

class RoRecomp : public Composer {
 public:
  RoRecomp(double keep, int64_t buffer, double compensate) : keep_(keep), most_(buffer), compensate_(compensate) {}

  bool mixes_policies() const override { return true; }
  int64_t max_batches() const override { return 2; }
  bool ranks_answers() const override { return true; }

  std::vector<std::vector<TrainGroup>> Compose(const ComposerStep& step, std::vector<TrainGroup> groups,
                                               Metrics& metrics) override {
    std::vector<std::vector<TrainGroup>> batches(1);
    for (TrainGroup& group : groups) {
      const auto right = std::stable_partition(group.samples.begin(), group.samples.end(),
                                               [](const TrainSample& sample) { return sample.is_correct; });
      std::stable_sort(group.samples.begin(), right, IsShorter);
      std::stable_sort(right, group.samples.end(), [](const auto& a, const auto& b) { return IsShorter(b, a); });
      TrainGroup& kept = batches[0].emplace_back(TrainGroup{group.prompt, {}});
      Divide(*group.prompt, {group.samples.begin(), right}, kept);
      Divide(*group.prompt, {right, group.samples.end()}, kept);
    }
    compensating_.clear();
    RandomSequence random(step.seed, RandomStream::kOrder, static_cast<uint64_t>(step.step));
    const bool trains = random.Uniform() < compensate_;
    if (static_cast<int64_t>(buffer_.size()) >= most_) {
      std::vector<TrainGroup> batch;
      for (int64_t i = 0; i < most_; ++i) {
        compensating_.push_back(std::move(buffer_.front()));
        buffer_.pop_front();
      }
      for (Group& group : compensating_) batch.push_back({&group.prompt.tokens, {Train(group.samples[0])}});
      if (trains) batches.push_back(std::move(batch));
    }
    while (static_cast<int64_t>(buffer_.size()) > most_)
      buffer_.pop_front();  // a step left more out than it takes back
    metrics.Set("composer/buffer", static_cast<double>(buffer_.size()));
    return batches;
  }

  absl::Status Save(const std::string& path) const override {
    return WriteGroups(path, std::vector<Group>(buffer_.begin(), buffer_.end()));
  }
  absl::Status Load(const std::string& path) override {
    HONE_ASSIGN_OR_RETURN(std::vector<Group> groups, ReadGroups(path));
    for (const Group& group : groups) {
      if (group.samples.size() != 1 || group.samples[0].advantages.size() != group.samples[0].tokens.size())
        return InputError(path, ": not the buffer of rorecomp; go on from an earlier checkpoint");
    }
    buffer_.assign(std::make_move_iterator(groups.begin()), std::make_move_iterator(groups.end()));
    return absl::OkStatus();
  }

 private:
  static bool IsShorter(const TrainSample& a, const TrainSample& b) { return a.tokens->size() < b.tokens->size(); }
  static TrainSample Train(const Sample& sample) {
    return {.tokens = &sample.tokens,
            .logprobs = &sample.logprobs,
            .advantages = &sample.advantages,
            .policy_version = sample.policy_version};
  }

  // The first ones train now, copies of the others wait.
  void Divide(const std::vector<TokenId>& prompt, std::span<const TrainSample> samples, TrainGroup& kept) {
    const auto now = static_cast<size_t>(std::ceil(keep_ * static_cast<double>(samples.size())));
    for (size_t i = 0; i < samples.size(); ++i) {
      if (i < now) {
        kept.samples.push_back(samples[i]);
        continue;
      }
      if (samples[i].advantages->front() == 0) continue;  // teaches nothing later either
      Group& group = buffer_.emplace_back();
      group.prompt.tokens = prompt;
      Sample& sample = group.samples.emplace_back();
      sample.tokens = *samples[i].tokens;
      sample.logprobs = *samples[i].logprobs;
      sample.advantages = *samples[i].advantages;
      sample.policy_version = samples[i].policy_version;
    }
  }

  const double keep_;
  const int64_t most_;
  const double compensate_;
  std::deque<Group> buffer_;         // of one sample each, the oldest first; at most most_
  std::vector<Group> compensating_;  // what this step's second batch points into
};

}  // namespace

absl::StatusOr<std::unique_ptr<Composer>> NewRoRecompComposer(Spec& spec) {
  const double keep = spec.Double("keep", 0.5, 0.01, 1);
  const int64_t buffer = spec.Int("buffer", 256, 1, 1 << 20);  // samples
  const double compensate = spec.Double("compensate", 1, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<RoRecomp>(keep, buffer, compensate);
}

}  // namespace hone
