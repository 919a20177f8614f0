#include "engine/generator.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/slice.h>

#include <algorithm>
#include <list>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "engine/model/model.h"
#include "engine/tokenizer.h"
#include "kernels/logprob.h"

namespace hone {
namespace {

using kernels::kPageTokens;

// A prompt in the cache, from its first chunk until its last sample has started.
struct ActivePrompt {
  size_t request;
  const Prompt* prompt;
  int32_t samples;
  int32_t started = 0;  // samples started
  int32_t read = 0;     // tokens that went through the model
  std::vector<int32_t> pages;
  Tensor logits;  // [1, vocab] after the last token, once everything is read

  int32_t length() const { return static_cast<int32_t>(prompt->tokens.size()); }
  bool ready() const { return read == length(); }
};

struct ActiveSample {
  size_t request;
  SamplingKey key;
  int32_t prompt_length;
  std::vector<int32_t> pages;  // the prompt's shared pages, then its own
  int64_t promised_pages;      // its own pages not taken yet
  Sample sample;

  int32_t length() const { return prompt_length + static_cast<int32_t>(sample.tokens.size()); }
};

// One call of Run. Pages promised to admitted work are never given to others, so whatever was begun can end.
class Session {
 public:
  Session(const Model& model, const Tokenizer* tokenizer, const GeneratorLimits& limits,
          const GenerationOptions& options, int64_t page_count, const SampleReceiver& receive)
      : model_(model),
        config_(model.config()),
        tokenizer_(tokenizer),
        limits_(limits),
        options_(options),
        receive_(receive),
        cache_(config_.layers, config_.kv_heads, config_.head_dim, page_count, LayerStorage::kEachLayer),
        pool_(page_count) {}

  void Run(std::span<const GenerationRequest> requests, const std::function<bool()>& cancelled) {
    for (size_t next = 0;;) {
      next = AdmitPrompts(requests, next);
      if (prompts_.empty() && samples_.empty()) return;
      if (cancelled && cancelled()) return;
      Step();
      StartSamples();
    }
  }

 private:
  int64_t available_pages() const { return pool_.free_pages() - promised_; }

  // Pages of a sample's own: the rest of the prompt's last page, then its answer. The last token is never read back.
  int64_t OwnPages(int32_t prompt_length) const {
    const int32_t shared = prompt_length / kPageTokens;
    return PagesFor(prompt_length + options_.max_new_tokens - 1) - shared;
  }

  // Takes prompts in order while their pages and one sample's fit.
  size_t AdmitPrompts(std::span<const GenerationRequest> requests, size_t next) {
    int64_t waiting = 0;  // samples of prompts admitted and not started
    for (const ActivePrompt& prompt : prompts_) waiting += prompt.samples - prompt.started;
    while (next < requests.size() && waiting + static_cast<int64_t>(samples_.size()) < limits_.sequences) {
      const GenerationRequest& request = requests[next];
      const auto length = static_cast<int32_t>(request.prompt->tokens.size());
      const int64_t pages = PagesFor(length);
      if (request.samples > 0 && available_pages() < pages + OwnPages(length)) break;
      if (request.samples > 0) {
        ActivePrompt prompt{next, request.prompt, request.samples, 0, 0, {}, {}};
        for (int64_t page = 0; page < pages; ++page) prompt.pages.push_back(pool_.Take());
        promised_ += OwnPages(length);  // for its first sample
        prompts_.push_back(std::move(prompt));
        waiting += request.samples;
      }
      ++next;
    }
    return next;
  }

  // One pass through the model: every running sample's last token, then as much of the waiting prompts as fits.
  void Step() {
    ModelRows rows;
    std::vector<int64_t> wanted;  // rows whose logits are needed
    for (ActiveSample& sample : samples_) {
      AddRow(rows, sample.sample.tokens.back(), sample.length() - 1, sample.pages);
      wanted.push_back(static_cast<int64_t>(rows.tokens.size()) - 1);
    }
    std::vector<ActivePrompt*> finished;
    for (ActivePrompt& prompt : prompts_) {
      const auto room = static_cast<int32_t>(limits_.rows) - static_cast<int32_t>(rows.tokens.size());
      const int32_t end = std::min(prompt.length(), prompt.read + std::max(room, rows.tokens.empty() ? 1 : 0));
      if (prompt.ready() || end == prompt.read) continue;
      for (; prompt.read < end; ++prompt.read) {
        AddRow(rows, prompt.prompt->tokens[prompt.read], prompt.read, prompt.pages);
      }
      if (!prompt.ready()) continue;
      wanted.push_back(static_cast<int64_t>(rows.tokens.size()) - 1);
      finished.push_back(&prompt);
    }
    if (rows.tokens.empty()) return;  // only samples that wait for pages
    const Tensor hidden = model_.Forward(rows, cache_);
    if (wanted.empty()) return;
    const Tensor logits =
        ops::Logits(model_.pool(), ops::SelectRows(hidden, wanted), model_.head(), config_.vocab_size);
    const auto running = static_cast<int64_t>(samples_.size());
    for (size_t i = 0; i < finished.size(); ++i) {
      finished[i]->logits =
          at::slice(logits, 0, running + static_cast<int64_t>(i), running + static_cast<int64_t>(i) + 1);
    }
    if (running > 0) Extend(samples_, logits);
  }

