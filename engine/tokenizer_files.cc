#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/tokenizer.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 40;  // of a token, in messages

}  // namespace

absl::Status Tokenizer::Save(const std::string& folder) const {
  for (const auto& [name, content] : files_) {
    const std::string path = absl::StrCat(folder, "/", name);
    HONE_RETURN_IF_ERROR(MakeFolder(path.substr(0, path.rfind('/'))));
    HONE_RETURN_IF_ERROR(WriteFile(path, content));
  }
  return absl::OkStatus();
}

std::string TokenDifference(const Tokenizer& tokenizer, const Tokenizer& other, absl::string_view whose) {
  for (TokenId token = 0; token < std::max(tokenizer.vocabulary_size(), other.vocabulary_size()); ++token) {
    if (tokenizer.TokenText(token) == other.TokenText(token)) continue;
    return absl::StrCat("token ", token, " is '", Visible(tokenizer.TokenText(token), kShownBytes), "', ", whose,
                        " is '", Visible(other.TokenText(token), kShownBytes), "'");
  }
  return "";
}

}  // namespace hone
