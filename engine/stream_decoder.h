// Tokens to text, one by one as they are drawn: what is shown never ends inside a character, and all that was shown is what
// Tokenizer::Decode makes of the same tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/types.h"

namespace hone {

// Short texts by number, in one piece of memory.
class TextTable {
 public:
  void Append(absl::string_view text);
  size_t size() const { return ends_.size(); }
  absl::string_view operator[](size_t index) const;

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

// What the tokens of a vocabulary stand for, and how their parts join.
struct TokenTexts {
  enum class Kind : uint8_t {
    kText,      // joins what stands before it
    kVerbatim,  // as kText, but keeps a space at the start of a text; may be empty, and then only ends a run of bytes
    kByte,      // one byte of a character that the vocabulary lacks
    kNothing,   // a special token: as if it were not there
  };
  // How bytes become text where they are no UTF-8.
  enum class Bytes {
    kStream,  // all tokens are bytes: U+FFFD for each maximal subpart
    kRun,     // U+FFFD for each byte of a run of kByte that is not UTF-8 as a whole
    kEach,    // U+FFFD for each byte of a run of kByte that is in no character
  };

  TextTable texts;
  std::vector<Kind> kinds;  // one per text
  Bytes bytes = Bytes::kStream;
  // At the start of a text spaces fall away, so many in all and so many of one token.
  int leading_spaces = 0;
  int leading_spaces_per_token = std::numeric_limits<int>::max();
};

// Cheap: a reference, two numbers, and the bytes held back, of which there are at most three but for runs of kByte.
class StreamDecoder {
 public:
  // `texts` (Tokenizer::texts()) must outlive the decoder.
  explicit StreamDecoder(const TokenTexts& texts) : texts_(&texts) {}

  // Appends to `text` what can be shown now that `token` is drawn. A number that is no token of the vocabulary has no text.
  void Push(TokenId token, std::string& text);
  // Appends what was held back, with U+FFFD for what is no character; the next Push begins a new text.
  void Finish(std::string& text);

 private:
  enum class Ending { kGoesOn, kEnds };

  void Emit(absl::string_view part, TokenTexts::Kind kind, std::string& text);
  void EmitHeld(Ending ending, std::string& text);

  const TokenTexts* texts_;
  std::string held_;
  bool begun_ = false;  // some text was shown
  int stripped_ = 0;
};

}  // namespace hone
