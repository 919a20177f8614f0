// The safetensors file format: 8 bytes header size, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
// https://github.com/huggingface/safetensors
//
// Nothing in a file is believed before it is checked; fuzzed by tests/fuzz/safetensors_fuzz.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/mapped_file.h"
#include "engine/base/status.h"
#include "engine/storage_type.h"

namespace hone {

// ---- Writing ----

// A tensor to write; `values` gives its row-major numbers when its turn comes, so that a checkpoint never lies twice in memory.
struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::function<std::vector<float>()> values;
};

// Writes all tensors in the order given, rounded to `type`. Metadata {"format": "pt"} as transformers expects. A file in a folder of
// FolderWriter appears whole with its folder; elsewhere a crash can leave a part of it.
absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors, StorageType type);

// ---- Reading ----

// A tensor inside the bytes of a file.
struct StoredTensor {
  StorageType type;
  std::vector<int64_t> shape;
  absl::string_view bytes;  // as many as shape and type want; not aligned
};

// All tensors of a file with this content; the views point into it. The header is checked as a whole: sizes, bounds, names, and that the
// tensors cover the data without gap or overlap, as the format demands. `path` is for messages.
absl::StatusOr<std::map<std::string, StoredTensor>> ParseSafetensors(const std::string& path,
                                                                     absl::string_view content);

// "weight_map" of a model.safetensors.index.json: tensor -> name of a file in the same folder.
absl::StatusOr<std::map<std::string, std::string>> ParseShardIndex(const std::string& path, absl::string_view content);

// The tensors of one file or of a folder, mapped into memory. Safe to read from several threads.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  // A model folder: model.safetensors, else the shards that model.safetensors.index.json names. A tensor that two shards hold, or that
  // is not where the index says, is an input error.
  static absl::StatusOr<SafetensorsFile> OpenFolder(const std::string& folder);

  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  std::vector<std::string> names() const;
  uint64_t data_bytes() const;
  // Whether every tensor of two dimensions is stored so.
  bool MatricesAre(StorageType type) const;

  // An input error when the name is missing or the shape differs from `shape`.
  absl::Status CheckShape(const std::string& name, const std::vector<int64_t>& shape) const;
  // Starts reading a tensor that Has from the disk.
  void Prefetch(const std::string& name) const;
  // Elements first .. first + count - 1 of a tensor that Has, in row-major order; an input error when one of them is not finite. Keeps none
  // of the file's pages in memory.
  absl::Status Read(const std::string& name, int64_t first, int64_t count, float* values) const;
  // CheckShape, then all of it.
  absl::StatusOr<std::vector<float>> Read(const std::string& name, const std::vector<int64_t>& shape) const;

  // The same type, shape and bytes.
  bool Equal(const std::string& a, const std::string& b) const;

  // For messages about a tensor that Has: its file and its name.
  std::string Where(const std::string& name) const;

 private:
  struct File {
    std::string path;
    MappedFile content;
  };
  struct Entry {
    StoredTensor tensor;
    size_t file;  // index into files_
  };
  absl::Status Add(const std::string& path);
  const Entry& EntryOf(const std::string& name) const;

  std::string path_;  // of the file, or of the folder
  std::vector<File> files_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace hone
