#include "engine/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace hone {
namespace fs = std::filesystem;
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int value) : value_(value) {}
  ~FileDescriptor() {
    if (value_ >= 0) close(value_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// Makes a file's content, or a folder's entries, survive a power cut.
absl::Status Sync(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || fsync(file.get()) != 0) return WorkError(path, ": cannot sync: ", SystemError());
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return WorkError(to, ": cannot rename into place: ", SystemError());
  return Sync(ParentOf(to));
}

absl::Status WriteWhole(const std::string& path, absl::string_view content) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) return WorkError(path, ": cannot write: ", SystemError());
  while (!content.empty()) {
    const ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WorkError(path, ": cannot write: ", SystemError());
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(file.get()) != 0) return WorkError(path, ": cannot sync: ", SystemError());
  return absl::OkStatus();
}

}  // namespace

std::string SystemError() { return std::strerror(errno); }

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return InputError(path, ": cannot read: ", SystemError());
  struct stat info;
  if (fstat(file.get(), &info) != 0) return InputError(path, ": cannot read: ", SystemError());
  if (S_ISDIR(info.st_mode)) return InputError(path, ": is a folder, a file is wanted");
  std::string content;
  content.reserve(static_cast<size_t>(info.st_size) + 1);
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return InputError(path, ": cannot read: ", SystemError());
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  const std::string temporary = path + ".tmp";
  if (absl::Status status = WriteWhole(temporary, content); !status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return Rename(temporary, path);
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return WorkError(path, ": cannot make the folder: ", error.message());
  return absl::OkStatus();
}

FolderWriter::FolderWriter(const std::string& target) : target_(target), temporary_(target + ".tmp") {}

FolderWriter::FolderWriter(FolderWriter&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)) {
  other.temporary_.clear();
}

FolderWriter::~FolderWriter() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

absl::StatusOr<FolderWriter> FolderWriter::Begin(const std::string& target) {
  FolderWriter writer(target);
  std::error_code ignored;
  fs::remove_all(writer.temporary_, ignored);
  HONE_RETURN_IF_ERROR(MakeFolder(writer.temporary_));
  return writer;
}

absl::Status FolderWriter::Commit() {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(temporary_, error)) {
    HONE_RETURN_IF_ERROR(Sync(entry.path().string()));
  }
  if (error) return WorkError(temporary_, ": cannot list: ", error.message());
  fs::remove_all(target_, error);
  HONE_RETURN_IF_ERROR(Rename(temporary_, target_));
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace hone
