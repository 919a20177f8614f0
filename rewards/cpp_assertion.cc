#include "rewards/cpp_assertion.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr size_t kMaxText = 1 << 18;
constexpr size_t kMaxDepth = 64;    // open brackets
constexpr size_t kMaxMinuses = 64;  // of one assertion

// What an argument or an expected value may call: it makes values of the standard library and of nothing else.
const std::set<std::string>& Makers() {
  static const auto* const makers = new std::set<std::string>{"string",        "vector",
                                                              "pair",          "make_pair",
                                                              "tuple",         "make_tuple",
                                                              "set",           "map",
                                                              "unordered_set", "unordered_map",
                                                              "multiset",      "deque",
                                                              "list",          "array",
                                                              "optional",      "make_optional",
                                                              "int",           "long",
                                                              "double",        "float",
                                                              "char",          "bool",
                                                              "size_t",        "int64_t",
                                                              "uint64_t",      "pow",
                                                              "sqrt",          "numeric_limits",
                                                              "max",           "min",
                                                              "static_cast",   "string_view",
                                                              "sizeof",        "initializer_list",
                                                              "nullopt"};
  return *makers;
}

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Past the quoted text or character that begins at `at`. A ' between digits separates them.
size_t SkipQuoted(absl::string_view text, size_t at) {
  const char quote = text[at];
  if (quote == '\'' && at > 0 && IsWord(text[at - 1])) return at + 1;
  for (++at; at < text.size() && text[at] != quote; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// Past the bracket's closing partner; the end when there is none.
size_t SkipBracket(absl::string_view text, size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"' || c == '\'') {
      at = SkipQuoted(text, at);
      continue;
    }
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    ++at;
    if (depth == 0) return at;
  }
  return at;
}

// Places of `mark` outside of brackets and quotes.
std::vector<size_t> Find(absl::string_view text, absl::string_view mark) {
  std::vector<size_t> places;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at, mark.size()) == mark) {
      places.push_back(at);
      at += mark.size();
    } else if (text[at] == '"' || text[at] == '\'') {
      at = SkipQuoted(text, at);
    } else if (absl::string_view("([{").find(text[at]) != absl::string_view::npos) {
      at = SkipBracket(text, at);
    } else {
      ++at;
    }
  }
  return places;
}

std::vector<absl::string_view> Split(absl::string_view text, absl::string_view mark) {
  std::vector<absl::string_view> parts;
  size_t begin = 0;
  for (const size_t place : Find(text, mark)) {
    parts.push_back(absl::StripAsciiWhitespace(text.substr(begin, place - begin)));
    begin = place + mark.size();
  }
  parts.push_back(absl::StripAsciiWhitespace(text.substr(begin)));
  return parts;
}

