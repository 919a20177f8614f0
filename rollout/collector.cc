#include "rollout/collector.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

absl::Status DecodeSample(const Tokenizer& tokenizer, const std::vector<std::string>& stop, Sample& sample) {
  HONE_ASSIGN_OR_RETURN(sample.text, tokenizer.Decode(sample.tokens));
  size_t end = sample.text.size();
  for (const std::string& text : stop) end = std::min(end, sample.text.find(text));
  sample.text.resize(end);
  return absl::OkStatus();
}

void AddTotals(const Rollout& more, Rollout& sum) {
  sum.generate_s += more.generate_s;
  sum.verify_s += more.verify_s;
  sum.tokens += more.tokens;
  sum.generation.Add(more.generation);
  AddCounters(more.verifier, sum.verifier);
}

absl::Status Collector::Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                            const std::function<bool()>& cancelled, const Place& place, Rollout& rollout) const {
  const Clock::time_point start = Clock::now();
  std::unique_ptr<VerifyPool> pool;
  if (verifier_ != nullptr) pool = std::make_unique<VerifyPool>(verifier_, VerifyPoolOptions{});
  absl::Status decoding;
  uint64_t received = 0;
  const auto receive = [&](size_t request, Sample sample) {
    rollout.tokens += static_cast<int64_t>(sample.tokens.size());
    Sample& kept = place(request, std::move(sample));
    if (absl::Status status = DecodeSample(*tokenizer_, options.stop, kept); !status.ok()) decoding = status;
    if (pool == nullptr) return;
    pool->Submit(requests[request].prompt, kept.text, received++,
                 [&kept](const Verdict& verdict) { kept.verdict = verdict; });
  };
  HONE_RETURN_IF_ERROR(generator_->Run(requests, options, receive, cancelled));
  HONE_RETURN_IF_ERROR(decoding);
  rollout.generation.Add(generator_->stats());
  const double generate_s = SecondsSince(start);
  rollout.generate_s += generate_s;
  if (pool == nullptr) return absl::OkStatus();
  pool->Wait(cancelled);
  if (cancelled != nullptr && cancelled()) return absl::CancelledError("interrupted during verification");
  rollout.verify_s += SecondsSince(start) - generate_s;
  AddCounters(pool->stats().verifier, rollout.verifier);
  return absl::OkStatus();
}

absl::StatusOr<Rollout> Collector::Collect(std::vector<Prompt> prompts, int32_t samples_per_prompt,
                                           const GenerationOptions& options, const std::function<bool()>& cancelled,
                                           GreedyAnswer greedy) const {
  Rollout rollout;
  rollout.groups.resize(prompts.size());
  std::vector<GenerationRequest> requests;
  std::vector<size_t> group_of;  // each request's
  for (size_t i = 0; i < prompts.size(); ++i) {
    Group& group = rollout.groups[i];
    group.prompt = std::move(prompts[i]);
    group.samples.resize(samples_per_prompt);
    requests.push_back({&group.prompt, samples_per_prompt});
    group_of.push_back(i);
    if (greedy == GreedyAnswer::kNone) continue;
    group.greedy.emplace();
    requests.push_back({&group.prompt, 1, /*temperature=*/0.0f});  // beside its prompt, whose pages it shares
    group_of.push_back(i);
  }
  const auto place = [&](size_t request, Sample sample) -> Sample& {
    Group& group = rollout.groups[group_of[request]];
    Sample& kept = requests[request].temperature ? *group.greedy : group.samples[sample.index];
    return kept = std::move(sample);
  };
  HONE_RETURN_IF_ERROR(Run(requests, options, cancelled, place, rollout));
  return rollout;
}

absl::Status Collector::CollectMore(std::span<const int32_t> more, const GenerationOptions& options,
                                    Rollout& rollout) const {
  std::vector<GenerationRequest> requests;
  std::vector<size_t> group_of;  // each request's
  for (size_t i = 0; i < more.size(); ++i) {
    if (more[i] == 0) continue;
    Group& group = rollout.groups[i];
    const auto first = static_cast<int32_t>(group.samples.size());
    group.samples.resize(first + more[i]);
    requests.push_back({.prompt = &group.prompt, .samples = more[i], .first_sample = first});
    group_of.push_back(i);
  }
  const auto place = [&](size_t request, Sample sample) -> Sample& {
    return rollout.groups[group_of[request]].samples[sample.index] = std::move(sample);
  };
  return Run(requests, options, nullptr, place, rollout);
}

absl::Status Collector::CollectBranches(const std::vector<std::vector<Branch>>& branches,
                                        const GenerationOptions& options, Rollout& rollout) const {
  std::deque<Prompt> prompts;  // each with what is shared behind it
  std::vector<GenerationRequest> requests;
  std::vector<std::pair<size_t, Branch>> from;  // each request's
  for (size_t i = 0; i < branches.size(); ++i) {
    Group& group = rollout.groups[i];
    for (const Branch& branch : branches[i]) {
      const auto first = static_cast<int32_t>(group.samples.size());
      group.samples.resize(first + branch.count);
      const std::vector<TokenId>& tokens = group.samples[branch.sample].tokens;
      Prompt& prompt = prompts.emplace_back(group.prompt);
      prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.begin() + branch.at);
      requests.push_back({.prompt = &prompt,
                          .samples = branch.count,
                          .max_new_tokens = options.max_new_tokens - branch.at,
                          .first_sample = first});
      from.emplace_back(i, branch);
    }
  }
  if (requests.empty()) return absl::OkStatus();
  const auto place = [&](size_t request, Sample sample) -> Sample& {
    const auto& [group, branch] = from[request];
    std::vector<Sample>& samples = rollout.groups[group].samples;
    const Sample& parent = samples[branch.sample];
    sample.tokens.insert(sample.tokens.begin(), parent.tokens.begin(), parent.tokens.begin() + branch.at);
    sample.logprobs.insert(sample.logprobs.begin(), parent.logprobs.begin(), parent.logprobs.begin() + branch.at);
    sample.parent = branch.sample;
    sample.branch_at = branch.at;
    return samples[sample.index] = std::move(sample);
  };
  return Run(requests, options, nullptr, place, rollout);
}

}  // namespace hone
