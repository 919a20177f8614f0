// What tests of verifiers share: one from its spec, a verdict by the way, and completions that nobody should write.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {

template <typename Factory>
absl::StatusOr<std::unique_ptr<Verifier>> BuildWith(Factory factory, const std::string& spec_text) {
  HONE_ASSIGN_OR_RETURN(Spec spec, Spec::Parse(spec_text));
  return factory(spec);
}

inline Prompt Question(const std::string& answer, const std::string& metadata = "") {
  Prompt prompt;
  prompt.answer = answer;
  prompt.metadata = metadata;
  return prompt;
}

// "name=value name=value"
inline std::string PartsText(const Verdict& verdict) {
  std::string text;
  for (const auto& [name, value] : verdict.parts) absl::StrAppend(&text, text.empty() ? "" : " ", name, "=", value);
  return text;
}

inline std::string Repeated(absl::string_view piece, size_t times) {
  std::string text;
  text.reserve(piece.size() * times);
  for (size_t i = 0; i < times; ++i) text.append(piece.data(), piece.size());
  return text;
}

inline std::vector<std::string> HostileCompletions() {
  constexpr size_t kMany = 1 << 20;
  return {"",
          std::string(3, '\0'),
          "\xff\xfe\x80 \xc3",
          "\xed\xa0\x80\xf4\x90\x80\x80",
          std::string(4 * kMany, '['),
          std::string(4 * kMany, '<'),
          std::string(kMany, '{') + std::string(kMany, '}'),
          Repeated("{\"a\":", kMany) + "1",
          Repeated("<think>", kMany),
          Repeated("</answer><answer>", kMany),
          std::string(4 * kMany, '9'),
          "-1e" + std::string(kMany, '9'),
          "\"" + std::string(kMany, '\\'),
          Repeated("```json\n", kMany),
          Repeated("\n", 4 * kMany),
          Repeated("a b ", kMany),
          Repeated("1 2 3 4\n", kMany),
          Repeated("\xf0\x9f\x98\x80", kMany),
          Repeated("a", kMany) + "!"};
}

// Whatever the completion: an answer in bounded time, its score within `low` .. `high`, its reason one short line.
inline void ExpectWithstandsHostileCompletions(const Verifier& verifier, const Prompt& prompt, double low,
                                               double high) {
  for (const std::string& completion : HostileCompletions()) {
    const Verdict verdict = verifier.Verify(prompt, completion);
    const std::string shown = Visible(completion, 40);
    ASSERT_TRUE(verdict.score.has_value()) << shown << ": " << verdict.reason;
    EXPECT_GE(*verdict.score, low) << shown << ": " << verdict.reason;
    EXPECT_LE(*verdict.score, high) << shown << ": " << verdict.reason;
    EXPECT_FALSE(verdict.reason.empty()) << shown;
    EXPECT_LE(verdict.reason.size(), 400u) << shown;
    EXPECT_EQ(verdict.reason, Visible(verdict.reason, 1000)) << shown;
  }
}

}  // namespace hone
