#include "rewards/json_schema.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/base/text.h"
#include "rewards/json_schema_node.h"
#include "rewards/json_schema_values.h"

namespace hone {
namespace {

using Json = nlohmann::json;
using Node = SchemaNode;

constexpr size_t kMaxBytes = 1 << 20;  // of a schema, and of a text to check
// Of a check: schemas met, members and items looked at, 64 bytes matched or compared. Some seconds at worst.
constexpr int64_t kMaxSteps = 10'000'000;
constexpr int kMaxDepth = 1000;  // of schemas that are being checked: references can go round without getting on
constexpr uint64_t kLargestInt = std::numeric_limits<int64_t>::max();
constexpr size_t kShownBytes = 60;
constexpr size_t kPointerBytes = 120;

std::string Shown(const Json& value) {
  return Visible(value.dump(-1, ' ', false, Json::error_handler_t::replace), kShownBytes);
}

// Where a value stands in the text: a chain up to the whole, on the stack.
struct Place {
  const Place* parent = nullptr;
  std::string step;

  std::string Pointer() const {
    if (parent == nullptr) return "";
    return absl::StrCat(parent->Pointer(), "/", absl::StrReplaceAll(step, {{"~", "~0"}, {"/", "~1"}}));
  }
};

int TypesOf(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return kJsonNull;
    case Json::value_t::boolean:
      return kJsonBoolean;
    case Json::value_t::object:
      return kJsonObject;
    case Json::value_t::array:
      return kJsonArray;
    case Json::value_t::string:
      return kJsonString;
    case Json::value_t::number_float:
      return value.get<double>() == std::floor(value.get<double>()) ? kJsonNumber | kJsonInteger : kJsonNumber;
    default:
      return kJsonNumber | kJsonInteger;
  }
}

std::string TypeText(int types) {
  std::vector<absl::string_view> names;
  for (size_t bit = 0; bit < std::size(kJsonTypeNames); ++bit) {
    if ((types >> bit & 1) != 0) names.push_back(kJsonTypeNames[bit]);
  }
  return absl::StrJoin(names, " or ");
}

uint64_t CountCharacters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// A text that is the same for equal values and for no others: 1 and 1.0 are equal, and members have no order.
void AppendCanonical(const Json& value, std::string& out) {
  if (value.is_object()) {
    absl::StrAppend(&out, "{", value.size(), ":");
    for (const auto& [key, member] : value.items()) {
      absl::StrAppend(&out, key.size(), ":", key);
      AppendCanonical(member, out);
    }
  } else if (value.is_array()) {
    absl::StrAppend(&out, "[", value.size(), ":");
    for (const Json& item : value) AppendCanonical(item, out);
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    absl::StrAppend(&out, "\"", text.size(), ":", text);
  } else if (value.is_number_float() && (TypesOf(value) & kJsonInteger) != 0 &&
             std::abs(value.get<double>()) < 0x1p63) {
    absl::StrAppend(&out, static_cast<int64_t>(value.get<double>()), ",");
  } else {
    absl::StrAppend(&out, value.dump(), ",");
  }
}

// One check of one text. Functions return whether the value is valid; the first fault of those that count goes to `fault`, which is null
// where a fault is only one branch of several.
class Checker {
 public:
  explicit Checker(const std::vector<Node>& nodes) : nodes_(nodes) {}

  bool Check(int index, const Json& value, const Place& place, std::string* fault) {
    if (!Spend(1) || ++depth_ > kMaxDepth) exhausted_ = true;
    const Node& node = nodes_[index];
    const bool valid = !exhausted_ && CheckValue(node, value, place, fault) && CheckKind(node, value, place, fault) &&
                       CheckBranches(node, value, place, fault);
    --depth_;
    return valid;
  }

  bool exhausted() const { return exhausted_; }

 private:
  bool Spend(uint64_t steps) {
    steps_ += static_cast<int64_t>(steps);
    exhausted_ = exhausted_ || steps_ > kMaxSteps;
    return !exhausted_;
  }

  template <typename... Parts>
  bool Fail(const Place& place, std::string* fault, const Parts&... parts) {
    if (fault == nullptr || !fault->empty()) return false;
    const std::string pointer = place.Pointer();
    *fault = absl::StrCat(pointer.empty() ? "the whole" : Visible(pointer, kPointerBytes), ": ", parts...);
    return false;
  }

  bool CheckValue(const Node& node, const Json& value, const Place& place, std::string* fault) {
    if (node.never) return Fail(place, fault, "must not be there");
    const int types = TypesOf(value);
    if ((types & node.types) == 0) {
      return Fail(place, fault, "is of type ", value.is_number() ? "number" : TypeText(types), ", wanted ",
                  TypeText(node.types));
    }
    if (node.constant != nullptr && value != *node.constant) {
      return Fail(place, fault, "is ", Shown(value), ", wanted ", Shown(*node.constant));
    }
    if (node.choices == nullptr) return true;
    Spend(node.choices->size());
    if (std::find(node.choices->begin(), node.choices->end(), value) != node.choices->end()) return true;
    return Fail(place, fault, "is ", Shown(value), ", wanted one of ", Shown(*node.choices));
  }

