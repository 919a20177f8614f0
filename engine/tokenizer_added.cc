#include "engine/tokenizer_added.h"

#include <algorithm>
#include <functional>

#include "engine/base/text.h"
#include "engine/tokenizer_unicode.h"

namespace hone {
namespace {

size_t SpaceBefore(absl::string_view text, size_t at) {
  while (at > 0 && IsSpace(LastCharacter(text.substr(0, at)))) {
    do {
      --at;
    } while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  }
  return at;
}

size_t SpaceBehind(absl::string_view text, size_t at) {
  while (at < text.size() && IsSpace(FirstCharacter(text.substr(at)))) at += ReadUtf8(text, at).bytes;
  return at;
}

bool TouchesWord(absl::string_view text, size_t begin, size_t end) {
  return (begin > 0 && IsWordCharacter(LastCharacter(text.substr(0, begin)))) ||
         (end < text.size() && IsWordCharacter(FirstCharacter(text.substr(end))));
}

}  // namespace

void AddedTokenFinder::Add(const std::string& pattern, const AddedToken& token) {
  tokens_[pattern] = token;
  std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(pattern[0])];
  const auto place = std::lower_bound(lengths.begin(), lengths.end(), pattern.size(), std::greater<>());
  if (place == lengths.end() || *place != pattern.size()) lengths.insert(place, pattern.size());
}

const AddedToken* AddedTokenFinder::LongestAt(absl::string_view text, size_t at, size_t& length) const {
  for (const size_t candidate : lengths_[static_cast<unsigned char>(text[at])]) {
    if (candidate > text.size() - at) continue;
    const auto found = tokens_.find(text.substr(at, candidate));
    if (found == tokens_.end()) continue;
    length = candidate;
    return &found->second;
  }
  return nullptr;
}

void AddedTokenFinder::Cut(absl::string_view text, std::vector<Part>& parts) const {
  parts.clear();
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    const AddedToken* token = LongestAt(text, at, length);
    if (token == nullptr) {
      ++at;
      continue;
    }
    TextRange range = {at, at + length};
    at = range.end;
    if (token->single_word && TouchesWord(text, range.begin, range.end)) continue;
    if (token->lstrip) range.begin = std::max(SpaceBefore(text, range.begin), done);
    if (token->rstrip) range.end = SpaceBehind(text, range.end);
    if (done < range.begin) parts.push_back({{done, range.begin}, -1});
    parts.push_back({range, token->id});
    done = range.end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, -1});
}

}  // namespace hone
