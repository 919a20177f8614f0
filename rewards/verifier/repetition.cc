// Repetition: the score is the share of n-grams of words that are new,
//
//   score = distinct n-grams / n-grams,      1 where there are fewer than n words,
//
// so 1 minus the share of repeated ones. It is 1 + r of the repetition penalty r = -(1 - distinct / all) of "Demystifying Long
// Chain-of-Thought Reasoning" (https://arxiv.org/abs/2502.03373), as Open R1 computes it: words in lower case, n = 3. Texts of scripts
// without spaces, and runs of one letter, are better counted in characters.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kMaxBytes = 1 << 20;  // what stands behind counts neither way: memory is some 100 bytes for each word

enum class Unit { kWords, kCharacters };

absl::string_view NextWord(absl::string_view text, size_t& at) {
  const auto is_space = [&](size_t i) { return absl::ascii_isspace(static_cast<unsigned char>(text[i])); };
  while (at < text.size() && is_space(at)) ++at;
  const size_t begin = at;
  while (at < text.size() && !is_space(at)) ++at;
  return text.substr(begin, at - begin);
}

// Words, or characters, as numbers that are equal where they are, so that an n-gram is a span of numbers.
std::vector<uint32_t> Numbered(absl::string_view text, Unit unit) {
  std::vector<uint32_t> numbers;
  if (unit == Unit::kCharacters) {
    for (size_t at = 0, bytes = 0; at < text.size(); at += bytes) {
      bytes = ReadUtf8(text, at).bytes;  // 1 .. 4
      uint32_t number = 0;
      for (const char c : text.substr(at, bytes)) number = number << 8 | static_cast<unsigned char>(c);
      numbers.push_back(number);
    }
    return numbers;
  }
  absl::flat_hash_map<absl::string_view, uint32_t> known;
  for (size_t at = 0; at < text.size();) {
    const absl::string_view word = NextWord(text, at);
    if (word.empty()) break;
    numbers.push_back(known.try_emplace(word, static_cast<uint32_t>(known.size())).first->second);
  }
  return numbers;
}

class RepetitionVerifier : public Verifier {
 public:
  RepetitionVerifier(size_t n, Unit unit) : n_(n), unit_(unit) {}

  Verdict Verify(const Prompt&, const std::string& completion) const override {
    const std::string text = absl::AsciiStrToLower(absl::string_view(completion).substr(0, kMaxBytes));
    const std::vector<uint32_t> words = Numbered(text, unit_);
    const absl::string_view unit = unit_ == Unit::kWords ? " words" : " characters";
    if (words.size() < n_) return {1.0, absl::StrCat("only ", words.size(), unit), {}};

    absl::flat_hash_set<absl::Span<const uint32_t>> distinct;
    const size_t all = words.size() - n_ + 1;
    distinct.reserve(all);
    for (size_t at = 0; at < all; ++at) distinct.insert(absl::MakeConstSpan(words).subspan(at, n_));
    const double score = static_cast<double>(distinct.size()) / static_cast<double>(all);
    return {
        score, absl::StrCat(all - distinct.size(), " of ", all, " runs of ", n_, unit, " repeat an earlier one"), {}};
  }

 private:
  const size_t n_;
  const Unit unit_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewRepetitionVerifier(Spec& spec) {
  const int64_t n = spec.Int("n", 3, 1, 64);
  const std::string unit = spec.Choice("unit", "words", {"words", "characters"});
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<RepetitionVerifier>(static_cast<size_t>(n),
                                              unit == "words" ? Unit::kWords : Unit::kCharacters);
}

}  // namespace hone
