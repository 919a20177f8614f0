// Texts that are one token wherever they stand, such as "<|im_start|>": cut out before the model sees the rest.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/base/types.h"
#include "engine/tokenizer_regex.h"

namespace hone {

struct AddedToken {
  TokenId id = -1;
  std::string content;
  bool single_word = false;  // only where no letter or digit touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool normalized = false;   // is looked for in normalized text, in its normalized form
  bool special = false;      // has no text of its own
};

// Thread-safe after construction.
class AddedTokenFinder {
 public:
  // A part of a text: a token, or text without tokens.
  struct Part {
    TextRange range;
    TokenId token = -1;
  };

  // Looks for `pattern`, which is not empty. A pattern that is there already is replaced.
  void Add(const std::string& pattern, const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // Replaces `parts` by those of `text`: leftmost tokens first, of those that begin at one place the longest. White space that a token
  // takes is part of its range, so ranges of tokens may overlap.
  void Cut(absl::string_view text, std::vector<Part>& parts) const;

 private:
  const AddedToken* LongestAt(absl::string_view text, size_t at, size_t& length) const;

  absl::flat_hash_map<std::string, AddedToken> tokens_;
  std::array<std::vector<size_t>, 256> lengths_;  // of the patterns that begin with a byte, longest first
};

}  // namespace hone
