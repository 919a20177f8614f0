// A file as memory, read-only: its pages come from the disk when they are touched, and the system's file cache is the only copy.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

// The bytes hold still as long as nobody writes to the file: replace a file by renaming another over it, as WriteFile does; the mapping
// then keeps the old one. A file that somebody cuts short after Open takes the process down with SIGBUS when the lost part is read.
class MappedFile {
 public:
  // A missing file, a folder or an unreadable file is an input error that names the path.
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Valid until the destructor, also after a move of this object.
  absl::string_view bytes() const { return {data_, size_}; }

  // Asks the system to start reading a part of bytes() from the disk.
  void Prefetch(absl::string_view part) const;
  // The process stops counting the part's pages as its memory; touched again, they come back.
  void Release(absl::string_view part) const;

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}
  void Advise(absl::string_view part, int advice) const;

  const char* data_ = nullptr;  // null for an empty file
  size_t size_ = 0;
};

}  // namespace hone
