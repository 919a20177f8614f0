#include "rewards/math/extract.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "rewards/math/tokens.h"

namespace hone::math {
namespace {

constexpr int kMaxBoxes = 16;         // looked at from the end
constexpr int kMaxAnchors = 64;       // "answer"s looked at from the end
constexpr size_t kMaxLead = 100;      // bytes between "answer" and "is"
constexpr size_t kShortLine = 120;    // a last line that may be an answer as a whole
constexpr size_t kJoinedAnyway = 10;  // bytes between boxes that belong together
constexpr size_t kJoinedByWord = 70;  // the same when "and", "or" or a comma stands between them

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsSpace(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); }

// The text between the braces that open at text[open]; nullopt when they do not close within an answer's length.
std::optional<absl::string_view> InBraces(absl::string_view text, size_t open) {
  const size_t end = std::min(text.size(), open + kMaxAnswerBytes);
  int depth = 0;
  for (size_t at = open; at < end; ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '{') {
      ++depth;
    } else if (text[at] == '}' && --depth == 0) {
      return text.substr(open + 1, at - open - 1);
    }
  }
  return std::nullopt;
}

// \boxed{...}, or \boxed 5 without braces.
std::optional<absl::string_view> BoxAt(absl::string_view text, size_t command_end) {
  size_t at = command_end;
  while (at < text.size() && text[at] == ' ') ++at;
  if (at < text.size() && text[at] == '{') return InBraces(text, at);
  const size_t end = std::min(text.find_first_of(" \t\n$", at), text.size());
  return end > at ? std::optional(text.substr(at, end - at)) : std::nullopt;
}

// Whether two boxes with this text between them are one answer.
bool Joins(absl::string_view between) {
  if (absl::StrContains(between, ". ") || absl::StrContains(between, "\n\n")) return false;
  if (between.size() < kJoinedAnyway) return true;
  if (between.size() >= kJoinedByWord) return false;
  for (const char* word : {" and ", " or ", "{and}", "{or}", "$, ", "$; "})
    if (absl::StrContains(between, word)) return true;
  return false;
}

// A formula between $ $, $$ $$, \( \) or \[ \].
struct Span {
  absl::string_view inside;
  size_t begin = 0, end = 0;
};

// The first formula at or behind `from`. A $ before a price is none: its partner would stand before a digit.
std::optional<Span> NextSpan(absl::string_view text, size_t from) {
  for (size_t at = from; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) {
      const char bracket = text[at + 1];
      if (bracket == '(' || bracket == '[') {
        const size_t end = text.find(bracket == '(' ? "\\)" : "\\]", at + 2);
        if (end != absl::string_view::npos) return Span{text.substr(at + 2, end - at - 2), at, end + 2};
      }
      ++at;
      continue;
    }
    if (text[at] != '$') continue;
    const size_t width = at + 1 < text.size() && text[at + 1] == '$' ? 2 : 1;
    size_t end = at + width;
    while (end < text.size() && text[end] != '$' && (width == 2 || text[end] != '\n')) end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size() || text[end] != '$' || end == at + width) {
      at += width - 1;
      continue;
    }
    const bool price = width == 1 && IsDigit(text[at + 1]) && end + 1 < text.size() && IsDigit(text[end + 1]);
    if (!price) return Span{text.substr(at + width, end - at - width), at, std::min(end + width, text.size())};
  }
  return std::nullopt;
}

// "$x=1$ and $x=2$": formulas with nothing but a comma or a word between them, joined by commas.
Span JoinSpans(absl::string_view text, Span first, std::string& joined) {
  joined = std::string(first.inside);
  if (first.end < text.size() && (text[first.end] == '%' || absl::StartsWith(text.substr(first.end), "\\%")))
    joined += "\\%";
  for (int more = 0; more < kMaxBoxes; ++more) {
    const auto next = NextSpan(text, first.end);
    if (!next) break;
    const absl::string_view between = absl::StripAsciiWhitespace(text.substr(first.end, next->begin - first.end));
    if (between != "," && between != "and" && between != "or" && between != ", and" && between != ", or") break;
    joined.append(", ").append(next->inside.data(), next->inside.size());
    first.end = next->end;
  }
  return first;
}

