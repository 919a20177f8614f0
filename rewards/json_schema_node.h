// A JSON Schema as read: what json_schema_node.cc makes of the text, and json_schema.cc checks with.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace re2 {
class RE2;
}

namespace hone {

// A set of types, as bits.
enum JsonType : int {
  kJsonNull = 1,
  kJsonBoolean = 2,
  kJsonObject = 4,
  kJsonArray = 8,
  kJsonNumber = 16,
  kJsonString = 32,
  kJsonInteger = 64,  // beside kJsonNumber; 1.0 is one
};
inline constexpr absl::string_view kJsonTypeNames[] = {"null",   "boolean", "object", "array",
                                                       "number", "string",  "integer"};  // in the order of the bits

struct CountRange {
  uint64_t min = 0, max = std::numeric_limits<uint64_t>::max();
};

// One schema: each member is a keyword, at the value that accepts everything where the keyword is not there. Other schemas are named by
// their index, kNone for none.
struct SchemaNode {
  using Json = nlohmann::json;
  using Pattern = std::shared_ptr<const re2::RE2>;
  static constexpr int kNone = -1;

  bool never = false;  // the schema `false`
  int types = -1;
  // Into the schema's text.
  const Json *constant = nullptr, *choices = nullptr;
  const Json *minimum = nullptr, *maximum = nullptr, *exclusive_minimum = nullptr, *exclusive_maximum = nullptr;
  const Json* multiple_of = nullptr;

  CountRange length;
  Pattern pattern;
  std::string format;

  CountRange item_count, contained{1};
  std::vector<int> prefix_items;
  int items = kNone, contains = kNone;
  bool unique_items = false;

  CountRange member_count;
  absl::flat_hash_map<std::string, int> properties;
  std::vector<std::pair<Pattern, int>> pattern_properties;
  int additional_properties = kNone, property_names = kNone;
  std::vector<std::string> required;
  std::vector<std::pair<std::string, std::vector<std::string>>> dependent_required;
  std::vector<std::pair<std::string, int>> dependent_schemas;

  std::vector<int> all_of, any_of, one_of;
  int negated = kNone, condition = kNone, consequence = kNone, alternative = kNone, reference = kNone;
};

// The schema itself comes first. `root` must outlive the nodes.
absl::StatusOr<std::vector<SchemaNode>> ReadSchemaNodes(const nlohmann::json& root);

}  // namespace hone
