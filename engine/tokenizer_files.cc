#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/tokenizer.h"

namespace hone {

absl::Status Tokenizer::Save(const std::string& folder) const {
  for (const auto& [name, content] : files_) {
    const std::string path = absl::StrCat(folder, "/", name);
    HONE_RETURN_IF_ERROR(MakeFolder(path.substr(0, path.rfind('/'))));
    HONE_RETURN_IF_ERROR(WriteFile(path, content));
  }
  return absl::OkStatus();
}

}  // namespace hone