// The first number of a text, with its sign and what is written to it: "1/2", "1,200", "-3.5", "2*3".
absl::string_view FirstNumber(absl::string_view text) {
  size_t begin = 0;
  while (begin < text.size() && !IsDigit(text[begin])) ++begin;
  if (begin == text.size()) return {};
  size_t end = begin;
  const auto goes_on = [&](size_t at) {
    return IsDigit(text[at]) || (absl::string_view(".,/*^").find(text[at]) != absl::string_view::npos &&
                                 at + 1 < text.size() && IsDigit(text[at + 1]));
  };
  while (end < text.size() && goes_on(end)) ++end;
  if (end < text.size() && text[end] == '%') ++end;
  if (begin > 0 && text[begin - 1] == '.') --begin;
  if (begin > 0 && text[begin - 1] == '$') --begin;
  if (begin > 0 && text[begin - 1] == '-' && (begin == 1 || !IsDigit(text[begin - 2]))) --begin;
  return text.substr(begin, end - begin);
}

// The last number and the arithmetic around it: "So it is 3 / 4." gives "3 / 4".
std::optional<Span> LastNumber(absl::string_view text) {
  size_t last = text.size();
  for (size_t start = last; last > 0; last = start) {
    while (last > 0 && !IsDigit(text[last - 1])) --last;
    for (start = last; start > 0 && IsDigit(text[start - 1]);) --start;
    if (start == 0 || !IsLetter(text[start - 1])) break;  // R2D2 holds no number
  }
  if (last == 0) return std::nullopt;
  size_t begin = last, kept = last;
  const absl::string_view glue = ".,/*^+-()% \\";
  while (begin > 0 && last - begin < 200) {
    const char c = text[begin - 1];
    if (IsDigit(c)) {
      kept = --begin;
    } else if (glue.find(c) != absl::string_view::npos) {
      --begin;
    } else {
      break;
    }
  }
  // Numbers side by side are not one answer: keep what follows the last gap without an operator.
  absl::string_view run = text.substr(kept, last - kept);
  for (size_t gap = run.rfind(' '); gap != absl::string_view::npos && gap > 0; gap = run.substr(0, gap).rfind(' ')) {
    const size_t before = run.find_last_not_of(' ', gap), after = run.find_first_not_of(' ', gap);
    const absl::string_view operators = "/*^+-(";
    const bool joined =
        operators.find(run[before]) != absl::string_view::npos ||
        (operators.find(run[after]) != absl::string_view::npos && after + 1 < run.size() && run[after + 1] == ' ');
    if (joined) continue;
    run.remove_prefix(after);
    break;
  }
  size_t start = static_cast<size_t>(run.data() - text.data());
  if (start > 0 && text[start - 1] == '.') --start;
  while (start > 0 && (text[start - 1] == '$' || text[start - 1] == '\\')) --start;
  if (start > 0 && text[start - 1] == '-') --start;
  if (last < text.size() && text[last] == '%') ++last;
  return Span{text.substr(start, last - start), start, last};
}

absl::string_view Trimmed(absl::string_view text) {
  for (bool more = true; more;) {
    const size_t before = text.size();
    text = absl::StripAsciiWhitespace(text);
    for (const char* mark : {"*", ".", "_", "`", ":", "\""}) {
      while (absl::ConsumeSuffix(&text, mark)) {
      }
    }
    for (const char* mark : {"*", ":", "_", "`", "\""}) {
      while (absl::ConsumePrefix(&text, mark)) {
      }
    }
    more = text.size() != before;
  }
  return text;
}

