#include "engine/sequence_classifier.h"

#include <ATen/core/grad_mode.h>

#include <numeric>

#include "absl/memory/memory.h"
#include "engine/base/tensor.h"

namespace hone {
namespace {

using kernels::kPageTokens;

// Tokens that the model reads: those up to the one whose hidden state counts. A text of pad tokens alone keeps its first.
int64_t CountRead(const std::vector<TokenId>& tokens, TokenId pad_token) {
  auto count = static_cast<int64_t>(tokens.size());
  while (count > 1 && tokens[count - 1] == pad_token) --count;
  return count;
}

absl::Status CheckTokens(const std::vector<TokenId>& tokens, const ModelConfig& config) {
  if (tokens.empty()) return InputError("the text has no tokens");
  if (static_cast<int64_t>(tokens.size()) > config.max_position_embeddings) {
    return InputError("the text has ", tokens.size(), " tokens, the model has ", config.max_position_embeddings,
                      " positions");
  }
  for (const TokenId token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InputError("token ", token, " is outside the vocabulary of ", config.vocab_size);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SequenceClassifier>> SequenceClassifier::Load(const std::string& folder,
                                                                             ThreadPool* pool) {
  HONE_ASSIGN_OR_RETURN(ScoreModel model, LoadScoreModel(folder, pool, MatrixStorage::kExact));
  return absl::WrapUnique(new SequenceClassifier(std::move(model)));
}

absl::StatusOr<double> SequenceClassifier::Score(const std::vector<TokenId>& tokens) const {
  const at::NoGradGuard no_gradient;
  const ModelConfig& config = model_.body->config();
  HONE_RETURN_IF_ERROR(CheckTokens(tokens, config));
  const int64_t count = CountRead(tokens, config.pad_token);
  std::vector<int32_t> pages(PagesFor(count));
  std::iota(pages.begin(), pages.end(), 0);
  ModelRows rows;
  for (int32_t i = 0; i < count; ++i) {
    rows.tokens.push_back(tokens[i]);
    rows.positions.push_back(i);
    rows.attention.writes.push_back({i, pages[i / kPageTokens], i % kPageTokens});
    rows.attention.rows.push_back({pages.data(), i});
  }
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, PagesFor(count), LayerStorage::kOneForAll);
  const Tensor hidden = model_.body->Forward(rows, cache);
  const float* last = hidden.const_data_ptr<float>() + (count - 1) * config.hidden_size;
  return std::inner_product(last, last + config.hidden_size, model_.score_weights.begin(), 0.0);
}

}  // namespace hone
