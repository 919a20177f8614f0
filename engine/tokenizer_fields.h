// Reading the fields of a JSON object that may hold anything. Templates over nlohmann's JSON type, so that no header includes it.
#pragma once

#include <optional>
#include <string>

#include "engine/base/status.h"
#include "engine/base/text.h"

namespace hone {

template <typename Json>
absl::StatusOr<std::string> TextField(const Json& object, const char* name) {
  if (!object.is_object()) return InputError("is no object");
  const auto field = object.find(name);
  if (field == object.end()) return InputError("has no '", name, "'");
  if (!field->is_string()) return InputError("'", name, "' is no text");
  return field->template get<std::string>();
}

// `missing` stands for an absent or null field; without it the field must be there.
template <typename Json>
absl::StatusOr<bool> FlagField(const Json& object, const char* name, std::optional<bool> missing = std::nullopt) {
  const auto field = object.find(name);
  if (field == object.end() || field->is_null()) {
    if (missing) return *missing;
    return InputError("has no '", name, "'");
  }
  if (!field->is_boolean()) return InputError("'", name, "' is neither true nor false");
  return field->template get<bool>();
}

// `status` with what it is about in front.
inline absl::Status About(const std::string& what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

}  // namespace hone
