#include "engine/generator.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <map>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "engine/model/model.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/tokenizer.h"

namespace hone {
namespace {

using kernels::kPageTokens;

// What the widest part of a pass may hold: the feed-forward's three rows of intermediate_size and some of hidden_size.
constexpr int64_t kActivationBytes = int64_t{64} << 20;

int32_t RowsPerPass(const ModelConfig& config, int32_t limit) {
  const int64_t row_bytes =
      (3 * int64_t{config.intermediate_size} + 6 * int64_t{config.hidden_size}) * static_cast<int64_t>(sizeof(float));
  return static_cast<int32_t>(std::clamp<int64_t>(kActivationBytes / row_bytes, 1, limit));
}

// One call of Run.
class Session {
 public:
  Session(const Model& model, const Tokenizer* tokenizer, const GenerationOptions& options,
          const SchedulerLimits& limits, const SampleReceiver& receive, const TokenReceiver& receive_token,
          GenerationStats& stats)
      : model_(model),
        config_(model.config()),
        tokenizer_(tokenizer),
        options_(options),
        receive_(receive),
        receive_token_(receive_token),
        stats_(stats),
        cache_(config_.layers, config_.kv_heads, config_.head_dim, limits.pages, LayerStorage::kEachLayer),
        scheduler_(limits),
        sampler_(model, {options.temperature, options.top_p, options.top_k, options.min_p}) {}

  // False: cancelled before the end.
  bool Run(std::span<const GenerationRequest> requests, const std::function<bool()>& cancelled) {
    for (size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].samples > 0) scheduler_.Add(i, requests[i].prompt, requests[i].samples);
    }
    while (!scheduler_.done() && !(cancelled && cancelled())) Step(requests);
    stats_.preemptions = scheduler_.preemptions();
    stats_.shared_tokens = scheduler_.shared_tokens();
    return scheduler_.done();
  }

 private:
  // One pass through the model and the tokens that it gives: one for every sample whose last token took part, and the
  // first of every sample that begins.
  void Step(std::span<const GenerationRequest> requests) {
    drawing_.clear();
    draws_.clear();
    std::vector<Tensor> hidden;  // [n, hidden_size] each; a draw's row counts through all of them
    const std::vector<Chunk>& chunks = scheduler_.Plan();
    if (!chunks.empty()) Forward(chunks);
    const std::vector<Start> starts = scheduler_.StartSamples();
    HONE_CHECK(!chunks.empty() || !starts.empty());
    DrawFromPass(hidden);
    for (const Start& start : starts) {
      if (start.slots > 0) cache_.CopyPage(start.from, start.to, start.slots);
      DrawFirst(start, hidden);
    }
    for (const Start& start : starts) {
      if (start.sample->sample.index + 1 == requests[start.sample->request].samples) read_.erase(start.sample->request);
    }
    if (draws_.empty()) return;
    sampler_.Sample(hidden.size() == 1 ? hidden[0] : at::cat(hidden, 0), draws_, tokens_, logprobs_);
    stats_.tokens += static_cast<int64_t>(draws_.size());
    for (size_t i = 0; i < drawing_.size(); ++i) Extend(*drawing_[i], tokens_[i], logprobs_[i]);
  }

  // Leaves the pass's hidden states in hidden_, the last row of each finished prompt in read_, and in ends_ the samples
  // whose next token the pass gives.
  void Forward(const std::vector<Chunk>& chunks) {
    ModelRows rows;
    ends_.clear();
    std::vector<std::pair<size_t, int64_t>> prompts;
    for (const Chunk& chunk : chunks) {
      const Sequence& sequence = *chunk.sequence;
      for (int32_t i = 0; i < chunk.count; ++i) AddRow(rows, sequence, chunk.first + i);
      if (chunk.first + chunk.count < sequence.length()) continue;
      const auto last = static_cast<int64_t>(rows.tokens.size()) - 1;
      if (sequence.unstarted > 0) {
        prompts.push_back({sequence.request, last});
      } else {
        ends_.push_back({chunk.sequence, last});
      }
    }
    ++stats_.passes;
    stats_.rows += static_cast<int64_t>(rows.tokens.size());
    hidden_ = model_.Forward(rows, cache_);
    for (const auto& [request, row] : prompts) read_[request] = ops::SelectRows(hidden_, {row});
  }

  static void AddRow(ModelRows& rows, const Sequence& sequence, int32_t position) {
    const auto row = static_cast<int32_t>(rows.tokens.size());
    rows.tokens.push_back(sequence.token(position));
    rows.positions.push_back(position);
    rows.attention.writes.push_back({row, sequence.pages[position / kPageTokens], position % kPageTokens});
    rows.attention.rows.push_back({sequence.pages.data(), position});
  }

  // Who was preempted since the pass draws the same token later, from the same bits.
  void DrawFromPass(std::vector<Tensor>& hidden) {
    std::vector<int64_t> rows;
    for (const auto& [sample, row] : ends_) {
      if (sample->computed < sample->length()) continue;
      AddDraw(*sample, static_cast<int64_t>(rows.size()));
      rows.push_back(row);
    }
    ends_.clear();
    if (!rows.empty()) hidden.push_back(ops::SelectRows(hidden_, rows));
    hidden_.reset();
  }

  void DrawFirst(const Start& start, std::vector<Tensor>& hidden) {
    Sequence& sample = *start.sample;
    sample.sample.policy_version = options_.policy_version;
    if (!options_.stop.empty()) sample.stop_text.emplace(*tokenizer_, options_.stop);
    const bool same_prompt =
        !drawing_.empty() && drawing_.back()->sample.tokens.empty() && drawing_.back()->request == sample.request;
    if (!same_prompt) hidden.push_back(read_.at(sample.request));
    AddDraw(sample, draws_.empty() ? 0 : draws_.back().row + (same_prompt ? 0 : 1));
  }

