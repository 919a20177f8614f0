// Experience replay of verified successes, RLEP, https://arxiv.org/abs/2507.07451: each group gets up to `samples` correct answers to its own prompt,
// drawn at random without replacement from those of earlier steps or, with `path`, of an earlier run; advantages are then taken over fresh and
// replayed samples together.
//
// The paper treats replayed answers as the current policy's. Here a replayed sample keeps the log-probabilities under the policy that sampled it, so the
// ratio of a loss such as ppo_clip is the right one, and clipping holds what the policy has moved away from.
#include <algorithm>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/base/prompt_line.h"
#include "engine/base/random.h"
#include "rollout/evaluation.h"
#include "rollout/group_store.h"
#include "trainer/composer.h"

namespace hone {
namespace {

constexpr size_t kBytesPerMegabyte = 1 << 20;
constexpr size_t kBytesBeside = 1800;   // of an answer in memory, beside its tokens and log-probabilities (measured)
constexpr double kLeastLogprob = -1e4;  // far below what a float's softmax gives

class Replay : public Composer {
 public:
  Replay(int64_t samples, bool collect, size_t max_bytes, std::string path)
      : samples_(samples), collect_(collect), max_bytes_(max_bytes), path_(std::move(path)) {}

  bool mixes_policies() const override { return true; }
  bool remembers_prompts() const override { return path_.empty(); }

  absl::Status Check(int32_t vocab_size, int64_t positions) const override {
    for (const Group& group : pool_) {
      const Sample& sample = group.samples[0];
      if (const auto length = static_cast<int64_t>(group.prompt.tokens.size() + sample.tokens.size());
          length > positions)
        return InputError("replay: ", path_, " holds a prompt and answer of ", length, " tokens, the model reads ",
                          positions);
      for (const std::vector<TokenId>* tokens : {&group.prompt.tokens, &sample.tokens}) {
        const TokenId largest = *std::max_element(tokens->begin(), tokens->end());
        if (largest >= vocab_size)
          return InputError("replay: ", path_, " holds token ", largest, ", the model has ", vocab_size,
                            "; are its answers another model's?");
      }
    }
    return absl::OkStatus();
  }

  void Blend(const ComposerStep& step, std::vector<Group>& groups, Metrics& metrics) override {
    double blended = 0;
    for (Group& group : groups) {
      const size_t fresh = group.samples.size();
      AddEarlier(step, group);
      blended += static_cast<double>(group.samples.size() - fresh);
      for (size_t i = 0; collect_ && i < fresh; ++i) Keep(group.prompt.tokens, group.samples[i]);
    }
    metrics.Set("composer/replayed", blended);
    metrics.Set("composer/pool", static_cast<double>(pool_.size()));
  }

  // Adds a correct answer, in place of the same one of before; the oldest go where there is no room.
  void Keep(const std::vector<TokenId>& prompt, const Sample& sample) {
    if (!sample.verdict.score || *sample.verdict.score < kCorrectScore) return;
    std::deque<uint64_t>& places = by_prompt_[prompt];
    for (const uint64_t place : places) {
      Sample& known = pool_[place - first_].samples[0];
      if (known.tokens != sample.tokens) continue;
      known = sample;  // of a newer policy
      Compact(known);
      return;
    }
    Group group;
    group.prompt.tokens = prompt;
    group.samples.push_back(sample);
    Compact(group.samples[0]);
    bytes_ += Bytes(group);
    places.push_back(first_ + pool_.size());
    pool_.push_back(std::move(group));
    while (bytes_ > max_bytes_) DropOldest();
  }

  absl::Status Save(const std::string& path) const override {
    return WriteGroups(path, std::vector<Group>(pool_.begin(), pool_.end()));
  }
  absl::Status Load(const std::string& path) override {
    HONE_ASSIGN_OR_RETURN(const std::vector<Group> groups, ReadGroups(path));
    pool_.clear();
    by_prompt_.clear();
    first_ = bytes_ = 0;
    for (const Group& group : groups) {
      if (group.samples.empty())
        return InputError(path, ": a group without a sample; go on from an earlier checkpoint");
      Keep(group.prompt.tokens, group.samples[0]);
    }
    return absl::OkStatus();
  }

