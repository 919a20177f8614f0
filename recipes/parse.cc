#include "recipes/parse.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "recipes/fields.h"

namespace hone {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kShownBytes = 40;
constexpr int kMaxDepth = 16;

struct Complaint {
  int line = 0, column = 0;  // from 0; a tab advances the column to the next multiple of 8
  std::string text;
};

// Protobuf's first complaint; those that follow are mostly its echoes.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!complaint_.has_value()) complaint_ = Complaint{std::max(line, 0), std::max(column, 0), message};
  }
  const std::optional<Complaint>& complaint() const { return complaint_; }

 private:
  std::optional<Complaint> complaint_;
};

// Places in a text: Protobuf's, byte offsets, and those that editors show.
class Places {
 public:
  explicit Places(absl::string_view text) : text_(text) {}

  size_t Offset(int line, int column) const {
    size_t at = 0;
    for (; line > 0 && at < text_.size(); ++at) line -= text_[at] == '\n';
    for (int reached = 0; reached < column && at < text_.size() && text_[at] != '\n'; ++at) {
      reached = text_[at] == '\t' ? (reached / 8 + 1) * 8 : reached + 1;
    }
    return at;
  }

  // "12:5", from 1, in characters.
  std::string Text(size_t offset) const {
    const absl::string_view before = text_.substr(0, offset);
    const size_t line_start = before.rfind('\n') == absl::string_view::npos ? 0 : before.rfind('\n') + 1;
    const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const auto column = std::count_if(before.begin() + line_start, before.end(), begins_character) + 1;
    return absl::StrCat(std::count(before.begin(), before.end(), '\n') + 1, ":", column);
  }

  // The last `word` that ends at or before `offset`; else `offset`.
  size_t Before(size_t offset, absl::string_view word) const {
    const size_t found = word.empty() ? absl::string_view::npos : text_.substr(0, offset).rfind(word);
    return found == absl::string_view::npos ? offset : found;
  }

  // The name in "name: " or "name " that ends at `offset`.
  std::string NameBefore(size_t offset) const {
    size_t end = offset;
    while (end > 0 && (absl::ascii_isspace(text_[end - 1]) || absl::StrContains(":-[", text_.substr(end - 1, 1))))
      --end;
    size_t start = end;
    while (start > 0 && (absl::ascii_isalnum(text_[start - 1]) || text_[start - 1] == '_')) --start;
    return std::string(text_.substr(start, end - start));
  }

 private:
  const absl::string_view text_;
};

// What lies between two marks, or nothing.
std::optional<std::string> Between(const std::string& text, absl::string_view before, absl::string_view after) {
  const size_t mark = text.find(before.data(), 0, before.size());
  if (mark == std::string::npos) return std::nullopt;
  const size_t start = mark + before.size();
  const size_t end = after.empty() ? text.size() : text.rfind(after.data(), std::string::npos, after.size());
  if (end == std::string::npos || end < start) return std::nullopt;
  return text.substr(start, end - start);
}

// Fields of one name have one type in all messages of the schema; build_test checks it.
const FieldDescriptor* FieldNamed(const std::string& name) {
  const auto* file = proto::Recipe::descriptor()->file();
  for (int i = 0; i < file->message_type_count(); ++i) {
    if (const FieldDescriptor* field = file->message_type(i)->FindFieldByName(name); field != nullptr) return field;
  }
  return nullptr;
}

std::string Shown(const std::string& token) {
  return token.empty() ? "the end of the file" : Visible(token, kShownBytes);
}

// A value of the wrong type: the field's name stands before it.
std::string WrongValue(const Places& places, size_t offset, const std::string& found) {
  const std::string name = places.NameBefore(offset);
  const FieldDescriptor* field = FieldNamed(name);
  if (field == nullptr) return absl::StrCat("wrong value ", Shown(found));
  const bool bare_word = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !found.empty() && found[0] != '{';
  const std::string remedy = bare_word ? absl::StrCat("; write \"", Shown(found), "\"") : "";
  return absl::StrCat("'", name, "' wants ", Wanted(*field), ", not ", Shown(found), remedy);
}

