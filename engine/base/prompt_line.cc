#include "engine/base/prompt_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownBytes = 60;
constexpr const char* kKinds[] = {"prompt", "messages", "tokens"};
// What ChatTemplate::Render reads.
constexpr const char* kConversationMembers[] = {
    "messages", "tools", "documents", "add_generation_prompt", "date", "chat_template_kwargs"};

std::string Conversation(const Json& json) {
  Json conversation = Json::object();
  for (const char* member : kConversationMembers) {
    if (json.contains(member)) conversation[member] = json[member];
  }
  return conversation.dump();
}

}  // namespace

absl::StatusOr<std::string> ReadText(const Json& json, absl::string_view key) {
  const auto found = json.find(std::string(key));
  if (found == json.end() || !found->is_string()) {
    return InputError("'", Visible(key, kShownBytes), "' is missing or not a text");
  }
  return found->get<std::string>();
}

absl::StatusOr<std::vector<TokenId>> ReadTokens(const Json& json, absl::string_view key, int32_t limit) {
  const auto found = json.find(std::string(key));
  if (found == json.end() || !found->is_array()) {
    return InputError("'", key, "' is missing or not a list of token ids");
  }
  std::vector<TokenId> tokens;
  for (const Json& token : *found) {
    // What is not negative is parsed as unsigned.
    if (!token.is_number_unsigned() || token.get<uint64_t>() >= static_cast<uint64_t>(limit)) {
      return InputError("'", key, "' holds ", Visible(token.dump(), kShownBytes), ", wanted ids from 0 ",
                        limit == kNoLimit ? "on" : absl::StrCat("to ", limit - 1));
    }
    tokens.push_back(token.get<TokenId>());
  }
  return tokens;
}

absl::Status ForEachObject(const std::string& path,
                           const std::function<absl::Status(const Json&, const std::string&)>& take) {
  HONE_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  int64_t number = 1, taken = 0;
  for (size_t begin = 0; begin < content.size(); ++number) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    const absl::string_view text = absl::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    if (text.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    const std::string where = absl::StrCat(path, ":", number);
    if (NestsTooDeep(text)) return InputError(where, ": nests more than ", kDeepestJson, " deep");
    const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return InputError(where, ": not a JSON object in UTF-8; one object a line is wanted");
    if (absl::Status status = take(json, where); !status.ok()) return InputError(where, ": ", status.message());
    ++taken;
  }
  if (taken == 0) return InputError(path, ": no lines; one JSON object a line is wanted");
  return absl::OkStatus();
}

absl::StatusOr<Prompt> ReadPrompt(const Json& json) {
  int kinds = 0;
  for (const char* kind : kKinds) kinds += json.contains(kind) ? 1 : 0;
  if (kinds != 1) return InputError("holds ", kinds, " of 'prompt', 'messages' and 'tokens', wanted exactly one");
  Prompt prompt;
  if (json.contains("messages")) {
    prompt.conversation = Conversation(json);
  } else if (json.contains("tokens")) {
    HONE_ASSIGN_OR_RETURN(prompt.tokens, ReadTokens(json, "tokens", kNoLimit));
    if (prompt.tokens.empty()) return InputError("'tokens' is empty; a prompt has at least one token");
  } else {
    HONE_ASSIGN_OR_RETURN(prompt.text, ReadText(json, "prompt"));
  }
  if (json.contains("answer")) {
    HONE_ASSIGN_OR_RETURN(prompt.answer, ReadText(json, "answer"));
  }
  if (const auto metadata = json.find("metadata"); metadata != json.end()) {
    if (!metadata->is_object()) return InputError("'metadata' is not an object");
    prompt.metadata = nlohmann::json(*metadata).dump();
  }
  return prompt;
}

}  // namespace hone
