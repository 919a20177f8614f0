// Length of a completion: the score is 1 from `min` to `target`, falls in a straight line to 0 at `max`, and rises in one from 0 at no
// length to 1 at `min`. The fall is the soft overlong punishment of DAPO (https://arxiv.org/abs/2503.14476, eq. 13), there -1 .. 0.
//
//   length(target=80, max=100): 80 words 1, 85 words 0.75, 100 words 0
//
// Verifiers see text, not tokens, so it is counted in words (runs of bytes that are no ASCII white-space), characters or bytes.
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr int64_t kMost = int64_t{1} << 40;

enum class Unit { kWords, kCharacters, kBytes };

struct LengthOptions {
  Unit unit = Unit::kWords;
  int64_t min = 0, target = 0, max = 0;
};

int64_t CountWords(absl::string_view text) {
  int64_t words = 0;
  bool in_word = false;
  for (const char c : text) {
    const bool is_space = absl::ascii_isspace(static_cast<unsigned char>(c));
    words += !is_space && !in_word;
    in_word = !is_space;
  }
  return words;
}

// Bytes that are no UTF-8 count as the replacement characters that would stand for them.
int64_t CountCharacters(absl::string_view text) {
  int64_t characters = 0;
  for (size_t at = 0; at < text.size(); at += ReadUtf8(text, at).bytes) ++characters;
  return characters;
}

class LengthVerifier : public Verifier {
 public:
  explicit LengthVerifier(const LengthOptions& options) : options_(options) {}

  // Part: "length", the count itself.
  Verdict Verify(const Prompt&, const std::string& completion) const override {
    const int64_t length = options_.unit == Unit::kWords        ? CountWords(completion)
                           : options_.unit == Unit::kCharacters ? CountCharacters(completion)
                                                                : static_cast<int64_t>(completion.size());
    const absl::string_view unit = options_.unit == Unit::kWords        ? " words"
                                   : options_.unit == Unit::kCharacters ? " characters"
                                                                        : " bytes";
    const auto exact = static_cast<double>(length);
    Verdict verdict{1.0, absl::StrCat(length, unit), {{"length", exact}}};
    if (length < options_.min) {
      verdict.score = exact / static_cast<double>(options_.min);
      absl::StrAppend(&verdict.reason, ", wanted at least ", options_.min);
    } else if (length > options_.target) {
      const bool zero = length >= options_.max;  // also where target and max are one
      verdict.score =
          zero ? 0 : static_cast<double>(options_.max - length) / static_cast<double>(options_.max - options_.target);
      absl::StrAppend(&verdict.reason, ", wanted at most ", options_.target);
    }
    return verdict;
  }

 private:
  const LengthOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewLengthVerifier(Spec& spec) {
  LengthOptions options;
  const std::string unit = spec.Choice("unit", "words", {"words", "characters", "bytes"});
  options.unit = unit == "words" ? Unit::kWords : unit == "characters" ? Unit::kCharacters : Unit::kBytes;
  options.max = spec.Int("max", 0, 0, kMost);
  options.target = spec.Int("target", options.max, 0, options.max == 0 ? kMost : options.max);
  options.min = spec.Int("min", 0, 0, options.target);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.max == 0) return InputError("length: needs an option max=... of at least 1: the length that scores 0");
  return std::make_unique<LengthVerifier>(options);
}

}  // namespace hone
