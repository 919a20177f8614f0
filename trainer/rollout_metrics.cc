#include "trainer/rollout_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "engine/base/text.h"
#include "rollout/evaluation.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 160;

// The samples and the greedy answers.
std::vector<const Sample*> AllAnswers(const std::vector<Group>& groups) {
  std::vector<const Sample*> answers;
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) answers.push_back(&sample);
    if (group.greedy) answers.push_back(&*group.greedy);
  }
  return answers;
}

// The reason that most answers without a verdict have, the first of them in the alphabet among equals.
std::pair<std::string, int64_t> CommonestReason(const std::vector<Group>& groups) {
  std::map<std::string, int64_t> reasons;
  for (const Sample* sample : AllAnswers(groups)) {
    if (!sample->verdict.score) ++reasons[sample->verdict.reason];
  }
  const auto most = std::max_element(reasons.begin(), reasons.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == reasons.end()) return {};
  return {most->first, most->second};
}

void AddGreedyMetrics(const std::vector<Group>& groups, Metrics& metrics) {
  double answers = 0, scored = 0, sum = 0, tokens = 0;
  for (const Group& group : groups) {
    if (!group.greedy) continue;
    ++answers;
    tokens += static_cast<double>(group.greedy->tokens.size());
    if (!group.greedy->verdict.score) continue;
    ++scored;
    sum += *group.greedy->verdict.score;
  }
  if (answers == 0) return;
  if (scored > 0) metrics.Set("greedy/reward_mean", sum / scored);
  metrics.Set("greedy/verdict_none", (answers - scored) / answers);
  metrics.Set("greedy/length_mean", tokens / answers);
}

}  // namespace

// Counts of a rollout, before anything is left out.
void AddRolloutMetrics(const Rollout& rollout, Metrics& metrics) {
  if (rollout.groups.empty()) return;  // groups that waited were enough
  double sum = 0, squares = 0, scored = 0, samples = 0, tokens = 0, longest = 0, truncated = 0;
  double solved_none = 0, solved_all = 0;
  std::vector<std::pair<std::string, std::pair<double, double>>> parts;  // name -> (sum, count)
  for (const Group& group : rollout.groups) {
    int64_t correct = 0, verdicts = 0;
    for (const Sample& sample : group.samples) {
      ++samples;
      const auto length = static_cast<double>(sample.tokens.size());
      tokens += length;
      longest = std::max(longest, length);
      truncated += sample.finish_reason == FinishReason::kLength ? 1 : 0;
      for (const auto& [name, value] : sample.verdict.parts) {
        auto part = std::find_if(parts.begin(), parts.end(), [&](const auto& entry) { return entry.first == name; });
        if (part == parts.end()) part = parts.insert(parts.end(), {name, {0, 0}});
        part->second.first += value;
        part->second.second += 1;
      }
      if (!sample.verdict.score) continue;
      const double score = *sample.verdict.score;
      ++scored, ++verdicts;
      sum += score;
      squares += score * score;
      correct += score >= kCorrectScore ? 1 : 0;
    }
    solved_none += verdicts > 0 && correct == 0 ? 1 : 0;
    solved_all += verdicts > 0 && correct == verdicts ? 1 : 0;
  }
  const auto groups = static_cast<double>(rollout.groups.size());
  if (scored > 0) {
    metrics.Set("reward/mean", sum / scored);
    metrics.Set("reward/std", std::sqrt(std::max(0.0, squares / scored - sum / scored * (sum / scored))));
  }
  for (const auto& [name, part] : parts) metrics.Set("reward/" + name + "/mean", part.first / part.second);
  metrics.Set("verdict/none", (samples - scored) / samples);
  for (const auto& [name, count] : rollout.verifier) metrics.Set("verifier/" + name, count);
  metrics.Set("group/solved_none", solved_none / groups);
  metrics.Set("group/solved_all", solved_all / groups);
  metrics.Set("sample/count", samples);
  metrics.Set("sample/length_mean", tokens / samples);
  metrics.Set("sample/length_max", longest);
  metrics.Set("sample/truncated_fraction", truncated / samples);
  AddGreedyMetrics(rollout.groups, metrics);
}

