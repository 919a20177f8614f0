#include "trainer/preference_data.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/string_view.h"
#include "engine/base/prompt_line.h"
#include "engine/base/random.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

// ---- Lines -------------------------------------------------------------------------------------------------------

absl::StatusOr<GivenAnswer> ReadAnswer(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end())
    return InputError("has no '", key, "' answer; a line wants a prompt, 'chosen' and 'rejected'");
  GivenAnswer answer;
  if (found->is_array()) {
    HONE_ASSIGN_OR_RETURN(answer.tokens, ReadTokens(json, key, kNoLimit));
  } else if (found->is_string()) {
    answer.text = found->get<std::string>();
  } else {
    return InputError("'", key, "' is neither a text nor a list of token ids");
  }
  if (answer == GivenAnswer()) return InputError("'", key, "' is empty; take the line out");
  return answer;
}

absl::StatusOr<PreferenceLine> ReadLine(const Json& json) {
  PreferenceLine line;
  HONE_ASSIGN_OR_RETURN(line.prompt, ReadPrompt(json));
  HONE_ASSIGN_OR_RETURN(line.chosen, ReadAnswer(json, "chosen"));
  HONE_ASSIGN_OR_RETURN(line.rejected, ReadAnswer(json, "rejected"));
  if (line.chosen == line.rejected) return InputError("'chosen' and 'rejected' are equal; take the line out");
  return line;
}

// ---- Tokens ------------------------------------------------------------------------------------------------------

absl::StatusOr<std::vector<TokenId>> EncodeAnswer(const GivenAnswer& answer, PromptEncoder& encoder) {
  if (!answer.tokens.empty()) {
    HONE_RETURN_IF_ERROR(encoder.CheckTokens(answer.tokens));
    return answer.tokens;
  }
  HONE_ASSIGN_OR_RETURN(std::vector<TokenId> tokens, encoder.EncodeAnswer(answer.text));
  if (tokens.size() == 1) return InputError("an answer has no tokens; take the line out");
  return tokens;
}

}  // namespace

absl::StatusOr<std::vector<PreferenceLine>> ReadPreferences(const std::string& path) {
  std::vector<PreferenceLine> lines;
  HONE_RETURN_IF_ERROR(ForEachObject(path, [&](const Json& json, const std::string& where) -> absl::Status {
    HONE_ASSIGN_OR_RETURN(PreferenceLine line, ReadLine(json));
    line.prompt.where = where;
    lines.push_back(std::move(line));
    return absl::OkStatus();
  }));
  return lines;
}

absl::StatusOr<PreferenceData> PreferenceData::Encode(const std::vector<PreferenceLine>& lines, int64_t max_positions,
                                                      PromptEncoder& encoder) {
  PreferenceData data;
  for (const PreferenceLine& line : lines) {
    Prompt prompt = line.prompt;
    HONE_RETURN_IF_ERROR(encoder.Encode(prompt));
    absl::StatusOr<Pair> pair = EncodePair(std::move(prompt.tokens), line, max_positions, encoder);
    if (!pair.ok()) return InputError(prompt.where, ": ", pair.status().message());
    data.pairs_.push_back(*std::move(pair));
  }
  return data;
}

absl::StatusOr<PreferenceData::Pair> PreferenceData::EncodePair(std::vector<TokenId> prompt, const PreferenceLine& line,
                                                                int64_t max_positions, PromptEncoder& encoder) {
  Pair pair{std::move(prompt), {}, {}};
  HONE_ASSIGN_OR_RETURN(pair.chosen, EncodeAnswer(line.chosen, encoder));
  HONE_ASSIGN_OR_RETURN(pair.rejected, EncodeAnswer(line.rejected, encoder));
  if (pair.chosen == pair.rejected) {
    return InputError("'chosen' and 'rejected' are the same tokens to this tokenizer; take the line out");
  }
  const auto longest = static_cast<int64_t>(pair.prompt.size() + std::max(pair.chosen.size(), pair.rejected.size()));
  if (longest > max_positions) {
    return InputError("prompt and answer are ", longest, " tokens, more than the model's ", max_positions,
                      " positions; shorten them or take the line out");
  }
  return pair;
}

std::vector<TrainGroup> PreferenceData::Batch(int64_t first, int64_t count, uint64_t seed) {
  const auto size = static_cast<int64_t>(pairs_.size());
  std::vector<TrainGroup> groups;
  for (int64_t i = first; i < first + count; ++i) {
    if (i / size != pass_) {
      pass_ = i / size;
      order_.resize(pairs_.size());
      std::iota(order_.begin(), order_.end(), 0);
      RandomSequence random(seed, RandomStream::kOrder, static_cast<uint64_t>(pass_));
      for (size_t left = order_.size(); left > 1; --left)
        std::swap(order_[left - 1], order_[random.Below(static_cast<uint32_t>(left))]);
    }
    const Pair& pair = pairs_[order_[i % size]];
    groups.push_back({&pair.prompt, {{.tokens = &pair.chosen}, {.tokens = &pair.rejected}}});
  }
  return groups;
}

}  // namespace hone
