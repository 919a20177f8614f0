#include "rollout/group_store.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "engine/base/file.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kMagic = "hone-groups-1\n";
constexpr size_t kChecksumBytes = 8;

uint64_t Fnv1a(absl::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

template <typename Number>
Json ToBytes(const std::vector<Number>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(Number));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return Json::binary(std::move(bytes));
}

template <typename Number>
std::vector<Number> FromBytes(const Json& json) {
  const auto& bytes = json.get_binary();
  std::vector<Number> values(bytes.size() / sizeof(Number));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Number));
  return values;
}

Json ToJson(const Sample& sample) {
  return {{"index", sample.index},
          {"tokens", ToBytes(sample.tokens)},
          {"logprobs", ToBytes(sample.logprobs)},
          {"truncated", sample.finish_reason == FinishReason::kLength},
          {"version", sample.policy_version},
          {"parent", sample.parent},
          {"branch_at", sample.branch_at},
          {"score", sample.verdict.score ? Json(*sample.verdict.score) : Json(nullptr)},
          {"shaping", sample.shaping},
          {"advantages", ToBytes(sample.advantages)}};
}

Sample ToSample(const Json& json) {
  Sample sample;
  sample.index = json.at("index");
  sample.tokens = FromBytes<TokenId>(json.at("tokens"));
  sample.logprobs = FromBytes<float>(json.at("logprobs"));
  sample.finish_reason = json.at("truncated").get<bool>() ? FinishReason::kLength : FinishReason::kStop;
  sample.policy_version = json.at("version");
  sample.parent = json.at("parent");
  sample.branch_at = json.at("branch_at");
  if (!json.at("score").is_null()) sample.verdict.score = json.at("score").get<double>();
  sample.shaping = json.at("shaping");
  sample.advantages = FromBytes<float>(json.at("advantages"));
  return sample;
}

Json ToJson(const Group& group) {
  Json json{{"key", group.prompt.key}, {"prompt", ToBytes(group.prompt.tokens)}, {"step", group.step}};
  for (const Sample& sample : group.samples) json["samples"].push_back(ToJson(sample));
  if (group.greedy) json["greedy"] = ToJson(*group.greedy);
  return json;
}

Group ToGroup(const Json& json) {
  Group group;
  group.prompt.key = json.at("key");
  group.prompt.tokens = FromBytes<TokenId>(json.at("prompt"));
  group.step = json.at("step");
  if (json.contains("samples")) {
    for (const Json& sample : json["samples"]) group.samples.push_back(ToSample(sample));
  }
  if (json.contains("greedy")) group.greedy = ToSample(json["greedy"]);
  return group;
}

}  // namespace

void Compact(Sample& sample) {
  Sample kept;
  kept.index = sample.index;
  kept.tokens = std::move(sample.tokens);
  kept.logprobs = std::move(sample.logprobs);
  kept.finish_reason = sample.finish_reason;
  kept.policy_version = sample.policy_version;
  kept.parent = sample.parent;
  kept.branch_at = sample.branch_at;
  kept.verdict.score = sample.verdict.score;
  kept.shaping = sample.shaping;
  kept.tokens.shrink_to_fit();
  kept.logprobs.shrink_to_fit();
  sample = std::move(kept);
}

size_t CompactBytes(const Sample& sample) {
  return sample.tokens.size() * sizeof(TokenId) + (sample.logprobs.size() + sample.advantages.size()) * sizeof(float);
}

absl::Status WriteGroups(const std::string& path, std::span<const Group> groups) {
  Json json = Json::array();
  for (const Group& group : groups) json.push_back(ToJson(group));
  std::string body;
  Json::to_cbor(json, body);
  std::string content(kMagic);
  const uint64_t checksum = Fnv1a(body);
  content.append(reinterpret_cast<const char*>(&checksum), kChecksumBytes);
  return WriteFile(path, content + body);
}

absl::StatusOr<std::vector<Group>> ReadGroups(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  const auto damaged = [&](absl::string_view found) {
    return InputError(path, ": ", found, ", so these groups cannot be read; go on from an earlier checkpoint");
  };
  if (!absl::StartsWith(content, kMagic)) return damaged("not a file of groups, or of another version of hone");
  absl::string_view body(content);
  body.remove_prefix(kMagic.size());
  uint64_t checksum = 0;
  if (body.size() < kChecksumBytes) return damaged("cut short");
  std::memcpy(&checksum, body.data(), kChecksumBytes);
  body.remove_prefix(kChecksumBytes);
  if (Fnv1a(body) != checksum) return damaged("checksum differs: cut short or changed");
  std::vector<Group> groups;
  try {  // the library's way to say that a field is missing or of another type
    for (const Json& group : Json::from_cbor(body.begin(), body.end())) groups.push_back(ToGroup(group));
  } catch (const Json::exception& error) {
    return damaged(error.what());
  }
  return groups;
}

}  // namespace hone