void AddDrafterMetrics(const Rollout& rollout, Metrics& metrics) {
  const GenerationStats& generation = rollout.generation;
  const SpeculationStats& drafts = generation.speculation;
  if (drafts.drafted == 0) return;
  metrics.Set("drafter/accept_rate", static_cast<double>(drafts.accepted) / static_cast<double>(drafts.drafted));
  metrics.Set("drafter/tokens_per_pass",
              static_cast<double>(generation.tokens) / static_cast<double>(generation.passes));
  metrics.Set("drafter/propose_s", drafts.propose_s);
  metrics.Set("drafter/saved_s", drafts.saved_s);
}

void AddStaleness(const std::vector<std::vector<TrainGroup>>& batches, PolicyVersion now, Metrics& metrics) {
  PolicyVersion sum = 0, most = 0;
  int64_t samples = 0;
  for (const std::vector<TrainGroup>& groups : batches) {
    for (const TrainGroup& group : groups) {
      for (const TrainSample& sample : group.samples) {
        const PolicyVersion age = now - sample.policy_version;
        sum += age;
        most = std::max(most, age);
        ++samples;
      }
    }
  }
  metrics.Set("staleness/mean", samples > 0 ? static_cast<double>(sum) / static_cast<double>(samples) : 0);
  metrics.Set("staleness/max", static_cast<double>(most));
}

absl::Status CheckVerdicts(const std::vector<Group>& groups, double max_no_verdict) {
  int64_t samples = 0, none = 0;
  for (const Sample* sample : AllAnswers(groups)) {
    ++samples;
    none += sample->verdict.score ? 0 : 1;
  }
  if (static_cast<double>(none) <= max_no_verdict * static_cast<double>(samples)) return absl::OkStatus();
  const auto [reason, count] = CommonestReason(groups);
  return WorkError(
      absl::StrFormat("%d of %d samples have no verdict, max_no_verdict is %g; %d times: %s; mend the verifier ('hone "
                      "score' shows what it "
                      "does) and 'hone resume', or train anew with a larger max_no_verdict",
                      none, samples, max_no_verdict, count, Visible(reason, kShownBytes)));
}

NoSignal WhyNoSignal(const std::vector<Group>& groups) {
  int64_t samples = 0, scored = 0, solved = 0, truncated = 0, failed = 0, greedy = 0, greedy_scored = 0;
  for (const Group& group : groups) {
    greedy += group.greedy ? 1 : 0;
    greedy_scored += group.greedy && group.greedy->verdict.score ? 1 : 0;
    for (const Sample& sample : group.samples) {
      ++samples;
      truncated += sample.finish_reason == FinishReason::kLength ? 1 : 0;
      if (!sample.verdict.score) continue;
      ++scored;
      solved += *sample.verdict.score >= kCorrectScore ? 1 : 0;
      failed += *sample.verdict.score <= 0 ? 1 : 0;
    }
  }
  if (scored == 0) {
    return {"no_verdicts",
            absl::StrCat("no sample has a verdict: ", Visible(CommonestReason(groups).first, kShownBytes))};
  }
  if (greedy > 0 && greedy_scored == 0) {
    return {"no_greedy_verdicts", absl::StrCat("no greedy answer, the baseline of its prompt, has a verdict: ",
                                               Visible(CommonestReason(groups).first, kShownBytes))};
  }
  if (truncated == samples) {
    return {"all_truncated",
            "every answer reached max_new_tokens before its end; allow longer answers, or ask for shorter ones"};
  }
  if (solved == scored) return {"all_solved", "every answer is right; the task is too easy for this policy"};
  if (failed == scored) {
    return {"none_solved",
            "no answer earned anything; easier prompts, more samples_per_prompt or an SFT stage first would help"};
  }
  return {"equal_rewards",
          "within each group all rewards are equal; more samples_per_prompt or a higher temperature would help"};
}

}  // namespace hone
