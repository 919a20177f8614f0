#include "recipes/fields.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"

namespace hone {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

namespace {

constexpr size_t kShownBytes = 40;

// Without the unspecified value, which nobody should write.
std::vector<std::string> EnumNames(const FieldDescriptor& field) {
  std::vector<std::string> names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    if (field.enum_type()->value(i)->number() != 0) names.push_back(field.enum_type()->value(i)->name());
  }
  return names;
}

}  // namespace

std::string MessageName(const Descriptor& message) { return absl::AsciiStrToLower(message.name()); }

std::string NoField(const Descriptor& message, absl::string_view found) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  const std::string nearest = DidYouMean(found, names);
  const std::string remedy = nearest.empty() ? absl::StrCat("; have: ", absl::StrJoin(names, ", ")) : nearest;
  return absl::StrCat("no field '", Visible(found, kShownBytes), "' in ", MessageName(message), remedy);
}

std::string Wanted(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return "a whole number of at most 2147483647";
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number in 0 .. 18446744073709551615";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return "text in quotes";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(EnumNames(field), ", "));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return absl::StrCat("fields in braces, ", field.name(), " { ... }");
    default:
      return "a number";
  }
}

std::string NoEnumValue(const FieldDescriptor& field, absl::string_view found) {
  const std::vector<std::string> names = EnumNames(field);
  return absl::StrCat("no ", field.name(), " '", Visible(found, kShownBytes), "'; have: ", absl::StrJoin(names, ", "),
                      DidYouMean(found, names));
}

std::string StageName(const proto::Stage& stage) {
  if (stage.has_name()) return stage.name();
  if (stage.kind() == proto::Stage::SFT) return "sft";
  if (stage.kind() == proto::Stage::RL) return "rl";
  if (stage.kind() == proto::Stage::PREFERENCE) return "preference";
  return "";
}

}  // namespace hone
