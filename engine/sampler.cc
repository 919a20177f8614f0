#include "engine/sampler.h"

#include <algorithm>

#include "engine/base/tensor.h"
#include "engine/ops.h"

namespace hone {
namespace {

constexpr int64_t kLogitBytes = int64_t{32} << 20;

}  // namespace

void Sampler::Sample(const Tensor& hidden, const std::vector<Draw>& draws, std::vector<TokenId>& tokens,
                     std::vector<float>& logprobs) {
  const int64_t vocab = model_.config().vocab_size, count = static_cast<int64_t>(draws.size());
  tokens.resize(count);
  logprobs.resize(count);
  filters_.assign(draws.size(), filter_);
  for (size_t i = 0; i < draws.size(); ++i) filters_[i].temperature = draws[i].temperature;
  uniform_.clear();
  for (const Draw& draw : draws) uniform_.push_back(SamplingUniform(draw.key, draw.position));
  const int64_t most = std::max<int64_t>(1, kLogitBytes / (vocab * static_cast<int64_t>(sizeof(float))));
  std::vector<int64_t> rows, sources;  // rows of `hidden`, each once; which of them each draw takes
  for (int64_t first = 0; first < count; first += most) {
    const int64_t end = std::min(count, first + most);
    rows.clear();
    sources.clear();
    for (int64_t i = first; i < end; ++i) {
      if (rows.empty() || rows.back() != draws[i].row) rows.push_back(draws[i].row);
      sources.push_back(static_cast<int64_t>(rows.size()) - 1);
    }
    Tensor logits = ops::Logits(model_.pool(), ops::SelectRows(hidden, rows), model_.head(), vocab);
    if (rows.size() < sources.size()) logits = ops::SelectRows(logits, sources);
    kernels::SampleTokens(model_.pool(), logits.const_data_ptr<float>(), end - first, vocab, filters_.data() + first,
                          uniform_.data() + first, tokens.data() + first, logprobs.data() + first);
  }
}

}  // namespace hone