// The sentence that a text begins with; points inside numbers end none.
absl::string_view FirstSentence(absl::string_view text) {
  for (size_t at = 0; at + 1 < text.size(); ++at) {
    if (text[at] == '.' && IsSpace(text[at + 1])) return text.substr(0, at);
  }
  for (const char* word : {" because ", " since ", " which ", ", so ", " as "}) {
    if (const size_t at = text.find(word); at != absl::string_view::npos) text = text.substr(0, at);
  }
  return text;
}

// "The area of $ABC$ is 120" says 120.
absl::string_view BehindLastIs(absl::string_view phrase) {
  if (phrase.empty() || !IsLetter(phrase[0])) return phrase;
  const absl::string_view sentence = FirstSentence(phrase);
  size_t behind = 0;
  for (const absl::string_view word : {" is ", " are ", " equals "}) {
    const size_t at = sentence.rfind(word);
    if (at != absl::string_view::npos) behind = std::max(behind, at + word.size());
  }
  return absl::StripAsciiWhitespace(sentence.substr(behind)).empty() || behind == 0 ? phrase : sentence.substr(behind);
}

Extracted FromPhrase(absl::string_view phrase, const char* where) {
  phrase = BehindLastIs(phrase);
  std::string joined;
  if (const auto span = NextSpan(phrase, 0)) {
    JoinSpans(phrase, *span, joined);
    return {joined, "", where};
  }
  phrase = Trimmed(FirstSentence(phrase));
  const absl::string_view number = FirstNumber(phrase);
  return {std::string(phrase), number == phrase ? "" : std::string(number), where};
}

bool EqualsIgnoringCase(absl::string_view text, size_t at, absl::string_view word) {
  return absl::EqualsIgnoreCase(text.substr(at, word.size()), word);
}

