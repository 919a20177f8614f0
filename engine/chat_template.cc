#include "engine/chat_template.h"

#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/syntax.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;
using Variables = std::vector<std::pair<std::string, jinja::Value>>;

// The names that transformers knows; others (image_token, ...) are not given to templates.
constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

// An object, or null when the file is not there.
absl::StatusOr<Json> ReadObject(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return Json();
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InputError(path, ": not a JSON object");
  return json;
}

// A token is a text, or an object with its text in "content".
std::string TokenText(const Json& files, const char* name) {
  if (!files.is_object() || !files.contains(name)) return "";
  const Json& token = files[name].is_object() && files[name].contains("content") ? files[name]["content"] : files[name];
  return token.is_string() ? token.get<std::string>() : "";
}

struct Source {
  std::string text, tool_use, where;
};

// `json` is a template, or a list of {"name", "template"}.
absl::StatusOr<Source> FromMember(const Json& json, const std::string& where) {
  if (json.is_string()) return Source{json.get<std::string>(), "", where};
  Source source{"", "", where};
  for (const Json& entry : json.is_array() ? json : Json::array()) {
    if (!entry.is_object()) continue;
    const Json name = entry.value("name", Json()), text = entry.value("template", Json());
    if (!text.is_string()) continue;
    if (name == "default") source.text = text.get<std::string>();
    if (name == "tool_use") source.tool_use = text.get<std::string>();
  }
  if (source.text.empty()) return InputError(where, ": is neither a text nor a list with a template called 'default'");
  return source;
}

// Nothing where the model has no template.
absl::StatusOr<std::optional<Source>> FindSource(const std::string& folder, const Json& config) {
  std::error_code error;
  const std::string file = absl::StrCat(folder, "/chat_template.jinja");
  if (std::filesystem::exists(file, error)) {
    HONE_ASSIGN_OR_RETURN(std::string text, ReadFile(file));
    Source source{std::move(text), "", file};
    const std::string tool_use = absl::StrCat(folder, "/additional_chat_templates/tool_use.jinja");
    if (std::filesystem::exists(tool_use, error)) {
      HONE_ASSIGN_OR_RETURN(source.tool_use, ReadFile(tool_use));
    }
    return source;
  }
  const std::string json_file = absl::StrCat(folder, "/chat_template.json");
  HONE_ASSIGN_OR_RETURN(const Json json, ReadObject(json_file));
  for (const auto& [members, where] :
       {std::pair(json, json_file), {config, absl::StrCat(folder, "/tokenizer_config.json")}}) {
    if (members.is_object() && members.contains("chat_template") && !members["chat_template"].is_null())
      return FromMember(members["chat_template"], absl::StrCat(where, ": chat_template"));
  }
  return std::nullopt;
}

absl::StatusOr<std::tm> ParseDate(const Json& json) {
  const std::string text = json.is_string() ? json.get<std::string>() : "";
  absl::CivilSecond time;
  absl::CivilDay day;
  if (absl::ParseCivilTime(text, &day)) {
    time = absl::CivilSecond(day);
  } else if (!absl::ParseLenientCivilTime(text, &time)) {
    return InputError("'date' is not a day such as \"2025-01-31\" or \"2025-01-31T12:30:00\"");
  }
  if (time.year() < 1 || time.year() > 9999) return InputError("'date' has a year outside of 1 to 9999");
  std::tm date{};
  date.tm_year = static_cast<int>(time.year() - 1900);
  date.tm_mon = time.month() - 1;
  date.tm_mday = time.day();
  date.tm_hour = time.hour();
  date.tm_min = time.minute();
  date.tm_sec = time.second();
  date.tm_yday = absl::GetYearDay(absl::CivilDay(time)) - 1;
  date.tm_wday = (static_cast<int>(absl::GetWeekday(absl::CivilDay(time))) + 1) % 7;  // absl's week begins on Monday
  return date;
}

// As transformers hands them over: members that are null are left out, and reasoning goes by all names that templates know.
absl::StatusOr<Json> Messages(const Json& conversation) {
  if (!conversation.contains("messages") || !conversation["messages"].is_array() || conversation["messages"].empty())
    return InputError("'messages' is not a list of at least one message");
  Json messages = Json::array();
  for (const Json& message : conversation["messages"]) {
    if (!message.is_object()) return InputError("a message is not an object with 'role' and 'content'");
    if (!message.contains("role") || !message["role"].is_string())
      return InputError("message ", messages.size() + 1, " has no 'role' that is a text");
    Json kept = Json::object(), reasoning;
    for (const auto& [key, value] : message.items()) {
      if (!value.is_null()) kept[key] = value;
    }
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
      if (reasoning.is_null() && kept.contains(name)) reasoning = kept[name];
    }
    if (!reasoning.is_null()) {
      Json aliased = {{"thinking", reasoning}};
      for (const auto& [key, value] : kept.items()) aliased[key] = value;
      aliased["reasoning_content"] = reasoning;
      kept = std::move(aliased);
    }
    messages.push_back(std::move(kept));
  }
  return messages;
}

