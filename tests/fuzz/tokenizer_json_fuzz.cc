// Whatever the bytes: a one-line status, or a tokenizer that encodes and decodes any text without leaving its vocabulary.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/tokenizer.h"
#include "tests/fuzz/accepted_counter.h"

namespace hone {
namespace {

constexpr size_t kLongestLine = 400;

// Spaces, digits, contractions, accents in both forms, a script without spaces, an emoji of several code points, a special token.
constexpr const char* kTexts[] = {"", " ", "a", "Hello, world  it's 12345\n\n\tend ",
                                  "caf\u00e9 cafe\u0301 \u6771\u4eac \U0001F469\u200D\U0001F4BB<|im_end|>\u00a0x"};

AcceptedCounter counter;

void CheckRefusal(const absl::Status& status) {
  HONE_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  HONE_CHECK(status.message().size() <= kLongestLine && status.message().find('\n') == absl::string_view::npos);
}

void CheckText(const Tokenizer& tokenizer, absl::string_view text) {
  const auto tokens = tokenizer.Encode(text);
  if (!tokens.ok()) return CheckRefusal(tokens.status());
  for (const TokenId token : *tokens) HONE_CHECK(token >= 0 && token < tokenizer.vocabulary_size());
  const auto decoded = tokenizer.Decode(*tokens);
  HONE_CHECK(decoded.ok() && !FindInvalidUtf8(*decoded));
}

void Read(absl::string_view content) {
  counter.CountInput();
  const auto tokenizer = NewBpeTokenizer({{"tokenizer.json", std::string(content)}}, "folder");
  if (!tokenizer.ok()) return CheckRefusal(tokenizer.status());
  counter.CountAccepted();
  for (const char* text : kTexts) CheckText(**tokenizer, text);
  for (TokenId token = 0; token < std::min((*tokenizer)->vocabulary_size(), 300); ++token) {
    HONE_CHECK((*tokenizer)->Decode({token}).ok());
  }
}

}  // namespace
}  // namespace hone

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  hone::Read({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
