#include "engine/generator.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <chrono>
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

using Clock = std::chrono::steady_clock;
double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Speculation's two halves; both null for plain decoding.
struct Speculation {
  Drafter* drafter = nullptr;
  SpeculationPlanner* planner = nullptr;
};

// Trust in a sample's drafts before it has had any, in tokens.
constexpr double kPriorTrust = 4;

// One call of Run.
class Session {
 public:
  Session(const Model& model, const Tokenizer* tokenizer, const GenerationOptions& options,
          const SchedulerLimits& limits, const Speculation& speculation, const SampleReceiver& receive,
          const TokenReceiver& receive_token, GenerationStats& stats)
      : model_(model),
        config_(model.config()),
        tokenizer_(tokenizer),
        options_(options),
        limits_(limits),
        drafter_(speculation.drafter),
        planner_(speculation.planner),
        receive_(receive),
        receive_token_(receive_token),
        stats_(stats),
        cache_(config_.layers, config_.kv_heads, config_.head_dim, limits.pages, LayerStorage::kEachLayer),
        scheduler_(limits),
        sampler_(model, {options.temperature, options.top_p, options.top_k, options.min_p}) {
    if (drafter_ != nullptr && drafter_->upkeep().model != nullptr) planner_->acceptance().Fade();
    if (drafter_ != nullptr) drafter_->Begin({options.temperature, options.top_p, options.top_k, options.min_p});
  }

  // False: cancelled before the end.
  bool Run(std::span<const GenerationRequest> requests, const std::function<bool()>& cancelled) {
    temperatures_.clear();
    max_new_tokens_.clear();
    for (size_t i = 0; i < requests.size(); ++i) {
      temperatures_.push_back(requests[i].temperature.value_or(options_.temperature));
      max_new_tokens_.push_back(requests[i].max_new_tokens.value_or(options_.max_new_tokens));
      if (requests[i].samples > 0) scheduler_.Add(i, requests[i].prompt, requests[i].samples, requests[i].first_sample);
    }
    while (!scheduler_.done() && !(cancelled && cancelled())) Step(requests);
    stats_.preemptions = scheduler_.preemptions();
    stats_.shared_tokens = scheduler_.shared_tokens();
    return scheduler_.done();
  }

 private:
  // One pass through the model and the tokens that it gives: one for every sample whose last token took part and for each
  // of its drafted tokens that prove right, and the first of every sample that begins.
  void Step(std::span<const GenerationRequest> requests) {
    drawing_.clear();
    draws_.clear();
    drafts_.clear();
    propose_s_ = pass_s_ = 0;
    pass_rows_ = 0;
    std::vector<Tensor> hidden;  // [n, hidden_size] each; a draw's row counts through all of them
    const std::vector<Chunk>& chunks = scheduler_.Plan();
    if (planner_ != nullptr) AskForDrafts(chunks);
    if (!chunks.empty()) Forward(chunks);
    const std::vector<Start> starts = scheduler_.StartSamples();
    HONE_CHECK(!chunks.empty() || !starts.empty());
    DrawFromPass(hidden);
    for (const Start& start : starts) {
      if (start.slots > 0) cache_.CopyPage(start.from, start.to, start.slots);
      DrawFirst(start, hidden);
    }
    for (const Start& start : starts) {
      const GenerationRequest& request = requests[start.sample->request];
      if (start.sample->sample.index + 1 == request.first_sample + request.samples) read_.erase(start.sample->request);
    }
    if (draws_.empty()) return;
    const Clock::time_point start = Clock::now();
    sampler_.Sample(hidden.size() == 1 ? hidden[0] : at::cat(hidden, 0), draws_, tokens_, logprobs_);
    pass_s_ += SecondsSince(start);
    if (planner_ != nullptr) LearnFromPass();
    const int64_t before = stats_.tokens;
    for (size_t i = 0; i < drawing_.size(); ++i) ExtendUnlessRefuted(i);
    if (!drafts_.empty()) EndDrafts(stats_.tokens - before);
  }

  // ---- Speculation ----

  // A sample whose last token is in the pass, and its draft.
  struct Drafting {
    Sequence* sequence;
    int32_t drawn = 0;  // tokens of the draft that were drawn
  };

