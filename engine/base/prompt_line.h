// A prompt as one line of JSON, in the one shape that commands and tasks read:
//
//   {"prompt": "text"} or {"messages": [{"role": "user", "content": "text"}]} or {"tokens": [1, 2]}; optional "answer": "text", "metadata": {}
//
// Errors of ReadX say nothing of file and line; ForEachObject, or who knows them, puts them in front.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// Calls take(object, "PATH:LINE") for each line of a file of JSON objects, blank lines apart, and puts the place in front of complaints.
// A file without lines is an input error.
absl::Status ForEachObject(const std::string& path,
                           const std::function<absl::Status(const nlohmann::ordered_json&, const std::string&)>& take);

// All of a Prompt but key and where. The conversation holds the members that ChatTemplate::Render reads, in the line's order, and is
// checked there; tokens are not empty, and which of them a model has is the PromptEncoder's to check. metadata's members are sorted by name.
absl::StatusOr<Prompt> ReadPrompt(const nlohmann::ordered_json& json);

// The member `key`, a text.
absl::StatusOr<std::string> ReadText(const nlohmann::ordered_json& json, absl::string_view key);

// The member `key`, a list of token ids from 0 to limit - 1.
constexpr int32_t kNoLimit = std::numeric_limits<int32_t>::max();
absl::StatusOr<std::vector<TokenId>> ReadTokens(const nlohmann::ordered_json& json, absl::string_view key,
                                                int32_t limit);

}  // namespace hone
