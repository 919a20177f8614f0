// Multiple choice as in MMLU, https://arxiv.org/abs/2009.03300: the answer is the letter, or the text, of one choice.
//
// It is looked for in the final statement: the last \boxed{}, else what follows "answer is" or "answer:", else the last line. There a
// letter counts when it is marked as a choice, (B) **B** B. B) "option B" or all that the statement says; only without such a mark any
// lone capital counts, A and I only where they cannot be words. Two different letters are no answer.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "rewards/math/extract.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kMaxStatement = 2048;  // bytes
constexpr size_t kMaxChoices = 26;
constexpr absl::string_view kMarks = " \t\r\n*_.,:;()[]{}$\"'`";

using Choices = std::vector<std::string>;

bool IsWordByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80;
}

absl::string_view Trimmed(absl::string_view text) {
  const size_t begin = text.find_first_not_of(kMarks);
  if (begin == absl::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kMarks) + 1 - begin);
}

// \text{B} and \textbf{(B)} become B and (B).
std::string WithoutCommands(absl::string_view text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      plain += text[at];
      continue;
    }
    while (at + 1 < text.size() && absl::ascii_isalpha(static_cast<unsigned char>(text[at + 1]))) ++at;
    plain += ' ';
  }
  return plain;
}

// The letters A.. of the choices that a statement names.
class Letters {
 public:
  explicit Letters(size_t count) : count_(count) {}

  std::string In(absl::string_view statement) const {
    const absl::string_view whole = Trimmed(statement);
    if (whole.size() == 1) {
      const char letter = absl::ascii_toupper(static_cast<unsigned char>(whole[0]));
      return IsChoice(letter) ? std::string(1, letter) : "";
    }
    std::string marked, lone;
    for (size_t at = 0; at < statement.size(); ++at) {
      const char letter = absl::ascii_toupper(static_cast<unsigned char>(statement[at]));
      if (!IsChoice(letter) || (at > 0 && IsWordByte(statement[at - 1]))) continue;
      if (at + 1 < statement.size() && (IsWordByte(statement[at + 1]) || statement[at + 1] == '\'')) continue;
      if (IsMarked(statement, at)) {
        Add(letter, marked);
      } else if (letter == statement[at] && !IsWord(statement, at)) {
        Add(letter, lone);
      }
    }
    return marked.empty() ? lone : marked;
  }

 private:
  bool IsChoice(char letter) const { return letter >= 'A' && letter < static_cast<char>('A' + count_); }
  static void Add(char letter, std::string& letters) {
    if (!absl::StrContains(letters, letter)) letters += letter;
  }
  // A and I before another word.
  static bool IsWord(absl::string_view statement, size_t at) {
    const bool last = at + 1 == statement.size() || statement[at + 1] == ',' || statement[at + 1] == '/';
    return (statement[at] == 'A' || statement[at] == 'I') && !last;
  }
  static bool IsMarked(absl::string_view statement, size_t at) {
    const char before = at > 0 ? statement[at - 1] : '\0', after = at + 1 < statement.size() ? statement[at + 1] : '\0';
    if ((before == '(' && after == ')') || (before == '[' && after == ']')) return true;
    if (!absl::ascii_isupper(static_cast<unsigned char>(statement[at]))) return false;
    if (before == '*' || before == '{' || after == ')' || after == ':' || after == '.') return true;
    const absl::string_view lead = absl::StripTrailingAsciiWhitespace(statement.substr(0, at));
    return absl::EndsWithIgnoreCase(lead, "option") || absl::EndsWithIgnoreCase(lead, "choice");
  }

  const size_t count_;
};

// The letter of the choice with this text, or '\0'.
char LetterOfText(const Choices& choices, absl::string_view text) {
  for (size_t choice = 0; choice < choices.size(); ++choice) {
    const absl::string_view known = absl::StripAsciiWhitespace(choices[choice]);
    if (absl::EqualsIgnoreCase(known, absl::StripAsciiWhitespace(text)) ||
        (!Trimmed(known).empty() && absl::EqualsIgnoreCase(Trimmed(known), Trimmed(text)))) {
      return static_cast<char>('A' + choice);
    }
  }
  return '\0';
}

// The letters of the choices whose text stands in the statement as a whole; one inside a longer one does not count.
std::string LettersOfTexts(const Choices& choices, absl::string_view statement) {
  const std::string lower = absl::AsciiStrToLower(statement);
  std::vector<std::pair<size_t, size_t>> places;  // begin, end
  std::string letters;
  std::vector<size_t> order(choices.size());
  for (size_t choice = 0; choice < order.size(); ++choice) order[choice] = choice;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return choices[a].size() > choices[b].size(); });
  for (const size_t choice : order) {
    const std::string text = absl::AsciiStrToLower(Trimmed(choices[choice]));
    if (text.empty()) continue;
    for (size_t at = lower.find(text); at != std::string::npos; at = lower.find(text, at + 1)) {
      const size_t end = at + text.size();
      const bool inside = std::any_of(places.begin(), places.end(),
                                      [&](const auto& place) { return place.first <= at && end <= place.second; });
      if (inside || (at > 0 && IsWordByte(lower[at - 1])) || (end < lower.size() && IsWordByte(lower[end]))) continue;
      places.emplace_back(at, end);
      letters += static_cast<char>('A' + choice);
      break;
    }
  }
  return letters;
}

