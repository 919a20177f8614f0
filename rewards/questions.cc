#include "rewards/questions.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "engine/base/prompt_line.h"
#include "engine/base/text.h"

namespace hone {

using Json = nlohmann::ordered_json;

std::string WriteQuestions(const std::vector<Prompt>& questions) {
  Json list = Json::array();
  for (const Prompt& question : questions) {
    Json json = {{"key", question.key}, {"prompt", question.text}};
    if (!question.answer.empty()) json["answer"] = question.answer;
    if (!question.metadata.empty())
      json["metadata"] = Json::parse(question.metadata, nullptr, /*allow_exceptions=*/false);
    list.push_back(std::move(json));
  }
  return Json({{"questions", std::move(list)}}).dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<std::vector<Prompt>> ReadQuestions(const std::string& metadata) {
  if (NestsTooDeep(metadata)) return InputError("metadata nests more than ", kDeepestJson, " deep");
  const auto json = Json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  const auto list = json.is_object() ? json.find("questions") : json.end();
  if (list == json.end() || !list->is_array() || list->empty()) {
    return InputError("metadata needs \"questions\", a list of prompts like {\"prompt\": \"1+2=\", \"answer\": \"3\"}");
  }
  std::vector<Prompt> questions;
  for (const Json& each : *list) {
    auto question = each.is_object() ? ReadPrompt(each) : InputError("is no object");
    if (!question.ok())
      return InputError("metadata: question ", questions.size() + 1, ": ", question.status().message());
    if (const auto key = each.find("key"); key != each.end() && key->is_number_unsigned())
      question->key = key->get<uint64_t>();
    questions.push_back(*std::move(question));
  }
  return questions;
}

}  // namespace hone