  void AddRow(ModelRows& rows, TokenId token, int32_t position, const std::vector<int32_t>& pages) {
    const auto row = static_cast<int32_t>(rows.tokens.size());
    rows.tokens.push_back(token);
    rows.positions.push_back(position);
    rows.attention.writes.push_back({row, pages[position / kPageTokens], position % kPageTokens});
    rows.attention.rows.push_back({pages.data(), position});
  }

  // Starts samples of read prompts while places and pages last.
  void StartSamples() {
    std::list<ActiveSample> started;
    std::vector<int64_t> source;
    std::vector<Tensor> logits;
    for (ActivePrompt& prompt : prompts_) {
      if (!prompt.ready()) continue;
      while (prompt.started < prompt.samples && HasRoom(prompt, started.size())) {
        if (source.empty() || logits.back().data_ptr() != prompt.logits.data_ptr()) logits.push_back(prompt.logits);
        source.push_back(static_cast<int64_t>(logits.size()) - 1);
        started.push_back(Fork(prompt));
      }
    }
    if (!started.empty()) {
      Extend(started, ops::SelectRows(at::cat(logits, 0), source));
      samples_.splice(samples_.end(), started);
    }
    prompts_.remove_if([this](const ActivePrompt& prompt) {
      if (prompt.started < prompt.samples) return false;
      for (const int32_t page : prompt.pages) pool_.Release(page);
      return true;
    });
  }

  bool HasRoom(const ActivePrompt& prompt, size_t starting) const {
    if (samples_.size() + starting >= static_cast<size_t>(limits_.sequences)) return false;
    return prompt.started == 0 || available_pages() >= OwnPages(prompt.length());
  }

  // A sample that shares the prompt's full pages and owns a copy of the partly filled one.
  ActiveSample Fork(ActivePrompt& prompt) {
    ActiveSample sample{prompt.request,
                        {options_.seed, options_.step, prompt.prompt->key, static_cast<uint32_t>(prompt.started)},
                        prompt.length(),
                        {},
                        OwnPages(prompt.length()),
                        {}};
    if (prompt.started > 0) promised_ += sample.promised_pages;  // the first sample's were promised with the prompt
    sample.sample.index = prompt.started++;
    sample.sample.policy_version = options_.policy_version;
    const int32_t full = prompt.length() / kPageTokens, rest = prompt.length() % kPageTokens;
    for (int32_t i = 0; i < full; ++i) {
      pool_.Share(prompt.pages[i]);
      sample.pages.push_back(prompt.pages[i]);
    }
    if (rest > 0) {
      TakePage(sample);
      cache_.CopyPage(prompt.pages[full], sample.pages.back(), rest);
    }
    return sample;
  }

  void TakePage(ActiveSample& sample) {
    sample.pages.push_back(pool_.Take());
    --sample.promised_pages;
    --promised_;
  }

  // Draws the next token of every sample from its row of logits; finished samples leave the list.
  void Extend(std::list<ActiveSample>& samples, const Tensor& logits) {
    const auto count = static_cast<int64_t>(samples.size());
    const kernels::SamplingFilter filter{options_.temperature, options_.top_p, options_.top_k};
    const std::vector<kernels::SamplingFilter> filters(count, filter);
    std::vector<double> uniform;
    uniform.reserve(count);
    for (const ActiveSample& sample : samples) {
      uniform.push_back(SamplingUniform(sample.key, static_cast<uint32_t>(sample.sample.tokens.size())));
    }
    std::vector<TokenId> tokens(count);
    std::vector<float> logprobs(count);
    kernels::SampleTokens(model_.pool(), logits.const_data_ptr<float>(), count, config_.vocab_size, filters.data(),
                          uniform.data(), tokens.data(), logprobs.data());
    int64_t row = 0;
    for (auto sample = samples.begin(); sample != samples.end(); ++row) {
      sample->sample.tokens.push_back(tokens[row]);
      sample->sample.logprobs.push_back(logprobs[row]);
      if (Ends(*sample)) {
        Finish(*sample);
        sample = samples.erase(sample);
        continue;
      }
      // The token just drawn is written at the next pass, at position length - 1.
      if (PagesFor(sample->length()) > static_cast<int64_t>(sample->pages.size())) TakePage(*sample);
      ++sample;
    }
  }