  void AddDraw(Sequence& sample, int64_t row) {
    const SamplingKey key{options_.seed, options_.step, sample.prompt->key, static_cast<uint32_t>(sample.sample.index)};
    draws_.push_back({row, key, static_cast<uint32_t>(sample.sample.tokens.size())});
    drawing_.push_back(&sample);
  }

  void Extend(Sequence& sequence, TokenId token, float logprob) {
    Sample& sample = sequence.sample;
    sample.tokens.push_back(token);
    sample.logprobs.push_back(logprob);
    if (receive_token_) receive_token_(sequence.request, sample.index, token);
    const bool stops = EndsAnswer(token) || (sequence.stop_text && sequence.stop_text->Push(token));
    if (!stops && static_cast<int32_t>(sample.tokens.size()) < options_.max_new_tokens) return;
    sample.finish_reason = stops ? FinishReason::kStop : FinishReason::kLength;
    scheduler_.Finish(sequence);
    receive_(sequence.request, std::move(sample));
  }

  bool EndsAnswer(TokenId token) const {
    const std::vector<TokenId>& ends = config_.end_tokens;
    return !options_.ignore_end_tokens && std::find(ends.begin(), ends.end(), token) != ends.end();
  }

  const Model& model_;
  const ModelConfig& config_;
  const Tokenizer* tokenizer_;
  const GenerationOptions& options_;
  const SampleReceiver& receive_;
  const TokenReceiver& receive_token_;
  GenerationStats& stats_;
  KvCache cache_;
  Scheduler scheduler_;
  Sampler sampler_;
  Tensor hidden_;                                    // [rows, hidden_size] of the pass
  std::vector<std::pair<Sequence*, int64_t>> ends_;  // samples whose last token is that row of the pass
  std::map<size_t, Tensor> read_;                    // request -> [1, hidden_size] of its prompt's last token
  std::vector<Draw> draws_;                          // of this step
  std::vector<Sequence*> drawing_;                   // whose they are
  std::vector<TokenId> tokens_;                      // what was drawn
  std::vector<float> logprobs_;
};

absl::Status CheckPrompt(const Prompt& prompt, const ModelConfig& config, const GenerationOptions& options) {
  const auto length = static_cast<int64_t>(prompt.tokens.size());
  if (length == 0) return InputError("prompt ", prompt.key, " has no tokens; give it at least one");
  for (const TokenId token : prompt.tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InputError("prompt ", prompt.key, ": token ", token, " is outside the vocabulary of ", config.vocab_size);
    }
  }
  if (length >= config.max_position_embeddings) {
    return InputError("prompt ", prompt.key, ": ", length, " tokens leave no room for an answer in the model's ",
                      config.max_position_embeddings, " positions; shorten the prompt");
  }
  if (length + options.max_new_tokens > config.max_position_embeddings) {
    return InputError("prompt ", prompt.key, ": ", length, " tokens and ", options.max_new_tokens,
                      " new ones exceed the model's ", config.max_position_embeddings,
                      " positions; shorten the prompt or lower max_new_tokens");
  }
  return absl::OkStatus();
}

// Pages for keys and values: as many as the budget holds and the requests can use.
absl::StatusOr<int64_t> CountPages(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                                   const ModelConfig& config, const GeneratorLimits& limits) {
  const int64_t budget = limits.kv_bytes / config.kv_page_bytes();
  int64_t total = 0, largest = 0;
  for (const GenerationRequest& request : requests) {
    HONE_RETURN_IF_ERROR(CheckPrompt(*request.prompt, config, options));
    const auto length = static_cast<int64_t>(request.prompt->tokens.size());
    // The last token drawn is never read.
    const int64_t pages = PagesFor(length + options.max_new_tokens - 1);
    if (pages > budget) {
      return InputError("prompt ", request.prompt->key, ": one sequence needs ", pages, " pages of ",
                        config.kv_page_bytes(), " bytes for keys and values, the budget of ", limits.kv_bytes,
                        " bytes holds ", budget, "; raise it (--kv_mb) or lower max_new_tokens");
    }
    largest = std::max(largest, pages);
    total += PagesFor(length) + request.samples * (pages - length / kPageTokens);
  }
  // Some more, so that the scheduler's reserve for those that run (a hundredth) delays nobody where memory is plenty.
  const int64_t useful = std::min(total, limits.sequences * (largest + 1));
  return std::min(budget, useful + useful / 50 + 2);
}

}  // namespace

Generator::Generator(const Model* model, const Tokenizer* tokenizer, GeneratorLimits limits)
    : model_(model), tokenizer_(tokenizer), limits_(limits) {}

absl::Status Generator::Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                            const SampleReceiver& receive, const std::function<bool()>& cancelled,
                            const TokenReceiver& receive_token) {
  HONE_CHECK(options.stop.empty() || tokenizer_ != nullptr);
  stats_ = {};
  if (options.max_new_tokens < 1)
    return InputError("max_new_tokens is ", options.max_new_tokens, ", wanted at least 1");
  if (std::find(options.stop.begin(), options.stop.end(), "") != options.stop.end())
    return InputError("a stop text is empty; leave it out");
  const ModelConfig& config = model_->config();
  HONE_ASSIGN_OR_RETURN(const int64_t pages, CountPages(requests, options, config, limits_));
  const at::NoGradGuard no_gradient;
  const SchedulerLimits scheduling{pages, limits_.sequences, RowsPerPass(config, limits_.rows)};
  Session session(*model_, tokenizer_, options, scheduling, receive, receive_token, stats_);
  return session.Run(requests, cancelled) ? absl::OkStatus() : absl::CancelledError("generation was cancelled");
}

}  // namespace hone
