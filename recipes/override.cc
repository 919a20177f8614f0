// --set path=value: one field of the recipe by its path.
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "recipes/fields.h"
#include "recipes/parse.h"

namespace hone {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kShownBytes = 60;

// One step of a path: "stage[1]" is {"stage", "1"}, "steps" is {"steps", nullopt}.
struct PathPart {
  std::string name;
  std::optional<std::string> index;
};

absl::StatusOr<std::vector<PathPart>> SplitPath(absl::string_view path) {
  std::vector<PathPart> parts;
  size_t at = 0;
  const auto take_until = [&](absl::string_view ends) {
    const size_t end = std::min(path.find_first_of(ends, at), path.size());
    const std::string taken(path.substr(at, end - at));
    at = end;
    return taken;
  };
  for (;;) {
    PathPart part{take_until(".["), std::nullopt};
    if (part.name.empty()) return InputError("an empty name in the path");
    if (at < path.size() && path[at] == '[') {
      ++at;
      part.index = take_until("]");
      if (at == path.size()) return InputError("'[' is never closed");
      ++at;
    }
    parts.push_back(std::move(part));
    if (at == path.size()) return parts;
    if (path[at] != '.') return InputError("wanted '.' after ']'");
    ++at;
  }
}

// The stage that `index` means: a number from 0, or a name.
absl::StatusOr<int> FindStage(const proto::Recipe& recipe, const std::string& index) {
  const std::string range =
      absl::StrCat("the recipe has ", recipe.stage_size(), recipe.stage_size() == 1 ? " stage" : " stages");
  int number = 0;
  if (absl::SimpleAtoi(index, &number)) {
    if (number >= 0 && number < recipe.stage_size()) return number;
    return InputError("no stage ", number, "; ", range, ", counted from 0");
  }
  std::vector<std::string> names;
  std::vector<int> found;
  for (int i = 0; i < recipe.stage_size(); ++i) {
    names.push_back(StageName(recipe.stage(i)));
    if (names.back() == index) found.push_back(i);
  }
  if (found.size() == 1) return found[0];
  if (found.size() > 1) return InputError(found.size(), " stages are named '", index, "'; give the number, from 0");
  return InputError("no stage '", Visible(index, kShownBytes), "'; have: ", absl::StrJoin(names, ", "),
                    DidYouMean(index, names));
}

absl::Status SetScalar(const FieldDescriptor& field, const std::string& value, Message& message) {
  const auto* reflection = message.GetReflection();
  const char* const end = value.data() + value.size();
  const auto parse_int = [&](auto& number) {
    const auto result = std::from_chars(value.data(), end, number);
    return result.ec == std::errc() && result.ptr == end;
  };
  bool ok = false;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      ok = parse_int(number);
      if (ok) reflection->SetInt32(&message, &field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      ok = parse_int(number);
      if (ok) reflection->SetUInt64(&message, &field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      ok = absl::SimpleAtod(value, &number);
      if (ok) reflection->SetDouble(&message, &field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      ok = value == "true" || value == "false";
      if (ok) reflection->SetBool(&message, &field, value == "true");
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* number = field.enum_type()->FindValueByName(value);
      if (number == nullptr || number->number() == 0) return InputError(NoEnumValue(field, value));
      reflection->SetEnum(&message, &field, number);
      return absl::OkStatus();
    }
    default:
      reflection->SetString(&message, &field, value);
      return absl::OkStatus();
  }
  if (ok) return absl::OkStatus();
  return InputError("'", field.name(), "' wants ", Wanted(field), ", not '", Visible(value, kShownBytes), "'");
}

// An element of a list of texts, or one more.
absl::Status SetElement(const FieldDescriptor& field, const std::string& index, const std::string& value,
                        Message& message) {
  const auto* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, &field);
  int element = -1;
  if (!absl::SimpleAtoi(index, &element) || element < 0 || element > size) {
    return InputError("no ", field.name(), "[", Visible(index, kShownBytes), "]; there are ", size, ", and ",
                      field.name(), "[", size, "] adds one");
  }
  if (element == size) {
    reflection->AddString(&message, &field, value);
  } else {
    reflection->SetRepeatedString(&message, &field, element, value);
  }
  return absl::OkStatus();
}

// Walks to the field and sets it; returns its path with stages by number.
absl::StatusOr<std::string> SetByPath(absl::string_view path, const std::string& value, proto::Recipe& recipe) {
  HONE_ASSIGN_OR_RETURN(const std::vector<PathPart> parts, SplitPath(path));
  Message* message = &recipe;
  std::string canonical;
  for (size_t i = 0; i < parts.size(); ++i) {
    const PathPart& part = parts[i];
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(part.name);
    if (field == nullptr) return InputError(NoField(*message->GetDescriptor(), part.name));
    absl::StrAppend(&canonical, canonical.empty() ? "" : ".", part.name);
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE, is_last = i + 1 == parts.size();
    if (part.index.has_value() && !field->is_repeated())
      return InputError("'", part.name, "' is no list; leave out [...]");
    if (!part.index.has_value() && field->is_repeated()) {
      return InputError("'", part.name, "' is a list; write ", part.name, "[0]",
                        is_message ? " or the name in brackets" : "");
    }
    if (is_message && is_last) {
      return InputError("'", part.name, "' holds fields; name one of them, such as ", path, ".",
                        field->message_type()->field(0)->name());
    }
    if (!is_message && !is_last) return InputError("'", part.name, "' is a single value, without fields of its own");
    const auto* reflection = message->GetReflection();
    if (!is_message && field->is_repeated()) {
      HONE_RETURN_IF_ERROR(SetElement(*field, *part.index, value, *message));
      absl::StrAppend(&canonical, "[", *part.index, "]");
    } else if (!is_message) {
      HONE_RETURN_IF_ERROR(SetScalar(*field, value, *message));
    } else if (field->is_repeated()) {
      HONE_ASSIGN_OR_RETURN(const int index, FindStage(recipe, *part.index));
      absl::StrAppend(&canonical, "[", index, "]");
      message = reflection->MutableRepeatedMessage(message, field, index);
    } else {
      message = reflection->MutableMessage(message, field);
    }
  }
  return canonical;
}

}  // namespace

absl::Status ApplyOverride(const std::string& assignment, proto::Recipe& recipe, RecipeLocations& locations) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return InputError("--set ", Visible(assignment, kShownBytes),
                      ": wanted PATH=VALUE, such as seed=3 or stage[1].steps=10");
  }
  const std::string path = assignment.substr(0, equals);
  const std::string where = absl::StrCat("--set ", Visible(path, kShownBytes));
  if (FindInvalidUtf8(assignment).has_value()) return InputError(where, ": not UTF-8");
  const absl::StatusOr<std::string> canonical = SetByPath(path, assignment.substr(equals + 1), recipe);
  if (!canonical.ok()) return InputError(where, ": ", absl::string_view(canonical.status().message()));
  locations.Set(*canonical, where);
  return absl::OkStatus();
}

}  // namespace hone
