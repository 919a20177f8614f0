#include "engine/kv_cache.h"

#include "engine/huge_pages.h"

namespace hone {

KvCache::KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t page_count, LayerStorage storage)
    : page_count_(page_count) {
  const int64_t copies = storage == LayerStorage::kOneForAll ? 1 : layers;
  const int64_t floats = kernels::PageFloats(kv_heads, head_dim) * page_count;
  HugePageArena arena;
  for (int64_t layer = 0; layer < copies; ++layer) {
    Tensor keys = arena.Zeros(floats, at::kFloat), values = arena.Zeros(floats, at::kFloat);
    views_.push_back({keys.mutable_data_ptr<float>(), values.mutable_data_ptr<float>(), static_cast<int32_t>(kv_heads),
                      static_cast<int32_t>(head_dim)});
    memory_.push_back(std::move(keys));
    memory_.push_back(std::move(values));
  }
}

void KvCache::CopyPage(int32_t from, int32_t to, int32_t slots) const {
  for (const kernels::KvPages& view : views_) kernels::CopyPage(view, from, to, slots);
}

int64_t KvCache::PageBytes(int64_t layers, int64_t kv_heads, int64_t head_dim) {
  return 2 * layers * kernels::PageFloats(kv_heads, head_dim) * static_cast<int64_t>(sizeof(float));
}

}  // namespace hone
