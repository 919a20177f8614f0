// Advantages of branched answers, TreeRL, https://arxiv.org/abs/2506.11902, as AttnRL takes them, https://arxiv.org/abs/2509.26628.
//
// Answers that share a beginning form a tree whose nodes are the stretches between forks. With V(node) the mean reward of the answers that go through it, each of
// its tokens gets
//
//   ((V(node) - V(root)) + (V(node) - V(parent))) / sqrt(answers through the node)
//
// Without branches that is twice R - mean: a whole answer is one node, its parent the root.
#include <algorithm>
#include <cmath>
#include <limits>

#include "trainer/advantage.h"

namespace hone {
namespace {

// Of the samples of one group that have a reward.
class Tree {
 public:
  explicit Tree(std::span<const RewardedSample> group) : group_(group) {
    for (const RewardedSample& sample : group) {
      if (!sample.reward) continue;
      root_ += sample.TotalReward();
      ++answers_;
      lowest_ = std::min(lowest_, sample.TotalReward());
      highest_ = std::max(highest_, sample.TotalReward());
    }
    root_ /= std::max(1, answers_);
  }

  // Equal rewards teach nothing, to the bit: their mean may round to another number.
  bool teaches() const { return lowest_ < highest_; }

  std::vector<float> Advantages(size_t index) const {
    const RewardedSample& sample = group_[index];
    std::vector<float> advantages;
    double above = root_;
    int32_t begin = 0;
    for (const int32_t end : Ends(index)) {
      const auto [value, count] = Through(index, end);
      const double advantage = ((value - root_) + (value - above)) / std::sqrt(count);
      advantages.insert(advantages.end(), end - begin, static_cast<float>(advantage));
      above = value;
      begin = end;
    }
    advantages.resize(sample.tokens);
    return advantages;
  }

 private:
  // The answer whose beginning others share; itself where it has no parent.
  size_t TrunkOf(size_t index) const { return group_[index].parent >= 0 ? group_[index].parent : index; }

  // Where the nodes on a sample's way end, ascending; the last is its length.
  std::vector<int32_t> Ends(size_t index) const {
    const int32_t own_begin = group_[index].parent >= 0 ? group_[index].branch_at : group_[index].tokens;
    std::vector<int32_t> ends = {group_[index].tokens};
    for (const RewardedSample& other : group_) {
      if (other.parent == static_cast<int32_t>(TrunkOf(index)) && other.branch_at <= own_begin && other.branch_at > 0)
        ends.push_back(other.branch_at);
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    return ends;
  }

  // Mean reward and number of the answers that share a sample's first `end` tokens.
  std::pair<double, double> Through(size_t index, int32_t end) const {
    double sum = 0, count = 0;
    const auto add = [&](const RewardedSample& sample) {
      if (!sample.reward) return;
      sum += sample.TotalReward();
      ++count;
    };
    if (group_[index].parent >= 0 && end > group_[index].branch_at) {
      add(group_[index]);
      return {sum, count};
    }
    const size_t trunk = TrunkOf(index);
    add(group_[trunk]);
    for (const RewardedSample& other : group_) {
      if (other.parent == static_cast<int32_t>(trunk) && other.branch_at >= end) add(other);
    }
    return {sum / count, count};
  }

  std::span<const RewardedSample> group_;
  double root_ = 0;  // mean reward
  double lowest_ = std::numeric_limits<double>::infinity(), highest_ = -lowest_;
  int answers_ = 0;
};

class TreeAdvantage : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    Estimate estimate;
    for (size_t begin = 0, end = 0; begin < samples.size(); begin = end) {
      while (end < samples.size() && samples[end].group == samples[begin].group) ++end;
      const std::span<const RewardedSample> group = samples.subspan(begin, end - begin);
      const Tree tree(group);
      for (size_t i = 0; i < group.size(); ++i) {
        const bool teaches = tree.teaches() && group[i].reward;
        estimate.advantages.push_back(teaches ? tree.Advantages(i) : std::vector<float>(group[i].tokens));
      }
    }
    return estimate;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewTree(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<TreeAdvantage>();
}

}  // namespace hone
