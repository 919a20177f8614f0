#include "engine/config_reader.h"

#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::json;

// How much of a wrong value a message shows.
constexpr size_t kShownBytes = 80;

// Missing, null, false or {}: says that something is not used.
bool SaysNothing(const Json& value) {
  return value.is_null() || value == Json(false) || (value.is_object() && value.empty());
}

}  // namespace

struct ConfigReader::State {
  std::string path;
  Json json;
  std::set<std::string> known;
  absl::Status status;

  // The value, or null; `key` may be "a/b".
  const Json* Find(const std::string& key) const {
    const size_t slash = key.find('/');
    const auto found = json.find(key.substr(0, slash));
    if (found == json.end()) return nullptr;
    if (slash == std::string::npos) return &*found;
    if (!found->is_object()) return nullptr;
    const auto inner = found->find(key.substr(slash + 1));
    return inner == found->end() ? nullptr : &*inner;
  }

  const Json* Read(const std::string& key) {
    known.insert(key);
    const Json* value = Find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  absl::Status Unknown(const std::string& key, const Json& value) const {
    return InputError(path, ": '", Visible(key, kShownBytes), "' is ", Visible(value.dump(), kShownBytes),
                      "; this build does not know the key, and it may change the arithmetic; remove it if it does not");
  }

  // Keys of the object `value`, whose own name is `prefix` with a slash, or "" at the top.
  absl::Status CheckKeys(const std::string& prefix, const Json& object) const {
    for (const auto& [name, value] : object.items()) {
      const std::string key = prefix + name;
      if (known.count(key) > 0 || SaysNothing(value)) continue;
      const auto inner = known.lower_bound(key + "/");
      const bool entered = prefix.empty() && inner != known.end() && inner->rfind(key + "/", 0) == 0;
      if (!entered || !value.is_object()) return Unknown(key, value);
      absl::Status checked = CheckKeys(key + "/", value);
      if (!checked.ok()) return checked;
    }
    return absl::OkStatus();
  }
};

ConfigReader::ConfigReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;
ConfigReader::~ConfigReader() = default;

absl::StatusOr<ConfigReader> ConfigReader::Parse(const std::string& path, const std::string& text) {
  auto state = std::make_unique<State>();
  state->path = path;
  if (NestsTooDeep(text)) return InputError(path, ": brackets more than ", kDeepestJson, " deep; no model needs that");
  state->json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (state->json.is_discarded() || !state->json.is_object()) {
    return InputError(path, ": not a JSON object; copy the model folder again");
  }
  return ConfigReader(std::move(state));
}

bool ConfigReader::Has(const std::string& key) const {
  const Json* value = state_->Find(key);
  return value != nullptr && !value->is_null() && !(value->is_object() && value->empty());
}

int32_t ConfigReader::Int(const std::string& key, int32_t low, int32_t high, Absent absent) {
  const Json* value = state_->Read(key);
  const std::optional<int32_t> fallback = state_->Find(key) == nullptr ? absent.missing : absent.null;
  if (value == nullptr && fallback) return *fallback;
  const bool fits = value != nullptr && value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= uint64_t{INT32_MAX}) &&
                    value->get<int64_t>() >= low && value->get<int64_t>() <= high;
  if (fits) return value->get<int32_t>();
  Fail(key, absl::StrCat("a whole number from ", low, " to ", high));
  return low;
}

double ConfigReader::Positive(const std::string& key, std::optional<double> fallback) {
  const Json* value = state_->Read(key);
  if (value == nullptr && fallback) return *fallback;
  if (value != nullptr && value->is_number() && value->get<double>() > 0) return value->get<double>();
  Fail(key, "a positive number");
  return 1;
}

double ConfigReader::NonNegative(const std::string& key, double fallback) {
  const Json* value = state_->Read(key);
  if (value == nullptr) return fallback;
  if (value->is_number() && value->get<double>() >= 0) return value->get<double>();
  Fail(key, "a number from 0 on");
  return fallback;
}

bool ConfigReader::Bool(const std::string& key, bool fallback) {
  const Json* value = state_->Read(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Fail(key, "true or false");
  return fallback;
}

std::string ConfigReader::Text(const std::string& key, const std::string& fallback) {
  const Json* value = state_->Read(key);
  if (value == nullptr) return fallback;
  if (value->is_string()) return value->get<std::string>();
  Fail(key, "a text");
  return fallback;
}

std::vector<std::string> ConfigReader::Texts(const std::string& key) {
  const Json* value = state_->Read(key);
  std::vector<std::string> texts;
  if (value == nullptr) return texts;
  for (const Json& each : value->is_array() ? *value : Json::array({nullptr})) {
    if (each.is_string()) {
      texts.push_back(each.get<std::string>());
    } else {
      Fail(key, "a list of texts");
    }
  }
  return texts;
}

std::vector<TokenId> ConfigReader::Tokens(const std::string& key, const std::vector<TokenId>& missing) {
  const Json* value = state_->Read(key);
  if (value == nullptr) return state_->Find(key) == nullptr ? missing : std::vector<TokenId>{};
  std::vector<TokenId> tokens;
  for (const Json& each : value->is_array() ? *value : Json::array({*value})) {
    if (each.is_number_unsigned() && each.get<uint64_t>() <= uint64_t{INT32_MAX}) {
      tokens.push_back(each.get<TokenId>());
    } else {
      Fail(key, "a token id or a list of them");
    }
  }
  return tokens;
}

void ConfigReader::Require(const std::string& key, const std::string& value) {
  const Json* found = state_->Read(key);
  if (found != nullptr && *found != Json::parse(value)) Fail(key, value + ", nothing else is supported");
}

void ConfigReader::CheckSize(const std::string& key, size_t size) {
  const Json* found = state_->Read(key);
  if (found != nullptr && (!found->is_structured() || found->size() != size)) {
    Fail(key, absl::StrCat("one with ", size, size == 1 ? " member" : " members"));
  }
}

void ConfigReader::Ignore(const std::string& key) { state_->known.insert(key); }

void ConfigReader::Fail(const std::string& key, const std::string& wanted) {
  if (!state_->status.ok()) return;
  const Json* value = state_->Find(key);
  state_->status = InputError(state_->path, ": '", key, "' is ",
                              value == nullptr ? "missing" : Visible(value->dump(), kShownBytes), ", wanted ", wanted);
}

const absl::Status& ConfigReader::status() const { return state_->status; }

absl::Status ConfigReader::Finish() const {
  if (!state_->status.ok()) return state_->status;
  return state_->CheckKeys("", state_->json);
}

}  // namespace hone