 private:
  static size_t Bytes(const Group& group) {
    return kBytesBeside + CompactBytes(group.samples[0]) + group.prompt.tokens.size() * sizeof(TokenId);
  }
  const Group& At(uint64_t place) const { return pool_[place - first_]; }

  void AddEarlier(const ComposerStep& step, Group& group) const {
    const auto found = by_prompt_.find(group.prompt.tokens);
    if (found == by_prompt_.end() || !PassRateIsKnown(group)) return;
    std::vector<uint64_t> places(found->second.begin(), found->second.end());
    RandomSequence random(step.seed ^ group.prompt.key, RandomStream::kOrder, static_cast<uint64_t>(step.step));
    for (int64_t i = 0; i < samples_ && !places.empty(); ++i) {
      std::swap(places[random.Below(static_cast<uint32_t>(places.size()))], places.back());
      const auto index = static_cast<int32_t>(group.samples.size());
      group.samples.push_back(At(places.back()).samples[0]);
      group.samples.back().index = index;
      group.samples.back().parent = -1;  // that of another group
      places.pop_back();
    }
  }

  // A group all of whose fresh samples lack a verdict would train on replayed ones alone.
  static bool PassRateIsKnown(const Group& group) {
    return std::any_of(group.samples.begin(), group.samples.end(),
                       [](const Sample& sample) { return sample.verdict.score.has_value(); });
  }

  void DropOldest() {
    const auto found = by_prompt_.find(pool_.front().prompt.tokens);
    found->second.pop_front();
    if (found->second.empty()) by_prompt_.erase(found);
    bytes_ -= Bytes(pool_.front());
    pool_.pop_front();
    ++first_;
  }

  const int64_t samples_;
  const bool collect_;
  const size_t max_bytes_;
  const std::string path_;                                          // of an earlier run's answers, or empty
  std::deque<Group> pool_;                                          // compact groups of one sample, the oldest first
  uint64_t first_ = 0;                                              // place of pool_.front()
  size_t bytes_ = 0;                                                // of the pool
  std::map<std::vector<TokenId>, std::deque<uint64_t>> by_prompt_;  // places, ascending
};

// Lines of `hone eval --split train --output FILE`, of which the correct ones are kept.
absl::Status ReadPool(const std::string& path, Replay& replay) {
  return ForEachObject(path, [&](const nlohmann::ordered_json& line, const std::string& /*where*/) -> absl::Status {
    const auto score = line.find("score");
    if (score == line.end() || !(score->is_number() || score->is_null()))
      return InputError("no 'score', a number or null; wanted lines of 'hone eval --split train --output FILE'");
    Sample sample;
    HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> prompt, ReadTokens(line, "prompt_tokens", kNoLimit));
    HONE_ASSIGN_OR_RETURN(sample.tokens, ReadTokens(line, "tokens", kNoLimit));
    const auto logprobs = line.find("logprobs");
    if (logprobs == line.end() || !logprobs->is_array() || logprobs->size() != sample.tokens.size() ||
        !std::all_of(logprobs->begin(), logprobs->end(),
                     [](const auto& value) { return value.is_number() && value >= kLeastLogprob && value <= 0; }))
      return InputError("'logprobs' is not a list of logarithms of probabilities as long as 'tokens'");
    if (sample.tokens.empty()) return absl::OkStatus();
    sample.logprobs = logprobs->get<std::vector<float>>();
    sample.policy_version = -1;  // another run's
    if (score->is_number()) sample.verdict.score = score->get<double>();
    replay.Keep(prompt, sample);
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Composer>> NewReplayComposer(Spec& spec) {
  const int64_t samples = spec.Int("samples", 2, 1, 1024);  // for each group, as in the paper
  const bool collect = spec.Bool("collect", true);          // this run's successes
  const int64_t max_megabytes = spec.Int("max_megabytes", 256, 1, 1 << 20);
  const std::string path = spec.Text("path", "");
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (!collect && path.empty())
    return InputError(
        "replay: with collect=false there is nothing to replay; name an earlier run's answers: path=FILE");
  auto replay =
      std::make_unique<Replay>(samples, collect, static_cast<size_t>(max_megabytes) * kBytesPerMegabyte, path);
  if (!path.empty()) HONE_RETURN_IF_ERROR(ReadPool(path, *replay));
  return replay;
}

}  // namespace hone
