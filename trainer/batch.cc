#include "trainer/batch.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/tensor.h"

namespace hone {
namespace {

using kernels::kPageTokens;

// Fills one PackedBatch.
class Packer {
 public:
  bool empty() const { return batch_.samples.empty(); }
  int64_t rows() const { return static_cast<int64_t>(batch_.rows.tokens.size()); }

  void BeginPrompt(const std::vector<TokenId>& prompt) {
    HONE_CHECK(!prompt.empty());
    prompt_ = &prompt;
    prompt_first_row_ = static_cast<int32_t>(rows());
    prompt_segment_ = static_cast<int32_t>(Segments().size());
    prompt_pages_ = TakePages(0, static_cast<int32_t>(prompt.size()), {});
    Segments().push_back({prompt_first_row_, static_cast<int32_t>(prompt.size()), -1});
    for (size_t i = 0; i < prompt.size(); ++i) AddRow(prompt[i], static_cast<int32_t>(i), prompt_pages_);
  }

  void AddSample(const TrainSample& sample) {
    const std::vector<TokenId>& tokens = *sample.tokens;
    HONE_CHECK(!tokens.empty());
    const auto length = static_cast<int32_t>(prompt_->size());
    const int32_t full = length / kPageTokens;
    // The last token predicts nothing that is trained, so it needs no row.
    const auto own_rows = static_cast<int32_t>(tokens.size()) - 1;
    const auto first_row = static_cast<int32_t>(rows());
    if (own_rows > 0) {
      const std::vector<int32_t>& prompt_pages = batch_.page_tables[prompt_pages_];
      const size_t pages = TakePages(full, length + own_rows, {prompt_pages.begin(), prompt_pages.begin() + full});
      // The prompt's partly filled page is written once more, as the beginning of the sample's own first page.
      for (int32_t position = full * kPageTokens; position < length; ++position) {
        AddWrite(prompt_first_row_ + position, position, pages);
      }
      Segments().push_back({first_row, own_rows, prompt_segment_});
      for (int32_t i = 0; i < own_rows; ++i) AddRow(tokens[i], length + i, pages);
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      batch_.target_rows.push_back(i == 0 ? prompt_first_row_ + length - 1 : first_row + static_cast<int64_t>(i) - 1);
      batch_.targets.push_back(tokens[i]);
    }
    batch_.samples.push_back(&sample);
  }

  PackedBatch Finish() {
    PackedBatch finished = std::move(batch_);
    batch_ = {};
    return finished;
  }

 private:
  std::vector<kernels::AttentionSegment>& Segments() { return batch_.rows.attention.segments; }

  // A page table that begins with `shared` and has new pages up to position `end`.
  size_t TakePages(int32_t first, int32_t end, std::vector<int32_t> shared) {
    for (int64_t page = first; page < PagesFor(end); ++page)
      shared.push_back(static_cast<int32_t>(batch_.page_count++));
    batch_.page_tables.push_back(std::move(shared));
    return batch_.page_tables.size() - 1;
  }

  void AddWrite(int32_t row, int32_t position, size_t pages) {
    batch_.rows.attention.writes.push_back(
        {row, batch_.page_tables[pages][position / kPageTokens], position % kPageTokens});
  }

  void AddRow(TokenId token, int32_t position, size_t pages) {
    AddWrite(static_cast<int32_t>(rows()), position, pages);
    batch_.rows.attention.rows.push_back({batch_.page_tables[pages].data(), position});
    batch_.rows.tokens.push_back(token);
    batch_.rows.positions.push_back(position);
  }

  PackedBatch batch_;
  const std::vector<TokenId>* prompt_ = nullptr;
  int32_t prompt_first_row_ = 0;
  int32_t prompt_segment_ = 0;
  size_t prompt_pages_ = 0;
};

}  // namespace

std::vector<PackedBatch> PackGroups(std::span<const TrainGroup> groups, int64_t token_budget, size_t samples_together) {
  std::vector<PackedBatch> batches;
  Packer packer;
  for (const TrainGroup& group : groups) {
    bool begun = false;
    HONE_CHECK(group.samples.size() % samples_together == 0);
    for (size_t first = 0; first < group.samples.size(); first += samples_together) {
      const std::span<const TrainSample> unit(group.samples.data() + first, samples_together);
      auto needed = static_cast<int64_t>(begun ? 0 : group.prompt->size());
      for (const TrainSample& sample : unit) needed += static_cast<int64_t>(sample.tokens->size()) - 1;
      if (!packer.empty() && packer.rows() + needed > token_budget) {
        batches.push_back(packer.Finish());
        begun = false;
      }
      if (!begun) packer.BeginPrompt(*group.prompt);
      begun = true;
      for (const TrainSample& sample : unit) packer.AddSample(sample);
    }
  }
  if (!packer.empty()) batches.push_back(packer.Finish());
  return batches;
}

std::vector<float> ScoreGroups(const Model& model, std::span<const TrainGroup> groups, int64_t token_budget) {
  const at::NoGradGuard no_gradient;
  const ModelConfig& config = model.config();
  std::vector<float> logprobs;
  for (const PackedBatch& batch : PackGroups(groups, token_budget)) {
    const KvCache cache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
    const Tensor hidden = ops::SelectRows(model.Forward(batch.rows, cache), batch.target_rows);
    Tensor entropy, log_sum_exp;
    const Tensor scored =
        ops::TokenLogprob(model.pool(), hidden, model.head(), config.vocab_size, batch.targets, entropy, log_sum_exp);
    const float* values = scored.const_data_ptr<float>();
    logprobs.insert(logprobs.end(), values, values + scored.numel());
  }
  return logprobs;
}

}  // namespace hone
