#include "tools/arguments.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr size_t kMaxLineBytes = 400;  // INTERFACES.md
constexpr size_t kShownBytes = 60;
constexpr size_t kMaxListItems = 1000;
constexpr size_t kHelpColumn = 32;

std::string NumberText(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

bool ParseInt(absl::string_view text, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

std::string IntRange(int64_t low, int64_t high) {
  if (high == std::numeric_limits<int64_t>::max()) return absl::StrCat("a whole number of at least ", low);
  return absl::StrCat("a whole number in ", low, " .. ", high);
}

std::string DoubleRange(double low, double high) {
  if (std::isinf(high)) return absl::StrCat("a number of at least ", NumberText(low));
  return absl::StrCat("a number in ", NumberText(low), " .. ", NumberText(high));
}

// "  --name VALUE     help", the help in a column of its own.
std::string HelpRow(const std::string& left, const std::string& help) {
  if (left.size() + 4 > kHelpColumn) return absl::StrCat("  ", left, "\n", std::string(kHelpColumn, ' '), help, "\n");
  return absl::StrCat("  ", left, std::string(kHelpColumn - 2 - left.size(), ' '), help, "\n");
}

}  // namespace

Arguments::Option& Arguments::Declare(Type type, std::string name, std::string metavar, std::string help,
                                      void* target) {
  HONE_CHECK(Find(name) == nullptr && target != nullptr);
  Option option;
  option.type = type;
  option.name = std::move(name);
  option.metavar = std::move(metavar);
  option.help = std::move(help);
  option.target = target;
  options_.push_back(std::move(option));
  return options_.back();
}

void Arguments::Positional(std::string metavar, std::string help, std::string* target) {
  OptionalPositional(std::move(metavar), std::move(help), target);
  positional_->required = true;
}

void Arguments::OptionalPositional(std::string metavar, std::string help, std::string* target) {
  HONE_CHECK(!positional_.has_value());
  positional_.emplace();
  positional_->type = Type::kText;
  positional_->metavar = std::move(metavar);
  positional_->help = std::move(help);
  positional_->target = target;
}

void Arguments::Text(std::string name, std::string metavar, std::string help, std::string* target) {
  Declare(Type::kText, std::move(name), std::move(metavar), std::move(help), target).default_text = *target;
}

void Arguments::Int(std::string name, std::string help, int64_t* target, int64_t low, int64_t high) {
  Option& option = Declare(Type::kInt, std::move(name), "N", std::move(help), target);
  option.int_low = low;
  option.int_high = high;
  if (*target >= low) option.default_text = absl::StrCat(*target);  // one outside the range stands for "not given"
}

void Arguments::Double(std::string name, std::string help, double* target, double low, double high) {
  Option& option = Declare(Type::kDouble, std::move(name), "X", std::move(help), target);
  option.low = low;
  option.high = high;
  option.default_text = NumberText(*target);
}

void Arguments::Flag(std::string name, std::string help, bool* target) {
  Declare(Type::kFlag, std::move(name), "", std::move(help), target);
}

void Arguments::List(std::string name, std::string metavar, std::string help, std::vector<std::string>* target) {
  Declare(Type::kList, std::move(name), std::move(metavar), std::move(help), target);
}

void Arguments::IntList(std::string name, std::string help, std::vector<int64_t>* target, int64_t low, int64_t high) {
  Option& option = Declare(Type::kIntList, std::move(name), "N,N,...", std::move(help), target);
  option.int_low = low;
  option.int_high = high;
  option.default_text = absl::StrJoin(*target, ",");
}

void Arguments::Choice(std::string name, std::string help, std::string* target, std::vector<std::string> choices) {
  Option& option = Declare(Type::kChoice, std::move(name), absl::StrJoin(choices, "|"), std::move(help), target);
  option.choices = std::move(choices);
  option.default_text = *target;
}

void Arguments::Require(const std::string& name) {
  Option* option = Find(name);
  HONE_CHECK(option != nullptr);
  option->required = true;
}

void Arguments::AtMostOne(std::vector<std::string> names) {
  for (const std::string& name : names) HONE_CHECK(Find(name) != nullptr);
  groups_.push_back({std::move(names), false});
}

void Arguments::ExactlyOne(std::vector<std::string> names) {
  AtMostOne(std::move(names));
  groups_.back().one_needed = true;
}

Arguments::Option* Arguments::Find(absl::string_view name) {
  const auto found = std::find_if(options_.begin(), options_.end(), [&](const Option& o) { return o.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

bool Arguments::Given(const std::string& name) const {
  const Option* option = const_cast<Arguments*>(this)->Find(name);
  HONE_CHECK(option != nullptr);
  return option->uses > 0;
}

std::optional<int> Arguments::Parse(int argc, char** argv) {
  const absl::StatusOr<bool> help = ParseList(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  if (!help.ok()) return Report(help.status());
  if (!*help) return std::nullopt;
  const std::string text = Help();
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

absl::StatusOr<bool> Arguments::ParseList(const std::vector<std::string>& arguments) {
  // Help is wanted wherever it stands, also beside a mistake; but not as another option's value.
  for (size_t index = 0; index < arguments.size(); ++index) {
    const std::string& argument = arguments[index];
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h") return true;
    const Option* option = absl::StartsWith(argument, "--") ? Find(argument.substr(2)) : nullptr;
    const bool next_is_value = option != nullptr && option->type != Type::kFlag && index + 1 < arguments.size();
    if (next_is_value && arguments[index + 1] != "--help") ++index;
  }
  bool options_end = false;
  for (size_t index = 0; index < arguments.size(); ++index) {
    const std::string& argument = arguments[index];
    if (const auto bad = FindInvalidUtf8(argument); bad.has_value()) {
      return InputError(command_, ": argument '", Visible(argument, kShownBytes), "' is not UTF-8 at byte ", *bad);
    }
    if (options_end || !absl::StartsWith(argument, "-") || argument == "-") {
      HONE_RETURN_IF_ERROR(ParsePositional(argument));
    } else if (argument == "--") {
      options_end = true;
    } else {
      HONE_RETURN_IF_ERROR(ParseOption(arguments, index));
    }
  }
  HONE_RETURN_IF_ERROR(CheckConditions());
  return false;
}

absl::Status Arguments::ParsePositional(const std::string& argument) {
  const std::string shown = Visible(argument, kShownBytes);
  if (!positional_.has_value()) return InputError(command_, ": unexpected '", shown, "'; it takes options only");
  if (positional_->uses++ > 0) {
    const std::string first = Visible(*static_cast<std::string*>(positional_->target), kShownBytes);
    return InputError(command_, ": unexpected '", shown, "'; ", positional_->metavar, " is '", first, "' already");
  }
  if (argument.empty()) return InputError(command_, ": ", positional_->metavar, " is empty");
  *static_cast<std::string*>(positional_->target) = argument;
  return absl::OkStatus();
}

// Reads arguments[index] and, where it lies apart, its value; leaves `index` at the last one read.
absl::Status Arguments::ParseOption(const std::vector<std::string>& arguments, size_t& index) {
  const std::string& argument = arguments[index];
  const size_t equals = argument.find('=');
  const std::string written = argument.substr(0, equals);
  Option* option = absl::StartsWith(written, "--") ? Find(written.substr(2)) : nullptr;
  if (option == nullptr) {
    std::vector<std::string> known = {"--help"};
    for (const Option& each : options_) known.push_back("--" + each.name);
    const std::string nearest = DidYouMean(written, known);
    const std::string remedy = nearest.empty() ? absl::StrCat("; see hone ", command_, " --help") : nearest;
    return InputError(command_, ": no option '", Visible(written, kShownBytes), "'", remedy);
  }
  if (option->uses++ > 0 && option->type != Type::kList) {
    return InputError(command_, ": option '", written, "' is given twice");
  }
  if (option->type == Type::kFlag) {
    if (equals != std::string::npos) return InputError(command_, ": option '", written, "' takes no value");
    *static_cast<bool*>(option->target) = true;
    return absl::OkStatus();
  }
  if (equals != std::string::npos) return Assign(*option, argument.substr(equals + 1));
  if (index + 1 == arguments.size()) {
    return InputError(command_, ": option '", written, "' needs a value: ", written, " ", option->metavar);
  }
  if (absl::StartsWith(arguments[index + 1], "--")) {
    return InputError(command_, ": option '", written, "' needs a value before '",
                      Visible(arguments[index + 1], kShownBytes), "'; write ", written,
                      "=... for a value that begins with --");
  }
  return Assign(*option, arguments[++index]);
}

absl::Status Arguments::WrongValue(const Option& option, absl::string_view value, absl::string_view wanted) const {
  return InputError(command_, ": option '--", option.name, "' is '", Visible(value, kShownBytes), "', wanted ", wanted);
}

absl::Status Arguments::Assign(Option& option, const std::string& value) {
  if (const auto bad = FindInvalidUtf8(value); bad.has_value()) {
    return WrongValue(option, value, absl::StrCat("UTF-8; byte ", *bad, " is not"));
  }
  switch (option.type) {
    case Type::kFlag:  // has no value
    case Type::kText:
      *static_cast<std::string*>(option.target) = value;
      return absl::OkStatus();
    case Type::kList: {
      auto& list = *static_cast<std::vector<std::string>*>(option.target);
      if (list.size() == kMaxListItems) return InputError(command_, ": more than ", kMaxListItems, " --", option.name);
      list.push_back(value);
      return absl::OkStatus();
    }
    case Type::kInt: {
      int64_t number = 0;
      if (!ParseInt(value, number) || number < option.int_low || number > option.int_high) {
        return WrongValue(option, value, IntRange(option.int_low, option.int_high));
      }
      *static_cast<int64_t*>(option.target) = number;
      return absl::OkStatus();
    }
    case Type::kDouble: {
      double number = 0;
      if (!absl::SimpleAtod(value, &number) || !std::isfinite(number) || number < option.low || number > option.high) {
        return WrongValue(option, value, DoubleRange(option.low, option.high));
      }
      *static_cast<double*>(option.target) = number;
      return absl::OkStatus();
    }
    case Type::kIntList:
      return AssignIntList(option, value);
    case Type::kChoice:
      if (std::find(option.choices.begin(), option.choices.end(), value) == option.choices.end()) {
        const std::string have = absl::StrJoin(option.choices, ", ");
        return WrongValue(option, value, absl::StrCat("one of ", have, DidYouMean(value, option.choices)));
      }
      *static_cast<std::string*>(option.target) = value;
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Arguments::AssignIntList(Option& option, const std::string& value) {
  std::vector<int64_t> numbers;
  for (const absl::string_view piece : absl::StrSplit(value, ',')) {
    int64_t number = 0;
    if (!ParseInt(piece, number) || number < option.int_low || number > option.int_high ||
        numbers.size() == kMaxListItems) {
      return WrongValue(option, value,
                        absl::StrCat("numbers with commas, each ", IntRange(option.int_low, option.int_high)));
    }
    numbers.push_back(number);
  }
  *static_cast<std::vector<int64_t>*>(option.target) = std::move(numbers);
  return absl::OkStatus();
}

absl::Status Arguments::CheckConditions() const {
  if (positional_.has_value() && positional_->required && positional_->uses == 0) {
    return InputError(command_, ": ", positional_->metavar, " is missing: ", positional_->help);
  }
  for (const Option& option : options_) {
    if (option.required && option.uses == 0) {
      return InputError(command_, ": option '--", option.name, "' is missing: --", option.name, " ", option.metavar);
    }
  }
  for (const ExclusiveGroup& group : groups_) {
    std::vector<std::string> given;
    for (const std::string& name : group.names) {
      if (Given(name)) given.push_back(absl::StrCat("'--", name, "'"));
    }
    if (given.size() > 1)
      return InputError(command_, ": ", absl::StrJoin(given, " and "), " exclude each other; give one");
    if (given.empty() && group.one_needed) {
      return InputError(command_, ": one of --", absl::StrJoin(group.names, ", --"), " is missing");
    }
  }
  return absl::OkStatus();
}

std::string Arguments::Help() const {
  std::string usage = absl::StrCat("Usage: hone ", command_);
  std::string rows;
  if (positional_.has_value()) {
    absl::StrAppend(&usage, positional_->required ? " " : " [", positional_->metavar, positional_->required ? "" : "]");
    rows += HelpRow(positional_->metavar, positional_->help);
  }
  for (const Option& option : options_) {
    const std::string call =
        option.metavar.empty() ? absl::StrCat("--", option.name) : absl::StrCat("--", option.name, " ", option.metavar);
    if (option.required) absl::StrAppend(&usage, " ", call);
    std::string help = option.help;
    if (option.required) absl::StrAppend(&help, " (required)");
    if (option.type == Type::kList) absl::StrAppend(&help, " (may be repeated)");
    if (!option.default_text.empty() && !option.required)
      absl::StrAppend(&help, " (default ", option.default_text, ")");
    rows += HelpRow(call, help);
  }
  for (const ExclusiveGroup& group : groups_) {
    if (group.one_needed) absl::StrAppend(&usage, " (--", absl::StrJoin(group.names, " | --"), ")");
  }
  return absl::StrCat(usage, " [options]\n", summary_, "\n\n", rows, HelpRow("--help", "prints this"));
}

std::string ReportLine(const absl::Status& status) {
  return Visible(absl::StrCat("hone: ", absl::string_view(status.message())), kMaxLineBytes);
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", ReportLine(status).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 2;
    default:
      return 1;
  }
}

}  // namespace hone
