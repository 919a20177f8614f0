// The upper half of the picture: prompts that the curriculum chooses, their samples and verdicts, shaped rewards, and the groups that the gate
// keeps. Where it keeps too few, more prompts are asked, a bounded number of times; groups beyond what a step trains wait for the next one
// as long as they may be stale.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "rollout/collector.h"
#include "trainer/run_options.h"

namespace hone {

// What a step samples, and what of it trains.
struct GatheredGroups {
  Rollout rollout;             // what was sampled and neither trains nor waits; its totals are of all
  std::vector<Group> trained;  // those that waited first; at most Stage::prompts_per_step
  std::string missing;         // what to tell where the gate kept too few in all of its rounds, else empty
};

// The stage's shapers in their order, on rewards as the verifier gave them.
void ShapeRewards(const Stage& stage, Group& group);

class GroupSource {
 public:
  using PromptStream = std::function<absl::StatusOr<Prompt>()>;  // the next encoded prompt of the task

  // All outlive it. `most_prompts` is how many the task holds; a step asks none twice.
  GroupSource(const Stage& stage, const Collector& collector, PromptStream next_prompt,
              std::optional<uint64_t> most_prompts);

  // Looks at all that was sampled before any of it is taken away: metrics, files, the check that enough has a verdict. An error ends the step.
  using Inspect = std::function<absl::Status(const Rollout&)>;
  // One step. `waiting` holds the groups that wait, and is left alone by an error. Metrics: gate/kept (a share of what was sampled), gate/rounds,
  // gate/waiting, gate/missing (groups that the step lacks), where there is a gate; time/choose_s; curriculum/*.
  absl::StatusOr<GatheredGroups> Gather(const GenerationOptions& generation, std::vector<Group>& waiting,
                                        const Inspect& inspect, Metrics& metrics) const;

 private:
  // What a step has asked so far.
  struct Asking {
    std::set<uint64_t> keys;  // of prompts: asked again in the same step, a prompt would get the same answers
    double choose_s = 0;
  };
  absl::StatusOr<std::vector<Prompt>> ChoosePrompts(size_t count, RandomSequence random,
                                                    std::set<uint64_t>& asked) const;
  // Asks for `count` prompts and adds them to the rollout, shaped.
  absl::Status Sample(size_t count, const GenerationOptions& generation, Rollout& rollout, Asking& asking) const;

  const Stage& stage_;
  const Collector& collector_;
  PromptStream next_prompt_;
  std::optional<uint64_t> most_prompts_;
};

}  // namespace hone