  void AskForDrafts(const std::vector<Chunk>& chunks) {
    int64_t rows = 0;
    planned_.clear();
    for (const Chunk& chunk : chunks) {
      rows += chunk.count;
      Sequence& sequence = *chunk.sequence;
      if (sequence.unstarted > 0 || chunk.first + chunk.count < sequence.length()) continue;
      drafts_.push_back({&sequence});
    }
    const int32_t most = planner_->MostToAsk(static_cast<int64_t>(drafts_.size()));
    if (most == 0) {
      drafts_.clear();
      return;
    }
    std::vector<DraftRequest*> requests;
    for (const Drafting& drafting : drafts_) {
      const Sequence& sequence = *drafting.sequence;
      PlannedDraft& planned = planned_.emplace_back();
      planned.trust = (sequence.drafts_drawn + kPriorTrust) / (sequence.drafts_expected + kPriorTrust);
      // The pass itself draws one more than the draft has tokens.
      const int32_t left = max_new_tokens_[sequence.request] - static_cast<int32_t>(sequence.sample.tokens.size()) - 1;
      planned.request = {
          IdOf(sequence), sequence.prompt, &sequence.sample.tokens, KeyOf(sequence), std::min(most, left), {}, 0};
    }
    for (PlannedDraft& planned : planned_) {
      if (planned.request.most > 0) requests.push_back(&planned.request);
    }
    const Clock::time_point start = Clock::now();
    drafter_->Propose(requests);
    propose_s_ = SecondsSince(start);
    planner_->Choose(rows, limits_.rows - rows, planned_, propose_s_);
    for (size_t i = 0; i < drafts_.size(); ++i) {
      Sequence& sequence = *drafts_[i].sequence;
      const std::vector<DraftedToken>& draft = planned_[i].request.draft;
      HONE_CHECK(static_cast<int32_t>(draft.size()) <= std::max(0, planned_[i].request.most));
      const int32_t length = planned_[i].length == 0 ? 0 : scheduler_.ReserveDraft(sequence, planned_[i].length);
      for (int32_t t = 0; t < length; ++t) {
        HONE_CHECK(draft[t].token >= 0 && draft[t].token < config_.vocab_size);
        sequence.draft.push_back(draft[t].token);
      }
    }
  }

  // What the pass cost.
  void LearnFromPass() {
    const auto draws = static_cast<int64_t>(draws_.size());
    if (pass_rows_ == draws) {
      planner_->cost().Observe(pass_rows_, pass_s_);
    } else if (pass_rows_ > draws) {
      planner_->cost().ObservePrompts(pass_rows_, pass_s_);
    }
  }

  // The draw of a row is the sample's next token if all drafted tokens before it were drawn; the sample may have ended.
  void ExtendUnlessRefuted(size_t index) {
    const Drawing& drawing = drawing_[index];
    Sequence& sequence = *drawing.sequence;
    if (sequence.finished) return;
    if (drawing.draft != kNoDraft) {
      Drafting& drafting = drafts_[drawing.draft];
      if (drawing.depth != drafting.drawn) return;
      const std::vector<DraftedToken>& draft = planned_[drawing.draft].request.draft;
      if (drawing.depth < static_cast<int32_t>(draft.size())) {
        const DraftedToken& guess = draft[drawing.depth];
        const bool right = guess.token == tokens_[index];
        sequence.drafts_expected += planner_->acceptance().Chance(guess.confidence);
        sequence.drafts_drawn += right ? 1 : 0;
        planner_->acceptance().Observe(guess.confidence, right);
        if (right && drawing.depth < static_cast<int32_t>(sequence.draft.size())) ++drafting.drawn;
      }
    }
    ++stats_.tokens;
    Extend(sequence, tokens_[index], logprobs_[index]);
  }

  void EndDrafts(int64_t tokens) {
    SpeculationStats& stats = stats_.speculation;
    int64_t drafted = 0;
    for (const Drafting& drafting : drafts_) {
      Sequence& sequence = *drafting.sequence;
      drafted += static_cast<int64_t>(sequence.draft.size());
      stats.accepted += drafting.drawn;
      if (!sequence.finished) scheduler_.AcceptDraft(sequence, drafting.drawn);
      sequence.draft.clear();
    }
    stats.propose_s += propose_s_;
    stats.saved_s -= propose_s_;
    if (drafted == 0) return;
    stats.drafted += drafted;
    ++stats.passes;
    const double plain_passes = static_cast<double>(tokens) / static_cast<double>(draws_.size() - drafted);
    stats.saved_s += plain_passes * planner_->cost().Seconds(pass_rows_ - drafted) - pass_s_;
  }