// What stands behind the "is" or ":" that belongs to the word "answer" ending at `at`.
std::optional<size_t> BehindIs(absl::string_view text, size_t at) {
  const size_t limit = std::min(text.size(), at + kMaxLead);
  for (size_t position = at; position < limit; ++position) {
    const char c = text[position];
    if (c == ':' || c == '=') return position + 1;
    if (c == '\n' || (c == '.' && position + 1 < text.size() && IsSpace(text[position + 1]))) {
      // "**Answer**" above the answer.
      const absl::string_view between = Trimmed(text.substr(at, position - at));
      return c == '\n' && between.empty() ? std::optional(position + 1) : std::nullopt;
    }
    for (const char* word : {" is", " are", " was"}) {
      const size_t end = position + absl::string_view(word).size();
      if (EqualsIgnoringCase(text, position, word) && (end >= text.size() || !IsLetter(text[end]))) return end;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<absl::string_view> LastBoxes(absl::string_view text) {
  std::vector<absl::string_view> boxes;
  size_t before = text.size(), next_start = 0;
  for (int looked = 0; looked < kMaxBoxes && before > 0; ++looked) {
    const size_t boxed = text.rfind("\\boxed", before - 1), framed = text.rfind("\\fbox", before - 1);
    if (boxed == absl::string_view::npos && framed == absl::string_view::npos) break;
    const bool is_boxed = framed == absl::string_view::npos || (boxed != absl::string_view::npos && boxed > framed);
    const size_t start = is_boxed ? boxed : framed;
    const auto inside = BoxAt(text, start + (is_boxed ? 6 : 5));
    before = start;
    if (!inside) continue;
    if (!boxes.empty()) {
      const size_t end = static_cast<size_t>(inside->data() - text.data()) + inside->size() + 1;
      if (end > next_start) continue;  // it holds the box found before
      const absl::string_view between = text.substr(end, next_start - end);
      if (!Joins(between) || *inside == boxes.back()) break;
    }
    boxes.push_back(*inside);
    next_start = start;
  }
  std::reverse(boxes.begin(), boxes.end());
  return boxes;
}

absl::string_view WithoutThought(absl::string_view completion) {
  constexpr absl::string_view kEnd = "</think>";
  const size_t end = completion.rfind(kEnd);
  if (end == absl::string_view::npos) return completion;
  const absl::string_view rest = completion.substr(end + kEnd.size());
  return absl::StripAsciiWhitespace(rest).empty() ? completion : rest;
}

std::optional<absl::string_view> AfterAnswerIs(absl::string_view text) {
  size_t before = text.size();
  for (int looked = 0; looked < kMaxAnchors && before > 0; ++looked) {
    const size_t tail = text.rfind("nswer", before - 1);
    if (tail == absl::string_view::npos) break;
    before = tail;
    const bool whole = tail > 0 && (text[tail - 1] == 'a' || text[tail - 1] == 'A');
    if (!whole) continue;
    const auto behind = BehindIs(text, tail + 5);
    if (!behind) continue;
    absl::string_view rest = text.substr(*behind, kMaxAnswerBytes);
    while (!rest.empty() && (IsSpace(rest[0]) || rest[0] == '*' || rest[0] == ':')) rest.remove_prefix(1);
    if (rest.empty()) continue;
    const auto span = NextSpan(rest.substr(0, kMaxAnswerBytes), 0);
    const size_t line = std::min(rest.find('\n'), rest.size());
    return span && span->begin < line && span->end > line ? rest.substr(0, span->end) : rest.substr(0, line);
  }
  return std::nullopt;
}

std::optional<Extracted> ExtractAnswer(absl::string_view completion) {
  const absl::string_view text = WithoutThought(completion);
  if (const auto boxes = LastBoxes(text); !boxes.empty()) {
    // Boxes of the steps give way to a final answer that is named behind them.
    const auto box_end = static_cast<size_t>(boxes.back().data() - text.data()) + boxes.back().size();
    const absl::string_view rest = text.substr(box_end);
    const bool named = absl::StrContains(rest, "inal answer is") || absl::StrContains(rest, "inal Answer:");
    const auto phrase = named ? AfterAnswerIs(rest) : std::nullopt;
    if (phrase && !FirstNumber(*phrase).empty()) return FromPhrase(*phrase, "behind 'answer is'");
    return Extracted{absl::StrJoin(boxes, ", "), "", "the last box"};
  }
  if (const size_t mark = text.rfind("####"); mark != absl::string_view::npos) {
    const absl::string_view line = text.substr(mark + 4);
    const absl::string_view found = Trimmed(line.substr(0, std::min(line.find('\n'), line.size())));
    if (!found.empty()) return FromPhrase(found, "behind ####");
  }
  if (const auto phrase = AfterAnswerIs(text)) return FromPhrase(*phrase, "behind 'answer is'");
  const size_t near = text.size() > kMaxAnswerBytes ? text.size() - kMaxAnswerBytes : 0;
  const absl::string_view end = absl::StripAsciiWhitespace(text.substr(near));
  std::optional<Span> span;
  std::string formula;
  for (auto next = NextSpan(end, 0); next; next = NextSpan(end, next->end))
    span = next = JoinSpans(end, *next, formula);
  const auto number = LastNumber(end);
  if (span && (!number || number->end <= span->end)) return Extracted{formula, "", "the last formula"};
  const size_t line_start = end.rfind('\n') == absl::string_view::npos ? 0 : end.rfind('\n') + 1;
  const absl::string_view line = Trimmed(end.substr(line_start));
  const std::string last_number(number ? number->inside : absl::string_view());
  if (!line.empty() && line.size() <= kShortLine) return Extracted{std::string(line), last_number, "the last line"};
  if (number) return Extracted{last_number, "", "the last number"};
  return std::nullopt;
}

std::string ExtractGold(absl::string_view answer) {
  if (const auto boxes = LastBoxes(answer); !boxes.empty()) return absl::StrJoin(boxes, ", ");
  if (const size_t mark = answer.rfind("####"); mark != absl::string_view::npos) answer = answer.substr(mark + 4);
  if (answer.size() > kShortLine) {
    if (const auto phrase = AfterAnswerIs(answer)) return FromPhrase(*phrase, "").text;
  }
  return std::string(absl::StripAsciiWhitespace(answer));
}

}  // namespace hone::math
