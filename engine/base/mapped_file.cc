#include "engine/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "engine/base/file.h"

namespace hone {

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // A pipe would wait for its writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return InputError(path, ": cannot read: ", SystemError());
  struct stat info;
  absl::StatusOr<MappedFile> mapped = MappedFile(nullptr, 0);
  if (fstat(file, &info) != 0) {
    mapped = InputError(path, ": cannot read: ", SystemError());
  } else if (!S_ISREG(info.st_mode)) {
    mapped = InputError(path, ": is a folder or a device, a file is wanted");
  } else if (info.st_size > 0) {
    const size_t size = static_cast<size_t>(info.st_size);
    void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    mapped = data == MAP_FAILED ? absl::StatusOr<MappedFile>(InputError(path, ": cannot map: ", SystemError()))
                                : MappedFile(static_cast<const char*>(data), size);
  }
  close(file);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

void MappedFile::Advise(absl::string_view part, int advice) const {
  if (part.empty()) return;
  static const uintptr_t page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(part.data()) / page_bytes * page_bytes;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, advice);  // only advice: a refusal changes nothing
}

void MappedFile::Prefetch(absl::string_view part) const { Advise(part, MADV_WILLNEED); }

void MappedFile::Release(absl::string_view part) const { Advise(part, MADV_DONTNEED); }

}  // namespace hone