  bool CheckKind(const Node& node, const Json& value, const Place& place, std::string* fault) {
    if (value.is_number()) return CheckNumber(node, value, place, fault);
    if (value.is_string()) return CheckString(node, value.get_ref<const std::string&>(), place, fault);
    if (value.is_array()) return CheckArray(node, value, place, fault);
    return !value.is_object() || CheckObject(node, value, place, fault);
  }

  bool CheckNumber(const Node& node, const Json& value, const Place& place, std::string* fault) {
    const auto fail = [&](absl::string_view wanted, const Json& limit) {
      return Fail(place, fault, "is ", Shown(value), ", wanted ", wanted, " ", Shown(limit));
    };
    if (node.minimum != nullptr && value < *node.minimum) return fail("at least", *node.minimum);
    if (node.maximum != nullptr && value > *node.maximum) return fail("at most", *node.maximum);
    if (node.exclusive_minimum != nullptr && value <= *node.exclusive_minimum) {
      return fail("more than", *node.exclusive_minimum);
    }
    if (node.exclusive_maximum != nullptr && value >= *node.exclusive_maximum) {
      return fail("less than", *node.exclusive_maximum);
    }
    if (node.multiple_of == nullptr || IsMultiple(value.dump(), node.multiple_of->dump())) return true;
    return fail("a multiple of", *node.multiple_of);
  }

  bool CheckCount(uint64_t count, const CountRange& range, absl::string_view noun, const Place& place,
                  std::string* fault) {
    if (count < range.min) return Fail(place, fault, "has ", count, " ", noun, ", wanted at least ", range.min);
    return count <= range.max || Fail(place, fault, "has ", count, " ", noun, ", wanted at most ", range.max);
  }

  bool CheckString(const Node& node, const std::string& text, const Place& place, std::string* fault) {
    if (!CheckCount(CountCharacters(text), node.length, "characters", place, fault)) return false;
    if (node.pattern != nullptr && !Matches(*node.pattern, text)) {
      return Fail(place, fault, "'", Visible(text, kShownBytes), "' does not match '",
                  Visible(node.pattern->pattern(), kShownBytes), "'");
    }
    if (FitsFormat(node.format, text)) return true;
    return Fail(place, fault, "'", Visible(text, kShownBytes), "' is not of format ", node.format);
  }

  bool Matches(const RE2& pattern, const std::string& text) {
    return Spend(1 + text.size() / 64) && RE2::PartialMatch(text, pattern);
  }

  bool CheckArray(const Node& node, const Json& array, const Place& place, std::string* fault) {
    if (!CheckCount(array.size(), node.item_count, "items", place, fault)) return false;
    uint64_t contained = 0;
    for (size_t i = 0; i < array.size(); ++i) {
      const int schema = i < node.prefix_items.size() ? node.prefix_items[i] : node.items;
      if (schema == Node::kNone && node.contains == Node::kNone) break;
      const Place inside{&place, absl::StrCat(i)};
      if (schema != Node::kNone && !Check(schema, array[i], inside, fault)) return false;
      if (node.contains != Node::kNone) contained += Check(node.contains, array[i], inside, nullptr);
    }
    if (node.contains != Node::kNone &&
        !CheckCount(contained, node.contained, "items that 'contains' accepts", place, fault)) {
      return false;
    }
    return !node.unique_items || CheckUnique(array, place, fault);
  }

  bool CheckUnique(const Json& array, const Place& place, std::string* fault) {
    absl::flat_hash_set<std::string> seen;
    for (size_t i = 0; i < array.size(); ++i) {
      std::string canonical;
      AppendCanonical(array[i], canonical);
      if (!Spend(1 + canonical.size() / 64)) return false;
      if (!seen.insert(std::move(canonical)).second) {
        return Fail(Place{&place, absl::StrCat(i)}, fault, "equals an earlier item, wanted unique ones");
      }
    }
    return true;
  }

  bool CheckObject(const Node& node, const Json& object, const Place& place, std::string* fault) {
    if (!CheckCount(object.size(), node.member_count, "members", place, fault)) return false;
    for (const std::string& key : node.required) {
      if (!object.contains(key)) return Fail(place, fault, "has no '", Visible(key, kShownBytes), "'");
    }
    for (const auto& [key, wanted] : node.dependent_required) {
      if (!object.contains(key)) continue;
      for (const std::string& other : wanted) {
        if (object.contains(other)) continue;
        return Fail(place, fault, "has '", Visible(key, kShownBytes), "' but no '", Visible(other, kShownBytes), "'");
      }
    }
    for (const auto& [key, schema] : node.dependent_schemas) {
      if (object.contains(key) && !Check(schema, object, place, fault)) return false;
    }
    for (auto member = object.begin(); member != object.end(); ++member) {
      if (!CheckMember(node, member.key(), member.value(), Place{&place, member.key()}, fault)) return false;
    }
    return true;
  }

