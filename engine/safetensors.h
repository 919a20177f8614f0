// The safetensors file format: 8 bytes header size, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
// https://github.com/huggingface/safetensors
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/base/status.h"

namespace hone {

enum class StorageType { kFloat32, kBfloat16, kFloat16 };

// A tensor to write; `values` gives its row-major numbers when its turn comes, so that a checkpoint never lies twice in memory.
struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::function<std::vector<float>()> values;
};

// Writes all tensors in the order given, rounded to `type`. Metadata {"format": "pt"} as transformers expects.
absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors, StorageType type);

// A read-only view of a file: the header is checked as a whole before anything is read (sizes, overlaps, bounds, names).
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  bool Has(const std::string& name) const { return entries_.count(name) > 0; }
  std::vector<std::string> names() const;
  // Row-major numbers as float32; an input error when the name is missing, the shape differs from `shape`, or a number is not
  // finite.
  absl::StatusOr<std::vector<float>> Read(const std::string& name, const std::vector<int64_t>& shape) const;

 private:
  struct Entry {
    StorageType type;
    std::vector<int64_t> shape;
    uint64_t begin;  // bytes from the start of the file
    uint64_t end;
  };
  absl::Status ParseHeader(const std::string& header, uint64_t data_begin, uint64_t file_size);

  std::string path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace hone
