#include "rewards/json_schema_node.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using Json = nlohmann::json;
using Node = SchemaNode;

constexpr int64_t kMaxPatternMemory = 1 << 20;
constexpr size_t kMaxPatterns = 256;
constexpr size_t kShownBytes = 60;
constexpr size_t kPlaceBytes = 200;
constexpr double kMaxCount = 1e15;

// ---- Keywords by the shape of their values ------------------------------------------------------------------------

template <typename Member>
struct Keyword {
  absl::string_view name;
  Member Node::*member;
};

constexpr Keyword<const Json*> kNumbers[] = {{"minimum", &Node::minimum},
                                             {"maximum", &Node::maximum},
                                             {"exclusiveMinimum", &Node::exclusive_minimum},
                                             {"exclusiveMaximum", &Node::exclusive_maximum},
                                             {"multipleOf", &Node::multiple_of}};
constexpr Keyword<CountRange> kMinCounts[] = {{"minLength", &Node::length},
                                              {"minItems", &Node::item_count},
                                              {"minProperties", &Node::member_count},
                                              {"minContains", &Node::contained}};
constexpr Keyword<CountRange> kMaxCounts[] = {{"maxLength", &Node::length},
                                              {"maxItems", &Node::item_count},
                                              {"maxProperties", &Node::member_count},
                                              {"maxContains", &Node::contained}};
constexpr Keyword<int> kSchemas[] = {{"items", &Node::items},
                                     {"contains", &Node::contains},
                                     {"additionalProperties", &Node::additional_properties},
                                     {"propertyNames", &Node::property_names},
                                     {"not", &Node::negated},
                                     {"if", &Node::condition},
                                     {"then", &Node::consequence},
                                     {"else", &Node::alternative}};
constexpr Keyword<std::vector<int>> kSchemaLists[] = {
    {"prefixItems", &Node::prefix_items}, {"allOf", &Node::all_of}, {"anyOf", &Node::any_of}, {"oneOf", &Node::one_of}};
constexpr absl::string_view kOthers[] = {"type",
                                         "const",
                                         "enum",
                                         "pattern",
                                         "format",
                                         "uniqueItems",
                                         "properties",
                                         "required",
                                         "$ref",
                                         "patternProperties",
                                         "dependentRequired",
                                         "dependentSchemas"};
// These change nothing about what is valid, or are read where another keyword refers to them.
constexpr absl::string_view kNotes[] = {"$schema",         "$comment",         "$defs",         "definitions",
                                        "title",           "default",          "examples",      "readOnly",
                                        "description",     "deprecated",       "writeOnly",     "$vocabulary",
                                        "contentEncoding", "contentMediaType", "contentSchema", "additionalItems"};

template <typename Member, size_t count>
Member Node::*Find(const Keyword<Member> (&table)[count], absl::string_view name) {
  for (const auto& [its_name, member] : table) {
    if (its_name == name) return member;
  }
  return nullptr;
}