// Protobuf's words into ours; `offset` moves to what they speak of.
std::string Reworded(const std::string& text, const Places& places, size_t& offset) {
  if (const auto name = Between(text, "has no field named \"", "\"."); name.has_value()) {
    offset = places.Before(offset, *name);
    const auto type = Between(text, "Message type \"", "\" has no field").value_or("");
    const Descriptor* message = proto::Recipe::descriptor()->file()->pool()->FindMessageTypeByName(type);
    return message == nullptr ? absl::StrCat("no field '", Shown(*name), "'") : NoField(*message, *name);
  }
  if (const auto name = Between(text, "Non-repeated field \"", "\" is specified"); name.has_value()) {
    offset = places.Before(offset, *name);
    return absl::StrCat("'", *name, "' is given twice");
  }
  if (const auto value = Between(text, "Unknown enumeration value of \"", "\" for field"); value.has_value()) {
    const FieldDescriptor* field = FieldNamed(Between(text, "for field \"", "\"").value_or(""));
    offset = places.Before(offset, *value);
    return field == nullptr ? absl::StrCat("unknown value '", Shown(*value), "'") : NoEnumValue(*field, *value);
  }
  if (const auto value = Between(text, "Invalid value for boolean field", "\"."); value.has_value()) {
    const std::string found = Between(*value, "Value: \"", "").value_or("");
    offset = places.Before(offset, found);
    return WrongValue(places, offset, found);
  }
  if (const auto name = Between(text, "Expected identifier, got: ", ""); name.has_value()) {
    return absl::StrCat("wanted a field's name", name->empty() ? " or '}'" : "", ", found ", Shown(*name));
  }
  for (const absl::string_view start : {"Expected integer, got: ", "Expected double, got: ", "Expected string, got: ",
                                        "Expected integer or identifier, got: ", "Expected \"{\", found \""}) {
    if (!absl::StartsWith(text, start)) continue;
    const auto value = Between(text, start, absl::EndsWith(start, "\"") ? "\"." : "");
    return WrongValue(places, offset, value.value_or(""));
  }
  if (const auto value = Between(text, "Integer out of range (", ")"); value.has_value()) {
    offset = places.Before(offset + value->size(), *value);
    return WrongValue(places, offset, *value);
  }
  if (const auto value = Between(text, "Expected \":\", found \"", "\"."); value.has_value()) {
    return absl::StrCat("wanted ':' after '", places.NameBefore(offset), "', found ", Shown(*value));
  }
  if (text == "Unexpected end of string." || absl::StartsWith(text, "String literals cannot")) {
    return "the quote is not closed on its line";
  }
  return Visible(absl::StripSuffix(text, "."), 200);
}

// "stage[1]" for a field that repeats, "model" for one that does not.
std::string PathOf(const std::string& parent, const FieldDescriptor& field, int index) {
  const std::string name = parent.empty() ? field.name() : absl::StrCat(parent, ".", field.name());
  return field.is_repeated() ? absl::StrCat(name, "[", index, "]") : name;
}

// Flattens Protobuf's tree of places, and refuses text that an escape has made invalid.
absl::Status RecordPlaces(const Message& message, const TextFormat::ParseInfoTree* tree, const std::string& parent,
                          const Places& places, RecipeLocations& locations) {
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const std::string path = PathOf(parent, *field, i);
      const auto place = tree == nullptr ? TextFormat::ParseLocation() : tree->GetLocation(field, index);
      if (place.line >= 0) {
        locations.Set(path, absl::StrCat(locations.file(), ":", places.Text(places.Offset(place.line, place.column))));
      }
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const Message& nested = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                     : reflection->GetMessage(message, field);
        const auto* nested_tree = tree == nullptr ? nullptr : tree->GetTreeForNested(field, index);
        HONE_RETURN_IF_ERROR(RecordPlaces(nested, nested_tree, path, places, locations));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        const std::string value = field->is_repeated() ? reflection->GetRepeatedString(message, field, i)
                                                       : reflection->GetString(message, field);
        if (value.find('\0') == std::string::npos && !FindInvalidUtf8(value).has_value()) continue;
        return InputError(locations.Find(path), ": '", field->name(), "' is '", Visible(value, kShownBytes),
                          "', not UTF-8 text");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseRecipeText(absl::string_view text, proto::Recipe& recipe, RecipeLocations& locations) {
  const std::string& file = locations.file();
  if (text.size() > kMaxBytes)
    return InputError(file, ": has more than ", kMaxBytes, " bytes; a recipe is a short text");
  if (absl::StripAsciiWhitespace(text).empty()) {
    return InputError(file, ": is empty; a recipe has a model, a task and at least one stage");
  }
  const Places places(text);
  const auto is_control = [](unsigned char c) { return (c < 0x20 && !absl::ascii_isspace(c)) || c == 0x7F; };
  const size_t control = std::find_if(text.begin(), text.end(), is_control) - text.begin();
  if (const size_t bad = std::min(control, FindInvalidUtf8(text).value_or(text.size())); bad < text.size()) {
    const std::string byte = Visible(text.substr(bad, 1), 8);
    return InputError(file, ":", places.Text(bad), ": ", byte, " is no UTF-8 text; a recipe is a text file");
  }
  FirstError error;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  parser.SetRecursionLimit(kMaxDepth);
  const bool parsed = parser.ParseFromString(std::string(text), &recipe);
  if (!parsed || error.complaint().has_value()) {
    const Complaint complaint = error.complaint().value_or(Complaint{0, 0, "is no recipe"});
    size_t offset = places.Offset(complaint.line, complaint.column);
    const std::string words = Reworded(complaint.text, places, offset);
    return InputError(file, ":", places.Text(offset), ": ", words);
  }
  return RecordPlaces(recipe, &tree, "", places, locations);
}

}  // namespace hone
