#include "rewards/code_problem.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxTests = 10000;

// A test's text; some collections give lists of lines.
std::optional<std::string> TextOf(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return std::nullopt;
  std::string text;
  for (const Json& line : value) {
    if (!line.is_string()) return std::nullopt;
    absl::StrAppend(&text, line.get_ref<const std::string&>(), "\n");
  }
  return text;
}

absl::Status AddTest(const Json& input, const Json& output, CodeProblem& problem) {
  const auto stdin_text = TextOf(input), stdout_text = TextOf(output);
  if (!stdin_text || !stdout_text)
    return InputError("metadata: test ", problem.tests.size() + 1, " has no texts for standard input and output");
  problem.tests.push_back({*stdin_text, *stdout_text});
  return absl::OkStatus();
}

const Json* Member(const Json& json, const char* name) {
  const auto at = json.find(name);
  return at == json.end() || at->is_null() ? nullptr : &*at;
}

absl::Status ReadTests(const Json& json, CodeProblem& problem) {
  const Json* tests = Member(json, "tests");
  if (tests == nullptr) return absl::OkStatus();
  if (!tests->is_array()) return InputError("metadata: \"tests\" is not a list of {\"stdin\", \"stdout\"}");
  for (const Json& test : *tests) {
    const Json *input = nullptr, *output = nullptr;
    if (test.is_object()) {
      for (const char* name : {"stdin", "input"}) input = input != nullptr ? input : Member(test, name);
      for (const char* name : {"stdout", "output"}) output = output != nullptr ? output : Member(test, name);
    }
    if (output == nullptr)
      return InputError("metadata: test ", problem.tests.size() + 1, " is no object with \"stdin\" and \"stdout\"");
    HONE_RETURN_IF_ERROR(AddTest(input != nullptr ? *input : Json(""), *output, problem));
  }
  return absl::OkStatus();
}

absl::Status ReadInputsOutputs(const Json& json, CodeProblem& problem) {
  const Json *inputs = Member(json, "inputs"), *outputs = Member(json, "outputs");
  if (inputs == nullptr && outputs == nullptr) return absl::OkStatus();
  if (inputs == nullptr || outputs == nullptr || !inputs->is_array() || !outputs->is_array() ||
      inputs->size() != outputs->size()) {
    return InputError("metadata: \"inputs\" and \"outputs\" are not two lists of one length");
  }
  if (problem.entry_point.empty()) {
    for (size_t at = 0; at < inputs->size(); ++at)
      HONE_RETURN_IF_ERROR(AddTest((*inputs)[at], (*outputs)[at], problem));
    return absl::OkStatus();
  }
  Json calls = Json::array();
  for (size_t at = 0; at < inputs->size(); ++at) {
    if (!(*inputs)[at].is_array())
      return InputError("metadata: with a function's name, \"inputs\" holds lists of arguments; entry ", at + 1,
                        " is none");
    calls.push_back({(*inputs)[at], (*outputs)[at]});
  }
  problem.call_count = calls.size();
  if (!calls.empty()) problem.calls = calls.dump();
  return absl::OkStatus();
}

absl::Status ReadAssertions(const Json& json, CodeProblem& problem) {
  for (const char* name : {"test_setup_code", "assertions", "test_list", "test"}) {
    const Json* assertions = Member(json, name);
    if (assertions == nullptr) continue;
    if (assertions->is_string()) {
      if (!assertions->get_ref<const std::string&>().empty()) problem.assertions.push_back(*assertions);
      continue;
    }
    if (!assertions->is_array()) return InputError("metadata: \"", name, "\" is not a list of texts");
    for (const Json& each : *assertions) {
      if (!each.is_string()) return InputError("metadata: \"", name, "\" is not a list of texts");
      problem.assertions.push_back(each);
    }
  }
  return absl::OkStatus();
}

bool IsPythonTag(absl::string_view tag) { return tag == "python" || tag == "py" || tag == "python3"; }
bool IsCppTag(absl::string_view tag) {
  return tag == "cpp" || tag == "c++" || tag == "cc" || tag == "cxx" || tag == "c";
}

