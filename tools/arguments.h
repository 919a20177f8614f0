// The arguments of a sub-command: declared once, then parsed, checked and explained by --help.
//
//   int Train(int argc, char** argv) {
//     std::string recipe, out;
//     std::vector<std::string> sets;
//     bool explain = false;
//     Arguments arguments("train", "Runs the stages of a recipe.");
//     arguments.Positional("RECIPE", "the recipe, a text-format recipes/recipe.proto", &recipe);
//     arguments.List("set", "PATH=VALUE", "overrides a field of the recipe", &sets);
//     arguments.Text("out", "DIR", "where the run goes", &out);
//     arguments.Flag("explain", "prints the resolved recipe and starts nothing", &explain);
//     if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

// Options are `--name value` or `--name=value`, in any order with the positional argument; `--` ends them. What a target holds
// before Parse is its default. Targets outlive the parser.
class Arguments {
 public:
  Arguments(std::string command, std::string summary) : command_(std::move(command)), summary_(std::move(summary)) {}

  // At most one. A required one that is missing is an error.
  void Positional(std::string metavar, std::string help, std::string* target);
  void OptionalPositional(std::string metavar, std::string help, std::string* target);

  // `name` comes without dashes. Text must be UTF-8; an empty one is fine. Given twice is an error.
  void Text(std::string name, std::string metavar, std::string help, std::string* target);
  void Int(std::string name, std::string help, int64_t* target, int64_t low, int64_t high = kNoLimit);
  void Double(std::string name, std::string help, double* target, double low,
              double high = std::numeric_limits<double>::infinity());
  // No value; its presence is true.
  void Flag(std::string name, std::string help, bool* target);
  // Grows with every use.
  void List(std::string name, std::string metavar, std::string help, std::vector<std::string>* target);
  // One use, numbers with commas: --k 1,4. The given numbers replace the target's.
  void IntList(std::string name, std::string help, std::vector<int64_t>* target, int64_t low, int64_t high = kNoLimit);
  // One of `choices`.
  void Choice(std::string name, std::string help, std::string* target, std::vector<std::string> choices);

  // Conditions over options declared before.
  void Require(const std::string& name);
  void AtMostOne(std::vector<std::string> names);
  void ExactlyOne(std::vector<std::string> names);

  // argv[0] is the sub-command's name. No value: go on. Else the exit status: 0 after --help, which goes to stdout; 2 after one
  // line on stderr.
  std::optional<int> Parse(int argc, char** argv);
  // The same without effects, for `arguments` without the sub-command's name. True: help is wanted.
  absl::StatusOr<bool> ParseList(const std::vector<std::string>& arguments);

  // Whether the option was on the command line; after Parse.
  bool Given(const std::string& name) const;

  std::string Help() const;

 private:
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  enum class Type { kText, kInt, kDouble, kFlag, kList, kIntList, kChoice };

  struct Option {
    Type type;
    std::string name, metavar, help;
    void* target;  // of the type that `type` says
    double low = 0, high = 0;
    int64_t int_low = 0, int_high = 0;
    std::vector<std::string> choices;
    std::string default_text;
    bool required = false;
    int uses = 0;
  };
  struct ExclusiveGroup {
    std::vector<std::string> names;
    bool one_needed;
  };

  Option& Declare(Type type, std::string name, std::string metavar, std::string help, void* target);
  Option* Find(absl::string_view name);
  absl::Status ParseOption(const std::vector<std::string>& arguments, size_t& index);
  absl::Status ParsePositional(const std::string& argument);
  absl::Status Assign(Option& option, const std::string& value);
  absl::Status AssignIntList(Option& option, const std::string& value);
  absl::Status CheckConditions() const;
  absl::Status WrongValue(const Option& option, absl::string_view value, absl::string_view wanted) const;

  std::string command_, summary_;
  std::optional<Option> positional_;
  std::vector<Option> options_;
  std::vector<ExclusiveGroup> groups_;
};

// Prints "hone: MESSAGE" on stderr as one line of at most 400 characters, and gives the exit status: 0 for OK (nothing printed),
// 2 when the call or its input was wrong, 1 when the work failed.
int Report(const absl::Status& status);

// The line that Report prints, without line end.
std::string ReportLine(const absl::Status& status);

}  // namespace hone