  bool CheckMember(const Node& node, const std::string& key, const Json& value, const Place& place,
                   std::string* fault) {
    if (!Spend(1)) return false;
    if (node.property_names != Node::kNone && !Check(node.property_names, Json(key), place, fault)) return false;
    const auto property = node.properties.find(key);
    bool is_known = property != node.properties.end();
    if (is_known && !Check(property->second, value, place, fault)) return false;
    for (const auto& [pattern, schema] : node.pattern_properties) {
      if (!Matches(*pattern, key)) continue;
      is_known = true;
      if (!Check(schema, value, place, fault)) return false;
    }
    return is_known || node.additional_properties == Node::kNone ||
           Check(node.additional_properties, value, place, fault);
  }

  bool CheckBranches(const Node& node, const Json& value, const Place& place, std::string* fault) {
    const auto accepts = [&](int schema) { return Check(schema, value, place, nullptr); };
    if (node.reference != Node::kNone && !Check(node.reference, value, place, fault)) return false;
    for (const int schema : node.all_of) {
      if (!Check(schema, value, place, fault)) return false;
    }
    if (!node.any_of.empty() && std::none_of(node.any_of.begin(), node.any_of.end(), accepts)) {
      return Fail(place, fault, "matches none of the ", node.any_of.size(), " schemas of anyOf");
    }
    if (!node.one_of.empty()) {
      const auto matched = std::count_if(node.one_of.begin(), node.one_of.end(), accepts);
      if (matched != 1) {
        return Fail(place, fault, "matches ", matched, " of the ", node.one_of.size(), " schemas of oneOf, wanted 1");
      }
    }
    if (node.negated != Node::kNone && accepts(node.negated)) return Fail(place, fault, "matches what 'not' forbids");
    if (node.condition == Node::kNone) return true;
    const int next = accepts(node.condition) ? node.consequence : node.alternative;
    return next == Node::kNone || Check(next, value, place, fault);
  }

  const std::vector<Node>& nodes_;
  int64_t steps_ = 0;
  int depth_ = 0;
  bool exhausted_ = false;
};

// Finds where a text stops being JSON.
class FaultFinder : public Json::json_sax_t {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(std::string&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string& last_token, const Json::exception&) override {
    fault_ = absl::StrCat("not JSON at byte ", position, ", '", Visible(last_token, 16), "'");
    return false;
  }
  const std::string& fault() const { return fault_; }

 private:
  std::string fault_;
};

// Whole numbers above 2^63 become doubles: the library compares them with negative ones as if they were negative themselves.
void SettleNumbers(Json& value) {
  if (value.is_structured()) {
    for (Json& inner : value) SettleNumbers(inner);
  } else if (value.is_number_unsigned() && value.get<uint64_t>() > kLargestInt) {
    value = static_cast<double>(value.get<uint64_t>());
  }
}

// Discarded where the text is no JSON.
Json Parse(absl::string_view text) {
  Json value = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  SettleNumbers(value);
  return value;
}

std::string WhyNotJson(absl::string_view text) {
  FaultFinder finder;
  Json::sax_parse(text.begin(), text.end(), &finder);
  return finder.fault().empty() ? "not JSON" : finder.fault();
}

}  // namespace

struct JsonSchema::Compiled {
  Json text;
  std::vector<Node> nodes;
};

JsonSchema::JsonSchema(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;
JsonSchema::~JsonSchema() = default;

absl::StatusOr<JsonSchema> JsonSchema::Compile(absl::string_view schema) {
  if (schema.size() > kMaxBytes)
    return InputError("schema: ", schema.size(), " bytes, at most ", kMaxBytes, " are read");
  if (NestsTooDeep(schema)) return InputError("schema: nests more than ", kDeepestJson, " deep");
  auto compiled = std::make_unique<Compiled>();
  compiled->text = Parse(schema);
  if (compiled->text.is_discarded()) return InputError("schema: ", WhyNotJson(schema));
  HONE_ASSIGN_OR_RETURN(compiled->nodes, ReadSchemaNodes(compiled->text));
  return JsonSchema(std::move(compiled));
}

absl::StatusOr<JsonSchema::Finding> JsonSchema::Check(absl::string_view json) const {
  if (json.size() > kMaxBytes)
    return Finding{false, absl::StrCat(json.size(), " bytes, at most ", kMaxBytes, " are read")};
  if (NestsTooDeep(json)) return Finding{false, absl::StrCat("nests more than ", kDeepestJson, " deep")};
  const Json value = Parse(json);
  if (value.is_discarded()) return Finding{false, WhyNotJson(json)};
  Finding finding{true, ""};
  Checker checker(compiled_->nodes);
  const bool valid = checker.Check(0, value, Place{}, &finding.fault);
  if (checker.exhausted()) {
    return InputError("the schema asks for more than ", kMaxSteps, " steps or ", kMaxDepth, " levels for this text");
  }
  if (!valid && finding.fault.empty()) finding.fault = "not valid";
  return finding;
}

}  // namespace hone
