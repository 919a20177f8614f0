#include "trainer/group_source.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A gate that kept fewer may keep more of the next prompts: a round asks for at most so many times what is missing.
constexpr double kLeastKept = 0.25;

// Each round of a step has random numbers of its own, told apart by the groups sampled before it.
constexpr uint64_t kStreamsPerStep = uint64_t{1} << 32;

// Prompts to ask for so that `missing` groups are kept, when a share kept / asked was.
size_t ToAsk(size_t missing, size_t kept, size_t asked, size_t most) {
  if (asked == 0) return std::min(missing, most);
  const double share = std::max(kLeastKept, static_cast<double>(kept) / static_cast<double>(asked));
  return std::min(most, static_cast<size_t>(std::ceil(static_cast<double>(missing) / share)));
}

void Append(Rollout more, Rollout& sum) {
  std::move(more.groups.begin(), more.groups.end(), std::back_inserter(sum.groups));
  AddTotals(more, sum);
}

}  // namespace

void ShapeRewards(const Stage& stage, Group& group) {
  for (Sample& sample : group.samples) sample.shaping = 0;
  if (group.greedy) group.greedy->shaping = 0;
  for (const auto& shaper : stage.shapers) shaper->Shape(stage.max_new_tokens, group);
}

GroupSource::GroupSource(const Stage& stage, const Collector& collector, PromptStream next_prompt,
                         std::optional<uint64_t> most_prompts)
    : stage_(stage), collector_(collector), next_prompt_(std::move(next_prompt)), most_prompts_(most_prompts) {}

absl::StatusOr<std::vector<Prompt>> GroupSource::ChoosePrompts(size_t count, RandomSequence random,
                                                               std::set<uint64_t>& asked) const {
  const size_t offered = count * static_cast<size_t>(stage_.curriculum->candidates_per_prompt());
  std::vector<Prompt> candidates;
  for (uint64_t drawn = 0; candidates.size() < offered && drawn < most_prompts_.value_or(UINT64_MAX); ++drawn) {
    HONE_ASSIGN_OR_RETURN(Prompt prompt, next_prompt_());
    if (!asked.contains(prompt.key)) candidates.push_back(std::move(prompt));
  }
  std::vector<Prompt> chosen;
  for (const size_t index : stage_.curriculum->Choose(candidates, std::min(count, candidates.size()), random)) {
    asked.insert(candidates[index].key);
    chosen.push_back(std::move(candidates[index]));
  }
  return chosen;
}

absl::Status GroupSource::Sample(size_t count, const GenerationOptions& generation, Rollout& rollout,
                                 Asking& asking) const {
  const Clock::time_point start = Clock::now();
  HONE_ASSIGN_OR_RETURN(
      std::vector<Prompt> prompts,
      ChoosePrompts(count,
                    {generation.seed, RandomStream::kOrder, generation.step * kStreamsPerStep + rollout.groups.size()},
                    asking.keys));
  asking.choose_s += SecondsSince(start);
  if (prompts.empty()) return absl::OkStatus();
  const bool compares = stage_.advantage != nullptr && stage_.advantage->needs() == AdvantageNeeds::kGreedy;
  HONE_ASSIGN_OR_RETURN(
      Rollout round, collector_.Collect(std::move(prompts), static_cast<int32_t>(stage_.samples_per_prompt), generation,
                                        nullptr, compares ? GreedyAnswer::kOneAPrompt : GreedyAnswer::kNone));
  for (int stage = 0;; ++stage) {
    std::vector<int32_t> more;
    for (const Group& group : round.groups) more.push_back(stage_.curriculum->MoreSamples(group, stage));
    if (std::all_of(more.begin(), more.end(), [](int32_t samples) { return samples == 0; })) break;
    HONE_RETURN_IF_ERROR(collector_.CollectMore(more, generation, round));
  }
  std::vector<std::vector<Branch>> branches;
  const Clock::time_point branching = Clock::now();
  for (const Group& group : round.groups) branches.push_back(stage_.curriculum->Branches(group));
  asking.choose_s += SecondsSince(branching);
  HONE_RETURN_IF_ERROR(collector_.CollectBranches(branches, generation, round));
  for (Group& group : round.groups) {
    group.step = static_cast<int64_t>(generation.step);
    ShapeRewards(stage_, group);
  }
  Append(std::move(round), rollout);
  return absl::OkStatus();
}