template <size_t count>
bool Contains(const absl::string_view (&names)[count], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::vector<std::string> AllKeywords() {
  std::vector<std::string> names;
  const auto add = [&](const auto& table) {
    for (const auto& keyword : table) names.emplace_back(keyword.name);
  };
  add(kNumbers), add(kMinCounts), add(kMaxCounts), add(kSchemas), add(kSchemaLists);
  for (const absl::string_view name : kOthers) names.emplace_back(name);
  for (const absl::string_view name : kNotes) names.emplace_back(name);
  return names;
}

absl::Status Wanted(const Json& found, absl::string_view wanted) {
  const std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  return InputError("found ", Visible(text, kShownBytes), ", wanted ", wanted);
}

absl::StatusOr<std::vector<std::string>> ReadTexts(const Json& value) {
  if (!value.is_array()) return Wanted(value, "a list of texts");
  std::vector<std::string> texts;
  for (const Json& text : value) {
    if (!text.is_string()) return Wanted(text, "a text");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

absl::StatusOr<int> ReadTypes(const Json& value) {
  int types = 0;
  const auto add = [&](const Json& name) {
    const auto* const end = std::end(kJsonTypeNames);
    const auto* const found =
        name.is_string() ? std::find(std::begin(kJsonTypeNames), end, name.get<std::string>()) : end;
    if (found != end) types |= 1 << (found - std::begin(kJsonTypeNames));
    return found != end;
  };
  constexpr absl::string_view kWanted = "null, boolean, object, array, number, string, integer or a list of them";
  if (!value.is_array()) return add(value) ? absl::StatusOr<int>(types) : Wanted(value, kWanted);
  for (const Json& name : value) {
    if (!add(name)) return Wanted(name, kWanted);
  }
  return types;
}

absl::StatusOr<uint64_t> ReadCount(const Json& value) {
  const double number = value.is_number() ? value.get<double>() : -1;
  if (number < 0 || number > kMaxCount || number != std::floor(number))
    return Wanted(value, "a whole number from 0 up");
  return static_cast<uint64_t>(number);
}

// "/$defs/a~1b" -> what stands there, or null.
const Json* FindPlace(const Json& root, absl::string_view pointer) {
  const Json* at = &root;
  if (pointer.empty()) return at;
  if (!absl::ConsumePrefix(&pointer, "/")) return nullptr;
  for (const absl::string_view part : absl::StrSplit(pointer, '/')) {
    const std::string key = absl::StrReplaceAll(part, {{"~1", "/"}, {"~0", "~"}});
    size_t index = 0;
    if (at->is_object() && at->contains(key)) {
      at = &(*at)[key];
    } else if (at->is_array() && absl::SimpleAtoi(key, &index) && index < at->size()) {
      at = &(*at)[index];
    } else {
      return nullptr;
    }
  }
  return at;
}

// %25 and the like, of the fragment of an address.
std::string PercentDecoded(absl::string_view text) {
  std::string decoded;
  for (size_t at = 0; at < text.size(); ++at) {
    uint32_t byte = 0;
    if (text[at] == '%' && at + 2 < text.size() && absl::SimpleHexAtoi(text.substr(at + 1, 2), &byte)) {
      decoded += static_cast<char>(byte);
      at += 2;
    } else {
      decoded += text[at];
    }
  }
  return decoded;
}

// ---- The reader --------------------------------------------------------------------------------------------------

// Schemas wait in a queue instead of calling one another: a chain of references may be as long as the text.
class Reader {
 public:
  explicit Reader(const Json& root) : root_(root) {}

  absl::StatusOr<std::vector<Node>> ReadAll() {
    Add(root_, "#", "");
    std::vector<Node> nodes;
    while (nodes.size() < waiting_.size()) {
      const auto [schema, place] = waiting_[nodes.size()];
      HONE_ASSIGN_OR_RETURN(Node node, ReadNode(*schema, place));
      nodes.push_back(std::move(node));
    }
    return nodes;
  }

 private:
  // The index that the schema at place/step has or gets. Places are for errors, and do not grow without bound.
  int Add(const Json& schema, const std::string& place, absl::string_view step) {
    const auto [at, is_new] = indices_.try_emplace(&schema, static_cast<int>(waiting_.size()));
    if (is_new) waiting_.emplace_back(&schema, Inside(place, step));
    return at->second;
  }

  static std::string Inside(const std::string& place, absl::string_view step) {
    return step.empty() || place.size() > kPlaceBytes ? place : absl::StrCat(place, "/", Visible(step, kShownBytes));
  }

  absl::StatusOr<Node> ReadNode(const Json& schema, const std::string& place) {
    Node node;
    if (schema.is_boolean()) {
      node.never = !schema.get<bool>();
      return node;
    }
    if (!schema.is_object()) {
      return InputError("schema: ", place, ": ", Wanted(schema, "a schema, an object or true or false").message());
    }
    for (const auto& [name, value] : schema.items()) {
      const std::string inside = Inside(place, name);
      const absl::Status status = ReadKeyword(schema, name, value, inside, node);
      if (!status.ok()) return InputError("schema: ", inside, ": ", status.message());
    }
    return node;
  }

  absl::Status ReadKeyword(const Json& schema, const std::string& name, const Json& value, const std::string& place,
                           Node& node) {
    if (Contains(kNotes, name) || (name == "$id" && &schema == &root_)) return absl::OkStatus();
    if (name == "items" && value.is_array()) {  // draft 7's name for prefixItems
      if (schema.contains("additionalItems")) node.items = Add(schema["additionalItems"], place, "additionalItems");
      return ReadSchemaList(value, place, node.prefix_items);
    }
    if (const auto member = Find(kSchemas, name)) {
      node.*member = Add(value, place, "");
    } else if (const auto list = Find(kSchemaLists, name)) {
      return ReadSchemaList(value, place, node.*list);
    } else if (const auto number = Find(kNumbers, name)) {
      const bool is_divisor = name == "multipleOf";
      if (!value.is_number() || (is_divisor && value <= 0)) {
        return Wanted(value, is_divisor ? "a number above 0" : "a number");
      }
      node.*number = &value;
    } else if (const auto minimum = Find(kMinCounts, name)) {
      HONE_ASSIGN_OR_RETURN((node.*minimum).min, ReadCount(value));
    } else if (const auto maximum = Find(kMaxCounts, name)) {
      HONE_ASSIGN_OR_RETURN((node.*maximum).max, ReadCount(value));
    } else if (Contains(kOthers, name)) {
      return ReadOther(name, value, place, node);
    } else {
      return InputError("this keyword is not supported", DidYouMean(name, AllKeywords()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadOther(const std::string& name, const Json& value, const std::string& place, Node& node) {
    if (name == "const") {
      node.constant = &value;
    } else if (name == "enum") {
      if (!value.is_array()) return Wanted(value, "a list");
      node.choices = &value;
    } else if (name == "type") {
      HONE_ASSIGN_OR_RETURN(node.types, ReadTypes(value));
    } else if (name == "required") {
      HONE_ASSIGN_OR_RETURN(node.required, ReadTexts(value));
    } else if (name == "uniqueItems") {
      if (!value.is_boolean()) return Wanted(value, "true or false");
      node.unique_items = value.get<bool>();
    } else if (name == "pattern" || name == "format" || name == "$ref") {
      if (!value.is_string()) return Wanted(value, "a text");
      return ReadTextKeyword(name, value.get<std::string>(), place, node);
    } else {
      if (!value.is_object()) return Wanted(value, "an object");
      for (const auto& [key, member] : value.items()) HONE_RETURN_IF_ERROR(ReadMember(name, key, member, place, node));
    }
    return absl::OkStatus();
  }

  absl::Status ReadTextKeyword(const std::string& name, const std::string& text, const std::string& place, Node& node) {
    if (name == "format") {
      node.format = text;
    } else if (name == "pattern") {
      HONE_ASSIGN_OR_RETURN(node.pattern, ReadPattern(text));
    } else {
      const bool is_inside = !text.empty() && text[0] == '#';
      const Json* target = is_inside ? FindPlace(root_, PercentDecoded(absl::string_view(text).substr(1))) : nullptr;
      if (target == nullptr) {
        return InputError("'", Visible(text, kShownBytes), "' is no place in this schema, such as #/$defs/name");
      }
      node.reference = Add(*target, is_inside ? text.substr(0, kPlaceBytes) : place, "");
    }
    return absl::OkStatus();
  }

  // One member of properties, patternProperties, dependentRequired or dependentSchemas.
  absl::Status ReadMember(const std::string& name, const std::string& key, const Json& value, const std::string& place,
                          Node& node) {
    if (name == "properties") {
      node.properties[key] = Add(value, place, key);
    } else if (name == "patternProperties") {
      HONE_ASSIGN_OR_RETURN(auto pattern, ReadPattern(key));
      node.pattern_properties.emplace_back(std::move(pattern), Add(value, place, key));
    } else if (name == "dependentSchemas") {
      node.dependent_schemas.emplace_back(key, Add(value, place, key));
    } else {
      HONE_ASSIGN_OR_RETURN(auto texts, ReadTexts(value));
      node.dependent_required.emplace_back(key, std::move(texts));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSchemaList(const Json& value, const std::string& place, std::vector<int>& list) {
    if (!value.is_array()) return Wanted(value, "a list of schemas");
    for (size_t i = 0; i < value.size(); ++i) list.push_back(Add(value[i], place, absl::StrCat(i)));
    return absl::OkStatus();
  }

  absl::StatusOr<Node::Pattern> ReadPattern(const std::string& text) {
    if (++patterns_ > kMaxPatterns) return InputError("more than ", kMaxPatterns, " patterns");
    RE2::Options options;
    options.set_max_mem(kMaxPatternMemory);
    options.set_log_errors(false);
    auto pattern = std::make_shared<const RE2>(text, options);
    if (pattern->ok()) return pattern;
    return InputError("pattern '", Visible(text, kShownBytes), "': ", Visible(pattern->error(), kShownBytes),
                      "; the syntax is RE2's");
  }

  const Json& root_;
  absl::flat_hash_map<const Json*, int> indices_;
  std::vector<std::pair<const Json*, std::string>> waiting_;
  size_t patterns_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<SchemaNode>> ReadSchemaNodes(const nlohmann::json& root) { return Reader(root).ReadAll(); }

}  // namespace hone
