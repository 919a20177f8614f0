// A small model of the policy's vocabulary that runs ahead of it, with keys and values of its own: "Fast Inference from
// Transformers via Speculative Decoding", https://arxiv.org/abs/2211.17192. It draws with the random number that the policy will
// draw with, so that two distributions that are alike mostly draw the same token. Its head may be cut to the tokens that answers
// are made of (FR-Spec, https://arxiv.org/abs/2502.14856): of a small model with a large vocabulary the head is the larger part.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "engine/checkpoint.h"
#include "engine/drafter.h"
#include "engine/huge_pages.h"
#include "engine/page_pool.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

using kernels::kPageTokens;

constexpr int64_t kRowsPerPass = 1024;
constexpr char kTokensFile[] = "draft_tokens.json";

struct DraftModelOptions {
  std::string path;
  int32_t max_tokens = 8;
  int64_t head_tokens = 8192;
  int64_t kv_mb = 256;
  bool distill = false;
  bool reward_weighted = true;
};

// A sample's state in the draft model.
struct Runner {
  std::vector<int32_t> pages;
  std::vector<TokenId> computed;  // what the pages hold, drafted tokens included
};

class DraftModelDrafter : public Drafter {
 public:
  explicit DraftModelDrafter(DraftModelOptions options) : options_(std::move(options)) {}

  DraftCost cost() const override { return DraftCost::kModelPass; }
  double relative_cost() const override { return relative_cost_; }

  absl::Status Attach(const Model& policy, const Tokenizer* tokenizer) override {
    // Drafts need no exactness: half the memory traffic, unless the weights are trained.
    const MatrixStorage storage = options_.distill ? MatrixStorage::kFloat32 : MatrixStorage::kBfloat16;
    HONE_ASSIGN_OR_RETURN(model_, LoadModel(options_.path, &policy.pool(), storage));
    const ModelConfig& config = model_->config();
    if (config.vocab_size != policy.config().vocab_size) {
      return InputError("draft_model: ", options_.path, " has a vocabulary of ", config.vocab_size, ", the model has ",
                        policy.config().vocab_size, "; a draft model must share the model's tokenizer");
    }
    if (tokenizer != nullptr) HONE_RETURN_IF_ERROR(CheckTokenizer(*tokenizer));
    HONE_RETURN_IF_ERROR(CutHead());
    const auto bytes = [](const Model& model) {
      double sum = 0;
      for (const Parameter& parameter : model.parameters()) sum += static_cast<double>(parameter.value.nbytes());
      return sum;
    };
    const double cut = head_ids_.empty() ? 0 : static_cast<double>(model_->head().nbytes() - head_.nbytes());
    relative_cost_ = (bytes(*model_) - cut) / bytes(policy);
    return absl::OkStatus();
  }

  void Begin(const kernels::SamplingFilter& filter) override {
    const ModelConfig& config = model_->config();
    const int64_t pages = std::max<int64_t>(1, (options_.kv_mb << 20) / config.kv_page_bytes());
    filter_ = filter;
    runners_.clear();
    pool_.emplace(pages);  // the weights may have changed: what the pages hold is void
    if (!cache_) cache_.emplace(config.layers, config.kv_heads, config.head_dim, pages, LayerStorage::kEachLayer);
  }

  void Propose(std::span<DraftRequest*> requests) override {
    const at::NoGradGuard no_gradient;
    active_.clear();
    for (DraftRequest* request : requests) {
      const auto length = static_cast<int64_t>(request->prompt->tokens.size() + request->tokens->size());
      const int64_t most = std::min({request->most, options_.max_tokens,
                                     model_->config().max_position_embeddings - static_cast<int32_t>(length)});
      Runner& runner = runners_[request->sequence];
      if (most < 1) continue;
      if (TakePages(*request->prompt, runner, length + most - 1)) {
        active_.push_back({request, &runner, static_cast<int32_t>(most)});
      } else if (!warned_) {
        warned_ = true;
        warning_ = absl::StrCat("draft_model: its keys and values fill kv_mb=", options_.kv_mb,
                                "; samples beyond them are decoded plainly");
      }
    }
    for (Active& each : active_) {
      ReturnToText(each);
      const size_t length = each.request->prompt->tokens.size() + each.request->tokens->size();
      each.request->read = static_cast<int64_t>(length - each.runner->computed.size());
    }
    while (!active_.empty()) {
      Advance();
      std::erase_if(active_,
                    [](const Active& each) { return static_cast<int32_t>(each.request->draft.size()) >= each.most; });
    }
  }

