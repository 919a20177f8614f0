#include "engine/huge_pages.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <sys/mman.h>

#include <algorithm>

namespace hone {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
// Address space of a mapping; what no tensor uses is never touched.
constexpr int64_t kMappingBytes = int64_t{64} << 20;
// Smaller ones share their page with whatever malloc puts there: tiny models stay tiny.
constexpr int64_t kLeastBytes = int64_t{64} << 10;
constexpr int64_t kAlignment = 64;

int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace

struct HugePageArena::Mapping {
  explicit Mapping(int64_t bytes) : whole_bytes(bytes + kHugePage) {
    whole = mmap(nullptr, whole_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (whole == MAP_FAILED) return;
    begin = reinterpret_cast<char*>(RoundUp(reinterpret_cast<int64_t>(whole), kHugePage));
    end = begin + bytes;
    madvise(begin, bytes, MADV_HUGEPAGE);  // only advice: a refusal changes nothing
  }
  ~Mapping() {
    if (whole != MAP_FAILED) munmap(whole, whole_bytes);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void* whole;
  int64_t whole_bytes;
  char *begin = nullptr, *end = nullptr;  // null: the system gave none
};

Tensor HugePageArena::Zeros(int64_t count, at::ScalarType type) {
  const int64_t bytes = RoundUp(count * static_cast<int64_t>(at::elementSize(type)), kAlignment);
  if (bytes < kLeastBytes) return at::zeros({count}, type);
  if (mapping_ == nullptr || mapping_->end - mapping_->begin - used_ < bytes) {
    mapping_ = std::make_shared<Mapping>(RoundUp(std::max(bytes, kMappingBytes), kHugePage));
    used_ = 0;
  }
  if (mapping_->begin == nullptr) return at::zeros({count}, type);  // whose error is the one that users know
  char* data = mapping_->begin + used_;
  used_ += bytes;
  return at::from_blob(
      data, {count}, [mapping = mapping_](void*) {}, at::TensorOptions(type));
}

}  // namespace hone