  bool Ends(ActiveSample& sample) const {
    sample.sample.finish_reason = FinishReason::kStop;
    const std::vector<TokenId>& ends = config_.end_tokens;
    const bool ended = std::find(ends.begin(), ends.end(), sample.sample.tokens.back()) != ends.end();
    if (ended && !options_.ignore_end_tokens) return true;
    if (!options_.stop.empty() && HitsStopText(sample.sample.tokens)) return true;
    sample.sample.finish_reason = FinishReason::kLength;
    return static_cast<int32_t>(sample.sample.tokens.size()) >= options_.max_new_tokens;
  }

  bool HitsStopText(const std::vector<TokenId>& tokens) const {
    const auto text = tokenizer_->Decode(tokens);
    if (!text.ok()) return false;
    return std::any_of(options_.stop.begin(), options_.stop.end(),
                       [&](const std::string& stop) { return text->find(stop) != std::string::npos; });
  }

  void Finish(ActiveSample& sample) {
    for (const int32_t page : sample.pages) pool_.Release(page);
    promised_ -= sample.promised_pages;
    receive_(sample.request, std::move(sample.sample));
  }

  const Model& model_;
  const ModelConfig& config_;
  const Tokenizer* tokenizer_;
  const GeneratorLimits& limits_;
  const GenerationOptions& options_;
  const SampleReceiver& receive_;
  KvCache cache_;
  PagePool pool_;
  int64_t promised_ = 0;  // pages promised to admitted work and not taken yet
  std::list<ActivePrompt> prompts_;
  std::list<ActiveSample> samples_;
};

absl::Status CheckPrompt(const Prompt& prompt, const ModelConfig& config, const GenerationOptions& options) {
  const auto length = static_cast<int64_t>(prompt.tokens.size());
  if (length == 0) return InputError("prompt ", prompt.key, " has no tokens; give it at least one");
  for (const TokenId token : prompt.tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InputError("prompt ", prompt.key, ": token ", token, " is outside the vocabulary of ", config.vocab_size);
    }
  }
  if (length + options.max_new_tokens > config.max_position_embeddings) {
    return InputError("prompt ", prompt.key, ": ", length, " tokens and ", options.max_new_tokens,
                      " new ones exceed the model's ", config.max_position_embeddings,
                      " positions; shorten the prompt or lower max_new_tokens");
  }
  return absl::OkStatus();
}

}  // namespace

Generator::Generator(const Model* model, const Tokenizer* tokenizer, GeneratorLimits limits)
    : model_(model), tokenizer_(tokenizer), limits_(limits) {}

absl::Status Generator::Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                            const SampleReceiver& receive, const std::function<bool()>& cancelled) {
  HONE_CHECK(options.stop.empty() || tokenizer_ != nullptr);
  const ModelConfig& config = model_->config();
  if (options.max_new_tokens < 1)
    return InputError("max_new_tokens is ", options.max_new_tokens, ", wanted at least 1");
  int64_t largest = 0, total = 0;
  for (const GenerationRequest& request : requests) {
    HONE_RETURN_IF_ERROR(CheckPrompt(*request.prompt, config, options));
    const auto length = static_cast<int64_t>(request.prompt->tokens.size());
    const int64_t sequence = PagesFor(length) + PagesFor(length + options.max_new_tokens) - length / kPageTokens;
    largest = std::max(largest, sequence);
    total += PagesFor(length) + request.samples * (PagesFor(length + options.max_new_tokens) - length / kPageTokens);
  }
  const int64_t budget = limits_.kv_bytes / config.kv_page_bytes();
  if (largest > budget) {
    return InputError("one sequence needs ", largest * config.kv_page_bytes(),
                      " bytes for keys and values, the budget is ", limits_.kv_bytes,
                      "; raise it or lower max_new_tokens");
  }
  const at::NoGradGuard no_gradient;
  Session session(*model_, tokenizer_, limits_, options, std::min(budget, total), receive);
  session.Run(requests, cancelled);
  if (cancelled && cancelled()) return absl::CancelledError("generation was cancelled");
  return absl::OkStatus();
}

}  // namespace hone