  void Finish(uint64_t sequence) override {
    const auto runner = runners_.find(sequence);
    if (runner == runners_.end()) return;
    for (auto page = runner->second.pages.rbegin(); page != runner->second.pages.rend(); ++page) pool_->Release(*page);
    runners_.erase(runner);
  }

  std::string TakeWarning() override { return std::exchange(warning_, ""); }

  DraftTarget upkeep() override {
    return {options_.distill ? model_.get() : nullptr, head_ids_, options_.reward_weighted};
  }

 private:
  struct Active {
    DraftRequest* request;
    Runner* runner;
    int32_t most;
  };

  absl::Status CheckTokenizer(const Tokenizer& tokenizer) const {
    HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> own, LoadTokenizer(options_.path));
    const std::string difference = TokenDifference(*own, tokenizer, "the model's");
    if (difference.empty()) return absl::OkStatus();
    return InputError("draft_model: ", options_.path, ": ", difference,
                      "; a draft model must share the model's tokenizer");
  }

  // Reads which tokens the head keeps; without the file it keeps all.
  absl::Status CutHead() {
    const ModelConfig& config = model_->config();
    const std::string path = options_.path + "/" + kTokensFile;
    std::ifstream file(path);
    if (!file || options_.head_tokens == 0 || options_.head_tokens >= config.vocab_size) return absl::OkStatus();
    const nlohmann::json list = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (!list.is_array() || list.empty()) return InputError(path, ": wanted an array of token numbers");
    for (const nlohmann::json& token : list) {
      if (!token.is_number_integer() || token.get<int64_t>() < 0 || token.get<int64_t>() >= config.vocab_size) {
        return InputError(path, ": ", token.dump(), " is no token of a vocabulary of ", config.vocab_size);
      }
      if (static_cast<int64_t>(head_ids_.size()) < options_.head_tokens) head_ids_.push_back(token.get<TokenId>());
    }
    // In the order of their numbers, as the sampler inverts its distribution.
    std::sort(head_ids_.begin(), head_ids_.end());
    head_ids_.erase(std::unique(head_ids_.begin(), head_ids_.end()), head_ids_.end());
    const auto count = static_cast<int64_t>(head_ids_.size());
    const int64_t width = config.hidden_size;
    const Tensor rows = ops::Embedding(model_->pool(), model_->head(), width, head_ids_);
    Parameter head{"",
                   {count, width},
                   WeightLayout::kPacked,
                   HugePageArena().Zeros(kernels::PackedSize(count, width), model_->head().scalar_type())};
    AssignPlainWeights(head, rows.const_data_ptr<float>(), head.value);
    head_ = head.value;
    return absl::OkStatus();
  }

  // Pages for so many tokens; false: memory is full. The full pages of a prompt are computed once for its group: whoever comes
  // first writes them before the others read.
  bool TakePages(const Prompt& prompt, Runner& runner, int64_t tokens) {
    const auto full = static_cast<int64_t>(prompt.tokens.size()) / kPageTokens;
    const bool is_new = runner.pages.empty();
    PrefixId prefix = kNoTokens;
    int64_t shared = 0;
    for (; is_new && shared < full; ++shared) {
      const PagePool::Found found = pool_->Find(prefix, PageOf(prompt, shared));
      if (found.page < 0) break;
      pool_->Share(found.page);
      runner.pages.push_back(found.page);
      prefix = found.prefix;
    }
    if (is_new) runner.computed.assign(prompt.tokens.begin(), prompt.tokens.begin() + shared * kPageTokens);
    while (static_cast<int64_t>(runner.pages.size()) < PagesFor(tokens)) {
      if (pool_->free_pages() == 0) return false;
      runner.pages.push_back(pool_->Take());
    }
    for (; is_new && shared < full; ++shared)
      prefix = pool_->Publish(runner.pages[shared], prefix, PageOf(prompt, shared));
    return true;
  }

  static PageTokens PageOf(const Prompt& prompt, int64_t page) {
    PageTokens tokens;
    std::copy_n(prompt.tokens.begin() + page * kPageTokens, kPageTokens, tokens.begin());
    return tokens;
  }

  static TokenId TextAt(const DraftRequest& request, size_t position) {
    const size_t prompt = request.prompt->tokens.size(), drawn = request.tokens->size();
    if (position < prompt) return request.prompt->tokens[position];
    return position < prompt + drawn ? (*request.tokens)[position - prompt]
                                     : request.draft[position - prompt - drawn].token;
  }

  // Forgets drafted tokens that were refuted.
  static void ReturnToText(const Active& each) {
    std::vector<TokenId>& computed = each.runner->computed;
    const size_t length = each.request->prompt->tokens.size() + each.request->tokens->size();
    computed.resize(std::min(computed.size(), length - 1));  // the last token's hidden state is wanted
    size_t same = std::min(computed.size(), each.request->prompt->tokens.size());
    while (same < computed.size() && computed[same] == TextAt(*each.request, same)) ++same;
    computed.resize(same);
  }

  // Brings every active sample to its end and draws its next token; long texts take several passes.
  void Advance() {
    std::vector<Active*> ended;
    std::vector<int64_t> last_rows;
    std::vector<Tensor> hidden;
    for (size_t next = 0; next < active_.size();) {
      ModelRows rows;
      last_rows.clear();
      ended.clear();
      while (next < active_.size() && static_cast<int64_t>(rows.tokens.size()) < kRowsPerPass) {
        Active& each = active_[next];
        if (!AddRows(each, rows)) break;
        last_rows.push_back(static_cast<int64_t>(rows.tokens.size()) - 1);
        ended.push_back(&each);
        ++next;
      }
      Draw(ops::SelectRows(model_->Forward(rows, *cache_), last_rows.empty() ? std::vector<int64_t>{0} : last_rows),
           ended);
    }
  }

  // False: its end was not reached.
  bool AddRows(Active& each, ModelRows& rows) {
    std::vector<TokenId>& computed = each.runner->computed;
    const size_t length =
        each.request->prompt->tokens.size() + each.request->tokens->size() + each.request->draft.size();
    while (computed.size() < length) {
      if (static_cast<int64_t>(rows.tokens.size()) >= kRowsPerPass) return false;
      const auto position = static_cast<int32_t>(computed.size());
      const auto row = static_cast<int32_t>(rows.tokens.size());
      rows.tokens.push_back(TextAt(*each.request, position));
      rows.positions.push_back(position);
      rows.attention.writes.push_back({row, each.runner->pages[position / kPageTokens], position % kPageTokens});
      rows.attention.rows.push_back({each.runner->pages.data(), position});
      computed.push_back(rows.tokens.back());
    }
    return true;
  }

  void Draw(const Tensor& hidden, const std::vector<Active*>& ended) {
    if (ended.empty()) return;
    const bool cut = !head_ids_.empty();
    const int64_t size = cut ? static_cast<int64_t>(head_ids_.size()) : model_->config().vocab_size;
    const Tensor logits = ops::Logits(model_->pool(), hidden, cut ? head_ : model_->head(), size);
    std::vector<double> uniform;
    for (const Active* each : ended) {
      const DraftRequest& request = *each->request;
      uniform.push_back(
          SamplingUniform(request.key, static_cast<uint32_t>(request.tokens->size() + request.draft.size())));
    }
    const std::vector<kernels::SamplingFilter> filters(ended.size(), filter_);
    std::vector<TokenId> tokens(ended.size());
    std::vector<float> logprobs(ended.size());
    kernels::SampleTokens(model_->pool(), logits.const_data_ptr<float>(), static_cast<int64_t>(ended.size()), size,
                          filters.data(), uniform.data(), tokens.data(), logprobs.data());
    for (size_t i = 0; i < ended.size(); ++i) {
      ended[i]->request->draft.push_back({cut ? head_ids_[tokens[i]] : tokens[i], std::exp(logprobs[i])});
    }
  }

  const DraftModelOptions options_;
  std::unique_ptr<Model> model_;
  std::vector<TokenId> head_ids_;  // empty: the whole head
  Tensor head_;
  double relative_cost_ = 0;
  kernels::SamplingFilter filter_;
  std::optional<KvCache> cache_;
  std::optional<PagePool> pool_;
  std::unordered_map<uint64_t, Runner> runners_;
  std::vector<Active> active_;
  std::string warning_;
  bool warned_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Drafter>> NewDraftModelDrafter(Spec& spec) {
  DraftModelOptions options;
  options.path = spec.Text("path", "");
  // Each is a pass of the draft model; the planner mostly wants fewer.
  options.max_tokens = static_cast<int32_t>(spec.Int("max_tokens", options.max_tokens, 1, 64));
  options.head_tokens = spec.Int("head_tokens", options.head_tokens, 0, 1 << 24);
  options.kv_mb = spec.Int("kv_mb", options.kv_mb, 1, 1 << 20);
  options.distill = spec.Bool("distill", options.distill);
  options.reward_weighted = spec.Bool("reward_weighted", options.reward_weighted);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.path.empty()) {
    return InputError("draft_model: no option 'path'; name the folder of a small model: draft_model(path=DIR)");
  }
  return std::make_unique<DraftModelDrafter>(std::move(options));
}

}  // namespace hone
