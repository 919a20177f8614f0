// The memory of paged keys and values, every layer's, https://arxiv.org/abs/2309.06180. Who uses which page is
// page_pool.h.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/tensor.h"
#include "kernels/attention.h"

namespace hone {

enum class LayerStorage {
  kEachLayer,  // generation: every layer keeps its keys and values
  kOneForAll,  // training and scoring: a layer's pages are dead once the layer is done, so all layers use the same
};

// Owns the memory; knows nothing of who uses which page.
class KvCache {
 public:
  KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t page_count, LayerStorage storage);

  const kernels::KvPages& layer(int64_t index) const { return views_[views_.size() == 1 ? 0 : index]; }
  int64_t page_count() const { return page_count_; }
  // The first `slots` tokens of a page, in every layer.
  void CopyPage(int32_t from, int32_t to, int32_t slots) const;

  // Bytes of one page in all layers.
  static int64_t PageBytes(int64_t layers, int64_t kv_heads, int64_t head_dim);

 private:
  int64_t page_count_;
  std::vector<Tensor> memory_;
  std::vector<kernels::KvPages> views_;
};

// Pages that hold `tokens` tokens.
constexpr int64_t PagesFor(int64_t tokens) { return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens; }

}  // namespace hone