Language Guess(absl::string_view text) {
  for (const absl::string_view mark : {"#include", "int main(", "using namespace std"}) {
    if (text.find(mark) != absl::string_view::npos) return Language::kCpp;
  }
  return Language::kPython;
}

// One line of `text` from `at` on, without its end; `at` moves past it.
absl::string_view NextLine(absl::string_view text, size_t& at) {
  const size_t end = std::min(text.find('\n', at), text.size());
  const absl::string_view line = text.substr(at, end - at);
  at = std::min(end + 1, text.size());
  return line;
}

}  // namespace

absl::StatusOr<CodeProblem> ReadCodeProblem(const std::string& metadata) {
  constexpr char kWanted[] =
      "metadata needs \"tests\": [{\"stdin\": \"...\", \"stdout\": \"...\"}] or \"assertions\": [\"assert f(2) == 4\"]";
  if (NestsTooDeep(metadata)) return InputError("metadata nests too deep");
  const auto json = Json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InputError(kWanted);
  CodeProblem problem;
  for (const char* name : {"entry_point", "fn_name"}) {
    const Json* entry_point = Member(json, name);
    if (entry_point == nullptr) continue;
    if (!entry_point->is_string()) return InputError("metadata: \"", name, "\" is not a text");
    problem.entry_point = *entry_point;
  }
  HONE_RETURN_IF_ERROR(ReadTests(json, problem));
  HONE_RETURN_IF_ERROR(ReadInputsOutputs(json, problem));
  HONE_RETURN_IF_ERROR(ReadAssertions(json, problem));
  const size_t count = problem.tests.size() + problem.assertions.size() + problem.call_count;
  if (count == 0) return InputError(kWanted);
  if (count > kMaxTests) return InputError("metadata holds ", count, " tests; at most ", kMaxTests, " are run");
  return problem;
}

Program ExtractProgram(absl::string_view completion, const Language* only) {
  std::optional<Program> named, unnamed;
  for (size_t at = 0; at < completion.size();) {
    const absl::string_view line = absl::StripLeadingAsciiWhitespace(NextLine(completion, at));
    if (line.substr(0, 3) != "```") continue;
    const absl::string_view info = absl::StripAsciiWhitespace(line.substr(
        line.find_first_not_of('`') == absl::string_view::npos ? line.size() : line.find_first_not_of('`')));
    const std::string tag = absl::AsciiStrToLower(info.substr(0, info.find_first_of(" \t{")));
    const size_t begin = at;
    size_t end = completion.size();
    while (at < completion.size()) {
      const size_t start = at;
      if (absl::StripLeadingAsciiWhitespace(NextLine(completion, at)).substr(0, 3) != "```") continue;
      end = start;
      break;
    }
    const std::string text(completion.substr(begin, end - begin));
    if (tag.empty()) unnamed = Program{only != nullptr ? *only : Guess(text), text};
    if (!IsPythonTag(tag) && !IsCppTag(tag)) continue;
    const Language language = IsPythonTag(tag) ? Language::kPython : Language::kCpp;
    if (only == nullptr || *only == language) named = Program{language, text};
  }
  if (named) return *named;
  if (unnamed) return *unnamed;
  return {only != nullptr ? *only : Guess(completion), std::string(completion)};
}

std::string FirstDifference(absl::string_view found, absl::string_view wanted) {
  size_t found_at = 0, wanted_at = 0;
  for (int line = 1; found_at < found.size() || wanted_at < wanted.size(); ++line) {
    const bool found_ends = found_at >= found.size(), wanted_ends = wanted_at >= wanted.size();
    const absl::string_view mine = absl::StripTrailingAsciiWhitespace(NextLine(found, found_at));
    const absl::string_view theirs = absl::StripTrailingAsciiWhitespace(NextLine(wanted, wanted_at));
    if (mine == theirs) continue;
    const auto quote = [](bool ends, absl::string_view text) {
      return ends ? "the end" : absl::StrCat("'", Visible(text, 60), "'");
    };
    return absl::StrCat("line ", line, ": found ", quote(found_ends, mine), ", wanted ", quote(wanted_ends, theirs));
  }
  return "";
}

bool SameOutput(absl::string_view found, absl::string_view wanted) { return FirstDifference(found, wanted).empty(); }

}  // namespace hone
