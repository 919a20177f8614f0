// Memory for what lives long and is read whole in every pass: weights, keys and values. In pages of 2 MiB a processor looks up far
// fewer addresses than in pages of 4 KiB, which is what limits a small batch otherwise (Linux, Documentation/admin-guide/mm/transhuge.rst).
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/tensor.h"

namespace hone {

// Hands out pieces of large mappings, one after the other; a mapping goes when the arena and every tensor of it are gone. Where the
// system gives no huge pages the memory is of ordinary ones. Untouched memory costs nothing. Not thread-safe.
class HugePageArena {
 public:
  // Zeros, flat [count], aligned to 64 bytes.
  Tensor Zeros(int64_t count, at::ScalarType type);

 private:
  struct Mapping;
  std::shared_ptr<Mapping> mapping_;
  int64_t used_ = 0;
};

}  // namespace hone
