#include "rewards/line_protocol.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr size_t kReasonBytes = 500;
constexpr size_t kShownBytes = 120;
constexpr size_t kMaxParts = 64;
constexpr size_t kMaxPartName = 64;

std::string Quoted(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string MetadataOf(const Prompt& prompt) {
  // A text with line ends or of unknown origin is read and written again; most are compact objects already.
  if (prompt.metadata.empty() || NestsTooDeep(prompt.metadata)) return "{}";
  const bool one_line = prompt.metadata.find_first_of("\r\n") == std::string::npos;
  if (one_line && prompt.metadata[0] == '{' && Json::accept(prompt.metadata)) return prompt.metadata;
  const Json metadata = Json::parse(prompt.metadata, nullptr, /*allow_exceptions=*/false);
  return metadata.is_object() ? metadata.dump(-1, ' ', false, Json::error_handler_t::replace) : "{}";
}

// Python and JavaScript write NaN, Infinity and -Infinity, which JSON does not have: as null they can be read and refused by name.
std::string WithoutNonFinite(absl::string_view line) {
  std::string result;
  bool in_text = false;
  for (size_t at = 0; at < line.size();) {
    size_t length = 1;
    if (!in_text) {
      for (const absl::string_view name : {"-Infinity", "Infinity", "-NaN", "NaN"}) {
        if (!absl::StartsWith(line.substr(at), name)) continue;
        length = name.size();
        break;
      }
    } else if (line[at] == '\\') {
      length = 2;
    }
    if (length > 1 && !in_text) {
      result += "null";
    } else {
      if (line[at] == '"') in_text = !in_text;
      absl::StrAppend(&result, line.substr(at, length));
    }
    at += length;
  }
  return result;
}

Answer Garbage(absl::string_view line, absl::string_view what) {
  Answer answer;
  answer.verdict.reason = absl::StrCat("answered '", Visible(line, kShownBytes), "', ", what);
  return answer;
}

// "parts" as the protocol has them, or what is wrong with them.
std::string ReadParts(const Json& parts, Verdict& verdict) {
  if (parts.is_null()) return "";
  if (!parts.is_object()) return absl::StrCat("\"parts\" is a value of type ", parts.type_name(), ", not an object");
  if (parts.size() > kMaxParts) return absl::StrCat("\"parts\" has ", parts.size(), " members, at most ", kMaxParts);
  for (const auto& [name, value] : parts.items()) {
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!std::isfinite(number) || name.size() > kMaxPartName) {
      return absl::StrCat("part '", Visible(name, kMaxPartName), "' is ",
                          Visible(value.dump(-1, ' ', true, Json::error_handler_t::replace), 40),
                          ", wanted a finite number and a name of at most ", kMaxPartName, " bytes");
    }
    verdict.parts.emplace_back(Visible(name, kMaxPartName), number);
  }
  return "";
}

Verdict ReadVerdict(const Json& json, bool had_non_finite) {
  Verdict verdict;
  if (const auto error = json.find("error"); error != json.end() && !error->is_null()) {
    const std::string text = error->is_string() ? error->get<std::string>() : error->dump(-1, ' ', true);
    verdict.reason = absl::StrCat("the verifier says: ", Visible(text, kReasonBytes));
    return verdict;
  }
  const auto score = json.find("score");
  if (score == json.end()) {
    verdict.reason = "the answer has neither \"score\" nor \"error\"";
    return verdict;
  }
  const double value = score->is_number() ? score->get<double>() : std::nan("");
  if (!std::isfinite(value)) {
    const bool maybe = had_non_finite && score->is_null();
    verdict.reason =
        maybe ? "\"score\" is NaN or infinite, wanted a finite number"
              : absl::StrCat("\"score\" is ", Visible(score->dump(-1, ' ', true, Json::error_handler_t::replace), 40),
                             ", wanted a finite number");
    return verdict;
  }
  if (const auto parts = json.find("parts"); parts != json.end()) {
    if (const std::string wrong = ReadParts(*parts, verdict); !wrong.empty()) return {std::nullopt, wrong, {}};
  }
  if (const auto reason = json.find("reason"); reason != json.end() && reason->is_string()) {
    verdict.reason = Visible(reason->get_ref<const std::string&>(), kReasonBytes);
  }
  verdict.score = value;
  return verdict;
}

}  // namespace

std::string RequestTail(const Prompt& prompt, const std::string& completion) {
  return absl::StrCat(",\"prompt\":", Quoted(prompt.text), ",\"completion\":", Quoted(completion),
                      ",\"answer\":", Quoted(prompt.answer), ",\"metadata\":", MetadataOf(prompt), "}\n");
}

Answer ReadAnswer(absl::string_view line) {
  if (NestsTooDeep(line)) return Garbage(line, "which nests too deep");
  Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  bool had_non_finite = false;
  if (json.is_discarded()) {
    const std::string finite = WithoutNonFinite(line);
    had_non_finite = finite != line;
    if (had_non_finite) json = Json::parse(finite, nullptr, /*allow_exceptions=*/false);
  }
  if (!json.is_object()) {
    return Garbage(line, "which is no JSON object; what is no answer belongs on standard error");
  }
  const auto id = json.find("id");
  if (id == json.end() || !id->is_number_unsigned()) return Garbage(line, "which has no \"id\" of a sample");
  return {true, id->get<uint64_t>(), ReadVerdict(json, had_non_finite)};
}

}  // namespace hone