  // ---- The pass ----

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
      for (size_t i = 0; i < sequence.draft.size(); ++i)
        AddRow(rows, sequence, sequence.length() + static_cast<int32_t>(i));
      if (sequence.unstarted > 0) {
        prompts.push_back({sequence.request, last});
      } else {
        ends_.push_back({chunk.sequence, last});
      }
    }
    ++stats_.passes;
    pass_rows_ = static_cast<int64_t>(rows.tokens.size());
    stats_.rows += pass_rows_;
    const Clock::time_point start = Clock::now();
    hidden_ = model_.Forward(rows, cache_);
    pass_s_ = SecondsSince(start);
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
    size_t draft = 0;
    for (const auto& [sample, row] : ends_) {
      const size_t own = drafts_.empty() ? kNoDraft : draft++;  // both in the order of the chunks
      if (sample->computed < sample->length()) {
        sample->draft.clear();
        continue;
      }
      for (int32_t depth = 0; depth <= static_cast<int32_t>(sample->draft.size()); ++depth) {
        AddDraw({sample, own, depth}, static_cast<int64_t>(rows.size()));
        rows.push_back(row + depth);
      }
    }
    ends_.clear();
    if (!rows.empty()) hidden.push_back(ops::SelectRows(hidden_, rows));
    hidden_.reset();
  }

  void DrawFirst(const Start& start, std::vector<Tensor>& hidden) {
    Sequence& sample = *start.sample;
    sample.sample.policy_version = options_.policy_version;
    if (!options_.stop.empty()) sample.stop_text.emplace(*tokenizer_, options_.stop);
    const bool same_prompt = !drawing_.empty() && drawing_.back().sequence->sample.tokens.empty() &&
                             drawing_.back().sequence->request == sample.request;
    if (!same_prompt) hidden.push_back(read_.at(sample.request));
    AddDraw({&sample, kNoDraft, 0}, draws_.empty() ? 0 : draws_.back().row + (same_prompt ? 0 : 1));
  }

  static constexpr size_t kNoDraft = SIZE_MAX;
  // Whose token a draw is: that after the sample's last one and `depth` drafted ones.
  struct Drawing {
    Sequence* sequence;
    size_t draft;  // in drafts_
    int32_t depth;
  };

  void AddDraw(const Drawing& drawing, int64_t row) {
    const Sequence& sample = *drawing.sequence;
    const auto position = static_cast<uint32_t>(static_cast<int32_t>(sample.sample.tokens.size()) + drawing.depth);
    draws_.push_back({row, KeyOf(sample), position, temperatures_[sample.request]});
    drawing_.push_back(drawing);
  }

  SamplingKey KeyOf(const Sequence& sample) const {
    return {options_.seed, options_.step, sample.prompt->key, static_cast<uint32_t>(sample.sample.index)};
  }

  static uint64_t IdOf(const Sequence& sample) {
    return static_cast<uint64_t>(sample.request) << 32 | static_cast<uint32_t>(sample.sample.index);
  }

  void Extend(Sequence& sequence, TokenId token, float logprob) {
    Sample& sample = sequence.sample;
    sample.tokens.push_back(token);
    sample.logprobs.push_back(logprob);
    if (receive_token_) receive_token_(sequence.request, sample.index, token);
    const bool stops = EndsAnswer(token) || (sequence.stop_text && sequence.stop_text->Push(token));
    if (!stops && static_cast<int32_t>(sample.tokens.size()) < max_new_tokens_[sequence.request]) return;
    sample.finish_reason = stops ? FinishReason::kStop : FinishReason::kLength;
    if (drafter_ != nullptr) {
      drafter_->Finish(IdOf(sequence));
      if (planner_->ShowsSample(sample.index)) drafter_->Learn(*sequence.prompt, sample);
    }
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
  const SchedulerLimits limits_;
  Drafter* const drafter_;
  SpeculationPlanner* const planner_;
  const SampleReceiver& receive_;
  const TokenReceiver& receive_token_;
  GenerationStats& stats_;
  KvCache cache_;
  Scheduler scheduler_;
  Sampler sampler_;
  std::vector<float> temperatures_;                  // of each request
  std::vector<int32_t> max_new_tokens_;              // likewise
  Tensor hidden_;                                    // [rows, hidden_size] of the pass
  std::vector<std::pair<Sequence*, int64_t>> ends_;  // samples whose last token is that row of the pass
  std::map<size_t, Tensor> read_;                    // request -> [1, hidden_size] of its prompt's last token
  std::vector<Draw> draws_;                          // of this step
  std::vector<Drawing> drawing_;                     // whose they are
  std::vector<TokenId> tokens_;                      // what was drawn
  std::vector<float> logprobs_;
  std::vector<Drafting> drafts_;       // of this step; empty where no draft was asked for
  std::vector<PlannedDraft> planned_;  // one for each of drafts_
  int64_t pass_rows_ = 0;              // this step's times
  double pass_s_ = 0, propose_s_ = 0;
};

absl::Status CheckPrompt(const Prompt& prompt, const ModelConfig& config, int32_t max_new_tokens) {
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
  if (length + max_new_tokens > config.max_position_embeddings) {
    return InputError("prompt ", prompt.key, ": ", length, " tokens and ", max_new_tokens,
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
    const int32_t max_new_tokens = request.max_new_tokens.value_or(options.max_new_tokens);
    HONE_RETURN_IF_ERROR(CheckPrompt(*request.prompt, config, max_new_tokens));
    const auto length = static_cast<int64_t>(request.prompt->tokens.size());
    // The last token drawn is never read.
    const int64_t pages = PagesFor(length + max_new_tokens - 1);
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

absl::Status Generator::UseDrafter(Drafter* drafter) {
  if (drafter != nullptr) HONE_RETURN_IF_ERROR(drafter->Attach(*model_, tokenizer_));
  drafter_ = drafter;
  planner_ = drafter_ == nullptr ? nullptr : std::make_unique<SpeculationPlanner>(*drafter_);
  return absl::OkStatus();
}

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
  Session session(*model_, tokenizer_, options, scheduling, {drafter_, planner_.get()}, receive, receive_token, stats_);
  return session.Run(requests, cancelled) ? absl::OkStatus() : absl::CancelledError("generation was cancelled");
}

}  // namespace hone