absl::Status AddVariable(const std::string& name, const Json& json, Variables& variables) {
  jinja::Budget budget;
  auto value = jinja::FromJson(json.dump(), budget);
  if (!value.ok()) return InputError("'", Visible(name, 40), "': ", value.status().message());
  variables.emplace_back(name, *std::move(value));
  return absl::OkStatus();
}

}  // namespace

ChatTemplate::ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<ChatTemplate::Parsed> ChatTemplate::Parse(const std::string& source, const std::string& where) {
  Parsed parsed{where, nullptr};
  auto block = jinja::Parse(source, where);
  if (!block.ok()) return InputError(Visible(block.status().message(), 380));
  parsed.block = *std::move(block);
  return parsed;
}

absl::StatusOr<ChatTemplate> ChatTemplate::Load(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(std::optional<ChatTemplate> chat, LoadIfAny(folder));
  if (chat) return *std::move(chat);
  return InputError(
      folder,
      ": the model has no chat template (no chat_template.jinja, no 'chat_template' in tokenizer_config.json);"
      " give whole prompts as 'prompt', without 'messages' and --chat");
}

absl::StatusOr<std::optional<ChatTemplate>> ChatTemplate::LoadIfAny(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(const Json config, ReadObject(absl::StrCat(folder, "/tokenizer_config.json")));
  HONE_ASSIGN_OR_RETURN(const Json map, ReadObject(absl::StrCat(folder, "/special_tokens_map.json")));
  HONE_ASSIGN_OR_RETURN(const std::optional<Source> source, FindSource(folder, config));
  if (!source) return std::nullopt;
  ChatTemplate chat;
  HONE_ASSIGN_OR_RETURN(chat.default_, Parse(source->text, source->where));
  if (!source->tool_use.empty()) {
    HONE_ASSIGN_OR_RETURN(chat.tool_use_, Parse(source->tool_use, absl::StrCat(source->where, " (tool_use)")));
  }
  for (const char* name : kSpecialTokens) {
    std::string text = TokenText(config, name);
    const bool config_says_none = config.is_object() && config.contains(name) && config[name].is_null();
    if (text.empty() && !config_says_none) text = TokenText(map, name);
    if (!text.empty()) chat.special_tokens_.emplace_back(name, std::move(text));
  }
  return std::optional<ChatTemplate>(std::move(chat));
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::string& text) const {
  const Json conversation = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!conversation.is_object()) return InputError("the conversation is not a JSON object in UTF-8");
  const auto member = [&](const char* name, Json otherwise) { return conversation.value(name, std::move(otherwise)); };
  HONE_ASSIGN_OR_RETURN(const Json messages, Messages(conversation));
  HONE_ASSIGN_OR_RETURN(const std::tm date, ParseDate(member("date", kDefaultDate)));
  const Json tools = member("tools", Json()), more = member("chat_template_kwargs", Json::object());
  if (!tools.is_null() && !tools.is_array()) return InputError("'tools' is not a list");
  if (!more.is_object()) return InputError("'chat_template_kwargs' is not an object");
  Variables variables;
  for (const auto& [name, token] : special_tokens_) variables.emplace_back(name, jinja::Value(token));
  HONE_RETURN_IF_ERROR(AddVariable("messages", messages, variables));
  HONE_RETURN_IF_ERROR(AddVariable("tools", tools, variables));
  HONE_RETURN_IF_ERROR(AddVariable("documents", member("documents", Json()), variables));
  HONE_RETURN_IF_ERROR(AddVariable("add_generation_prompt", member("add_generation_prompt", true), variables));
  for (const auto& [name, value] : more.items()) HONE_RETURN_IF_ERROR(AddVariable(name, value, variables));
  const Parsed& chosen = !tools.is_null() && tool_use_.block != nullptr ? tool_use_ : default_;
  return jinja::Interpreter(chosen.where, date).Render(*chosen.block, std::move(variables));
}

absl::StatusOr<std::string> ChatTemplate::RenderPrompt(const std::string& prompt) const {
  if (FindInvalidUtf8(prompt)) return InputError("the prompt is not UTF-8");
  Json message = Json::object(), conversation = Json::object();
  message["role"] = "user";
  message["content"] = prompt;
  conversation["messages"] = Json::array({std::move(message)});
  return Render(conversation.dump());
}

}  // namespace hone