absl::StatusOr<GatheredGroups> GroupSource::Gather(const GenerationOptions& generation, std::vector<Group>& waiting,
                                                   const Inspect& inspect, Metrics& metrics) const {
  const auto step = static_cast<int64_t>(generation.step);
  const auto wanted = static_cast<size_t>(stage_.prompts_per_step);
  const auto is_stale = [&](const Group& group) { return step - group.step > stage_.max_staleness; };
  const auto waited = static_cast<size_t>(
      std::count_if(waiting.begin(), waiting.end(), [&](const Group& group) { return !is_stale(group); }));
  GatheredGroups gathered;
  std::vector<Group>& sampled = gathered.rollout.groups;
  std::vector<size_t> kept;  // of sampled
  int64_t rounds = 0;
  Asking asking;
  const int64_t max_rounds = stage_.gate != nullptr ? stage_.gate->max_rounds() : 1;
  while (waited + kept.size() < wanted && rounds < max_rounds) {
    const size_t first = sampled.size();
    ++rounds;
    HONE_RETURN_IF_ERROR(
        Sample(ToAsk(wanted - waited - kept.size(), kept.size(), first, wanted), generation, gathered.rollout, asking));
    for (size_t i = first; i < sampled.size(); ++i) {
      if (stage_.gate == nullptr || stage_.gate->Keeps(sampled[i])) kept.push_back(i);
    }
    if (sampled.size() == first) break;  // the task has no other prompt
  }
  HONE_RETURN_IF_ERROR(inspect(gathered.rollout));
  const Clock::time_point start = Clock::now();
  HONE_RETURN_IF_ERROR(stage_.curriculum->Learn(sampled, metrics));
  metrics.Set("time/choose_s", asking.choose_s + SecondsSince(start));

  if (stage_.gate != nullptr) {
    metrics.Set("gate/rounds", static_cast<double>(rounds));
    if (!sampled.empty())
      metrics.Set("gate/kept", static_cast<double>(kept.size()) / static_cast<double>(sampled.size()));
  }
  std::vector<Group> later;
  const auto take = [&](Group group) {
    (gathered.trained.size() < wanted ? gathered.trained : later).push_back(std::move(group));
  };
  for (Group& group : waiting) {
    if (!is_stale(group)) take(std::move(group));
  }
  std::vector<Group> others;
  for (size_t i = 0, next = 0; i < sampled.size(); ++i) {
    const bool is_kept = next < kept.size() && kept[next] == i;
    next += is_kept ? 1 : 0;
    is_kept ? take(std::move(sampled[i])) : others.push_back(std::move(sampled[i]));
  }
  sampled = std::move(others);
  waiting.clear();
  std::vector<Group>& rest = stage_.max_staleness > 0 ? waiting : sampled;
  std::move(later.begin(), later.end(), std::back_inserter(rest));
  if (stage_.gate != nullptr) {
    metrics.Set("gate/missing", static_cast<double>(wanted - gathered.trained.size()));
    if (gathered.trained.size() < wanted) {
      gathered.missing = absl::StrCat(
          "the gate kept fewer than prompts_per_step ", wanted, " groups in up to ", max_rounds,
          " rounds, or of all prompts of the task; such steps train on what there is (gate/missing counts); ",
          "widen the gate, or raise its max_rounds");
    }
    if (stage_.max_staleness > 0) metrics.Set("gate/waiting", static_cast<double>(waiting.size()));
  }
  return gathered;
}

}  // namespace hone