absl::StatusOr<Choices> ReadChoices(const std::string& metadata) {
  if (metadata.empty()) return Choices();
  if (NestsTooDeep(metadata)) return InputError("metadata nests too deep");
  const auto json = nlohmann::json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InputError("metadata is not a JSON object like {\"choices\": [\"Rome\", \"Paris\"]}");
  const auto found = json.find("choices");
  if (found == json.end()) return Choices();
  if (!found->is_array() || found->empty() || found->size() > kMaxChoices)
    return InputError("metadata: \"choices\" is not a list of 1 to ", kMaxChoices, " texts");
  Choices choices;
  for (const auto& choice : *found) {
    if (!choice.is_string() && !choice.is_number())
      return InputError("metadata: \"choices\" holds a value of type ", choice.type_name());
    choices.push_back(choice.is_string() ? choice.get<std::string>() : choice.dump());
  }
  return choices;
}

absl::string_view LastLine(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  const size_t start = text.rfind('\n');
  return start == absl::string_view::npos ? text : text.substr(start + 1);
}

std::string FinalStatement(absl::string_view completion) {
  const absl::string_view text = math::WithoutThought(completion);
  if (const auto boxes = math::LastBoxes(text); !boxes.empty())
    return WithoutCommands(absl::StrJoin(boxes, ", ").substr(0, kMaxStatement));
  absl::string_view statement;
  if (const auto phrase = math::AfterAnswerIs(text)) {
    // "B. The others are wrong, A because ..." ends at the first sentence.
    statement = phrase->substr(0, std::min(phrase->find(". "), phrase->size()));
  } else {
    statement = LastLine(text);
  }
  return WithoutCommands(statement.substr(0, kMaxStatement));
}

class MultipleChoiceVerifier : public Verifier {
 public:
  // Parts: "extracted", exactly one choice was named.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto choices = ReadChoices(prompt.metadata);
    if (!choices.ok()) return {std::nullopt, std::string(choices.status().message()), {}};
    const auto gold = ReadGold(prompt.answer, *choices);
    if (!gold.ok()) return {std::nullopt, std::string(gold.status().message()), {}};

    const std::string statement = FinalStatement(completion);
    std::string named;
    if (const char letter = LetterOfText(*choices, statement); letter != '\0') named = letter;
    // Without a list of choices ten letters are as many as tests have; the gold letter is always one.
    const size_t count =
        choices->empty() ? std::max<size_t>(10, static_cast<size_t>(*gold - 'A') + 1) : choices->size();
    if (named.empty()) named = Letters(count).In(statement);
    if (named.empty()) named = LettersOfTexts(*choices, statement);
    if (named.empty()) return {0.0, absl::StrCat("no choice in '", Visible(statement, 60), "'"), {{"extracted", 0}}};
    if (named.size() > 1) {
      return {0.0,
              absl::StrCat("ambiguous, names ", Visible(named, 16), " in '", Visible(statement, 60), "'"),
              {{"extracted", 0}}};
    }
    if (named[0] == *gold) return {1.0, "correct", {{"extracted", 1}}};
    return {0.0, absl::StrCat("answer ", named, ", wanted ", std::string(1, *gold)), {{"extracted", 1}}};
  }

 private:
  // A letter, or the text of a choice.
  static absl::StatusOr<char> ReadGold(const std::string& answer, const Choices& choices) {
    if (absl::StripAsciiWhitespace(answer).empty()) return InputError("the prompt has no answer to compare with");
    if (const char letter = LetterOfText(choices, answer); letter != '\0') return letter;
    const std::string plain = WithoutCommands(answer);
    const absl::string_view whole = Trimmed(plain);
    if (whole.size() == 1 && absl::ascii_isalpha(static_cast<unsigned char>(whole[0]))) {
      const char letter = absl::ascii_toupper(static_cast<unsigned char>(whole[0]));
      if (choices.empty() || letter < static_cast<char>('A' + choices.size())) return letter;
    }
    return InputError("the prompt's answer '", Visible(answer, 60), "' is neither a letter nor the text of one of the ",
                      choices.size(), " choices in its metadata");
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewMultipleChoiceVerifier(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<MultipleChoiceVerifier>();
}

}  // namespace hone
