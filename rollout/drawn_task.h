// A task whose problems are drawn: new ones for ever, or a number of them to train on again and again. A problem lies at a place in [0, 1) that
// follows from what is asked alone, and those below held_out_fraction are held out: the splits share no problem, whatever the seed, and
// what one fraction holds out, a larger one holds out too.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "rollout/task.h"

namespace hone {

struct DrawnTaskOptions {
  double held_out_fraction = 0.1;
  uint64_t seed = 1;
  uint64_t problems = 0;  // to train on; 0: without end
};

inline DrawnTaskOptions ReadDrawnTaskOptions(Spec& spec) {
  DrawnTaskOptions options;
  // A task always holds something out, or it could not be evaluated.
  options.held_out_fraction = spec.Double("held_out_fraction", options.held_out_fraction, 0.001, 0.9);
  options.seed = static_cast<uint64_t>(spec.Int("seed", 1, 0, INT64_MAX));
  options.problems = static_cast<uint64_t>(spec.Int("problems", 0, 0, INT64_MAX / 4));
  return options;
}

// The place of the problem that `text` names. Everything that counts as the same problem must have the same text.
inline double PlaceOf(absl::string_view text) {
  std::array<uint32_t, 4> state{static_cast<uint32_t>(text.size()), 0, 0, 0};
  for (const char c : text) state = Philox4x32(state, {static_cast<unsigned char>(c), 0});
  return state[0] * 0x1p-32;
}

template <typename Problem>
class DrawnTask : public Task {
 public:
  explicit DrawnTask(const DrawnTaskOptions& options) : drawn_(options) {}

  std::optional<uint64_t> Size(Split split) const final {
    return split == Split::kTrain && drawn_.problems > 0 ? std::optional(drawn_.problems) : std::nullopt;
  }

  Prompt At(Split split, uint64_t index) const final {
    const uint64_t key = 2 * index + (split == Split::kHeldOut ? 1 : 0);
    const auto problem = Find(split, key, kMaxDraws);
    HONE_CHECK(problem.has_value());  // Probe has seen thousands
    Prompt prompt = Ask(*problem);
    prompt.key = key;
    return prompt;
  }

  // Says so where the options leave a split (nearly) without problems; factories end with it. `remedy` is "widen the ranges".
  absl::Status Probe(absl::string_view name, absl::string_view drawn_from, absl::string_view remedy) const {
    for (const auto& [split, split_name] :
         {std::pair(Split::kTrain, "training"), std::pair(Split::kHeldOut, "held-out")}) {
      if (Find(split, split == Split::kHeldOut ? 1 : 0, kProbeDraws)) continue;
      return InputError(name, ": no ", split_name, " problem among ", kProbeDraws, " drawn with ", drawn_from, "; ",
                        remedy, " or change held_out_fraction=", drawn_.held_out_fraction);
    }
    return absl::OkStatus();
  }

 protected:
  // One attempt; nothing where it comes to no problem.
  virtual std::optional<Problem> Draw(RandomSequence& random) const = 0;
  virtual double Place(const Problem& problem) const = 0;
  // All of the prompt but its key.
  virtual Prompt Ask(const Problem& problem) const = 0;

  // A sequence for what is drawn about the prompt once it is there, apart from what has drawn the prompt.
  RandomSequence RandomFor(const Prompt& prompt) const {
    return RandomSequence(drawn_.seed, RandomStream::kTask, uint64_t{1} << 63 | prompt.key);
  }

 private:
  static constexpr int kProbeDraws = 20000;
  // A split that passed the probe with one problem in 20,000 draws, at worst, fails here once in e^500 prompts.
  static constexpr int kMaxDraws = 10'000'000;

  std::optional<Problem> Find(Split split, uint64_t key, int draws) const {
    RandomSequence random(drawn_.seed, RandomStream::kTask, key);
    for (int draw = 0; draw < draws; ++draw) {
      auto problem = Draw(random);
      if (!problem) continue;
      const bool held_out = Place(*problem) < drawn_.held_out_fraction;
      if (held_out == (split == Split::kHeldOut)) return problem;
    }
    return std::nullopt;
  }

  const DrawnTaskOptions drawn_;
};

}  // namespace hone