bool NestsTooDeeply(absl::string_view text) {
  size_t depth = 0, deepest = 0;
  for (const char c : text) {
    if (c == '(' || c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
  }
  return deepest > kMaxDepth;
}

absl::string_view StripBrackets(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  while (text.size() >= 2 && text[0] == '(' && SkipBracket(text, 0) == text.size()) {
    text = absl::StripAsciiWhitespace(text.substr(1, text.size() - 2));
  }
  return text;
}

// Names that stand before a '(' or a template's '<...>(', with their '::'.
bool CallsOnlyMakers(absl::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"' || text[at] == '\'') {
      at = SkipQuoted(text, at);
      continue;
    }
    if (!IsWord(text[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && IsWord(text[end])) ++end;
    const std::string word(text.substr(at, end - at));
    while (end < text.size() && text[end] == ' ') ++end;
    if (end < text.size() && text[end] == '(' && !absl::ascii_isdigit(static_cast<unsigned char>(word[0])) &&
        !Makers().contains(word))
      return false;
    at = end;
  }
  return text.find("[&") == absl::string_view::npos && text.find("[=") == absl::string_view::npos;
}

// name(constants), name.name(constants)[constant] and the like; with `entry`, that name must be the first.
bool IsCall(absl::string_view text, absl::string_view entry) {
  size_t at = 0;
  bool calls = false;
  std::string first;
  while (at < text.size()) {
    if (IsWord(text[at]) && !absl::ascii_isdigit(static_cast<unsigned char>(text[at]))) {
      const size_t begin = at;
      while (at < text.size() && IsWord(text[at])) ++at;
      if (first.empty()) first = std::string(text.substr(begin, at - begin));
    } else if (at > 0 && (text[at] == '(' || text[at] == '[')) {
      const size_t end = SkipBracket(text, at);
      if (!CallsOnlyMakers(text.substr(at + 1, end - at - 2))) return false;
      calls = true;
      at = end;
    } else if (at > 0 && (text[at] == '.' || text.substr(at, 2) == "->" || text.substr(at, 2) == "::")) {
      at += text[at] == '.' ? 1 : 2;
    } else {
      return false;
    }
  }
  return calls && first != "std" && !Makers().contains(first) &&
         (entry.empty() || first == entry || text[first.size()] != '(');
}

absl::Status Unsafe(absl::string_view text) {
  return InputError("this C++ assertion cannot be checked safely: ", Visible(text, 120),
                    "; write CALL == VALUE, CALL, !CALL or abs(CALL - VALUE) < VALUE");
}

bool IsTruth(absl::string_view text) { return text == "true" || text == "false"; }

// abs(CALL - VALUE) < VALUE.
absl::StatusOr<CppAssertion> ReadNear(absl::string_view text, absl::string_view entry) {
  const bool at_most = Find(text, "<=").size() == 1;
  const auto sides = Split(text, at_most ? "<=" : "<");
  if (sides.size() != 2 || !CallsOnlyMakers(sides[1])) return Unsafe(text);
  for (const absl::string_view name : {"std::fabs", "std::abs", "fabs", "abs"}) {
    if (sides[0].substr(0, name.size()) != name) continue;
    const absl::string_view inside = absl::StripAsciiWhitespace(sides[0].substr(name.size()));
    if (inside.empty() || inside[0] != '(' || SkipBracket(inside, 0) != inside.size()) continue;
    const absl::string_view difference = StripBrackets(inside);
    const std::vector<size_t> minuses = Find(difference, "-");
    if (minuses.size() > kMaxMinuses) return Unsafe(text);
    for (const size_t place : minuses) {
      const absl::string_view left = StripBrackets(difference.substr(0, place)),
                              right = StripBrackets(difference.substr(place + 1));
      CppAssertion near = {CppAssertion::Kind::kNear, std::string(text),     std::string(left),
                           std::string(right),        std::string(sides[1]), at_most};
      if (IsCall(left, entry) && CallsOnlyMakers(right)) return near;
      std::swap(near.computed, near.expected);
      if (IsCall(right, entry) && CallsOnlyMakers(left) && !left.empty()) return near;
    }
  }
  return Unsafe(text);
}

absl::StatusOr<CppAssertion> ReadExpression(absl::string_view text, absl::string_view entry) {
  text = StripBrackets(text);
  CppAssertion assertion;
  assertion.text = std::string(text);
  if (!Find(text, "||").empty() || !Find(text, "?").empty() || !Find(text, "!=").empty()) return Unsafe(text);
  const auto sides = Split(text, "==");
  if (sides.size() == 2) {
    absl::string_view computed = StripBrackets(sides[0]), expected = StripBrackets(sides[1]);
    if (!IsCall(computed, entry)) std::swap(computed, expected);
    if (!IsCall(computed, entry) || !CallsOnlyMakers(expected)) return Unsafe(text);
    assertion.kind = IsTruth(expected) ? CppAssertion::Kind::kTruth : CppAssertion::Kind::kEqual;
    assertion.computed = std::string(computed);
    assertion.expected = std::string(expected);
    return assertion;
  }
  if (sides.size() == 1 && Find(text, "<").size() == 1) return ReadNear(text, entry);
  const bool negated = !text.empty() && text[0] == '!';
  const absl::string_view call = negated ? StripBrackets(text.substr(1)) : text;
  if (sides.size() != 1 || !IsCall(call, entry)) return Unsafe(text);
  assertion.kind = CppAssertion::Kind::kTruth;
  assertion.computed = std::string(call);
  assertion.expected = negated ? "false" : "true";
  return assertion;
}

// A statement without a '=' of its own outside of brackets is an expression.
bool IsSetup(absl::string_view statement) {
  for (const size_t place : Find(statement, "=")) {
    const char before = place > 0 ? statement[place - 1] : ' ',
               after = place + 1 < statement.size() ? statement[place + 1] : ' ';
    if (after != '=' && absl::string_view("=!<>").find(before) == absl::string_view::npos) return true;
  }
  size_t words = 0;  // `Stack s;`, `vector<int> v{1, 2};`
  while (words < statement.size() && (IsWord(statement[words]) || statement[words] == ':')) ++words;
  const absl::string_view rest = absl::StripLeadingAsciiWhitespace(statement.substr(words));
  return words > 0 && words < statement.size() &&
         (IsWord(rest[0]) || (rest[0] == '<' && Find(rest, ">").size() > 0 && rest.back() != ')' &&
                              !absl::ascii_isdigit(static_cast<unsigned char>(rest.back()))));
}

// Declares something of a type of the standard library's or of the language's.
bool IsOfLibrary(absl::string_view statement) {
  size_t end = 0;
  while (end < statement.size() && IsWord(statement[end])) ++end;
  const std::string word(statement.substr(0, end));
  return Makers().contains(word) || word == "auto" || word == "const" || word == "std" || word == "unsigned";
}

}  // namespace

absl::StatusOr<std::vector<CppAssertion>> ReadCppAssertions(absl::string_view text, absl::string_view entry_point) {
  if (text.size() > kMaxText) return InputError("an assertion of ", text.size(), " bytes; at most ", kMaxText);
  if (NestsTooDeeply(text)) return InputError("an assertion with more than ", kMaxDepth, " open brackets");
  std::vector<CppAssertion> assertions;
  const bool is_statement = !Find(text, ";").empty();
  for (absl::string_view statement : Split(text, ";")) {
    if (statement.empty()) continue;
    const absl::string_view inside =
        statement.substr(0, 6) == "assert" ? absl::StripAsciiWhitespace(statement.substr(6)) : "";
    // As a call, or as Python writes it.
    const bool is_assert =
        !inside.empty() && (statement[6] == ' ' || (inside[0] == '(' && SkipBracket(inside, 0) == inside.size()));
    if (!is_assert && (IsSetup(statement) || (is_statement && IsCall(statement, "")))) {
      CppAssertion setup;
      setup.text = std::string(statement);
      setup.of_library = CallsOnlyMakers(statement) && IsOfLibrary(statement);
      assertions.push_back(std::move(setup));
      continue;
    }
    for (const absl::string_view part : Split(is_assert ? StripBrackets(inside) : statement, "&&")) {
      HONE_ASSIGN_OR_RETURN(CppAssertion assertion, ReadExpression(part, entry_point));
      assertions.push_back(std::move(assertion));
    }
  }
  return assertions;
}

}  // namespace hone
