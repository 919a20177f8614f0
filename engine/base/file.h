// Files that are whole or absent: what is written goes to a temporary name, is synced, then renamed.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

// The whole file. A missing file, a folder or an unreadable file is an input error that names the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces `path` by `content`; after a crash the old or the new content is there, never a part.
absl::Status WriteFile(const std::string& path, absl::string_view content);

// A folder that appears whole: fill path(), then Commit() syncs every file and renames it to the target. Without Commit
// the temporary folder is removed by the destructor. A folder left over by a crash is replaced.
class FolderWriter {
 public:
  static absl::StatusOr<FolderWriter> Begin(const std::string& target);
  FolderWriter(FolderWriter&& other) noexcept;
  FolderWriter& operator=(FolderWriter&&) = delete;
  ~FolderWriter();

  const std::string& path() const { return temporary_; }
  absl::Status Commit();

 private:
  explicit FolderWriter(const std::string& target);

  std::string target_;
  std::string temporary_;  // empty after Commit
};

// Creates a folder and its parents.
absl::Status MakeFolder(const std::string& path);

// "No space left on device" and the like, for the error number of the last system call.
std::string SystemError();

}  // namespace hone
