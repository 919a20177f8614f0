// Prompts from a file of JSON lines, in the shape that `hone generate --prompts` reads (engine/base/prompt_line.h):
//
//   {"prompt": "What is 2 + 3?", "answer": "5", "metadata": {"data_source": "mine"}, "id": "any", "solution": "2 + 3 = 5"}
//   {"messages": [{"role": "user", "content": "What is 2 + 3?"}], "answer": "5"}
//   {"tokens": [1, 27, 4], "answer": "5"}
//
// What is held out is a file of its own, or a share of the prompts: those whose hash is smallest, so that a line that joins or leaves the
// file moves few others from one split to the other. Lines of one prompt stay in one split; a prompt in both files is an error.
//
// Prompt::key is a hash of prompt, answer and metadata, and of how many equal lines come before: keys depend on no line's place, and
// equal lines still draw different samples. `id` is the user's and is not read.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "engine/base/file.h"
#include "engine/base/prompt_line.h"
#include "engine/base/random.h"
#include "engine/base/text.h"
#include "rollout/task.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;
constexpr absl::string_view kPlaceholder = "{prompt}";

struct JsonlOptions {
  std::string path, held_out_path;
  double held_out = 0.05;
  std::string verifier, prompt_key, prompt_template, demonstration_key;
  bool shuffles = true;
  uint64_t seed = 1;
};

struct Line {
  Prompt prompt;         // key 0 until all are known
  uint64_t problem = 0;  // hash of what is asked alone
  std::string demonstration;
};

// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), its bits mixed as splitmix64 does, since FNV's high ones change little at the end.
uint64_t Hash(std::initializer_list<absl::string_view> texts) {
  uint64_t hash = 0xCBF29CE484222325;
  const auto add = [&](unsigned char byte) { hash = (hash ^ byte) * 0x100000001B3; };
  for (const absl::string_view text : texts) {
    for (const char c : text) add(static_cast<unsigned char>(c));
    add(0xFF);  // in no UTF-8
  }
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
  return hash ^ (hash >> 31);
}

// ---- Lines -------------------------------------------------------------------------------------------------------

// What is asked, whichever way it is given; a byte that is in no UTF-8 keeps a text apart from a conversation that it spells.
std::string Asked(const Prompt& prompt) {
  if (!prompt.conversation.empty()) return absl::StrCat("\xFF", prompt.conversation);
  if (!prompt.tokens.empty()) return absl::StrCat("\xFF", absl::StrJoin(prompt.tokens, " "));
  return prompt.text;
}

absl::StatusOr<Line> ReadLine(nlohmann::ordered_json json, const JsonlOptions& options) {
  Line line;
  if (options.prompt_key != "prompt") {  // as other datasets call it
    HONE_ASSIGN_OR_RETURN(json["prompt"], ReadText(json, options.prompt_key));
    json.erase(options.prompt_key);
  }
  HONE_ASSIGN_OR_RETURN(line.prompt, ReadPrompt(json));
  line.problem = Hash({Asked(line.prompt)});
  if (json.contains("prompt")) {
    line.prompt.text = absl::StrReplaceAll(options.prompt_template, {{kPlaceholder, line.prompt.text}});
  } else if (options.prompt_template != kPlaceholder) {
    return InputError(
        "has no 'prompt' for the option 'prompt_template'; leave the option out or put lines of one kind "
        "into a file");
  }
  if (!options.demonstration_key.empty()) {
    HONE_ASSIGN_OR_RETURN(line.demonstration, ReadText(json, options.demonstration_key));
  }
  return line;
}

absl::StatusOr<std::vector<Line>> ReadLines(const std::string& path, const JsonlOptions& options) {
  std::vector<Line> lines;
  HONE_RETURN_IF_ERROR(
      ForEachObject(path, [&](const nlohmann::ordered_json& json, const std::string& where) -> absl::Status {
        HONE_ASSIGN_OR_RETURN(Line line, ReadLine(json, options));
        line.prompt.where = where;
        lines.push_back(std::move(line));
        return absl::OkStatus();
      }));
  return lines;
}

void SetKeys(std::vector<Line>& lines) {
  absl::flat_hash_map<uint64_t, int> equal_lines;
  for (Line& line : lines) {
    const uint64_t content = Hash({Asked(line.prompt), line.prompt.answer, line.prompt.metadata});
    line.prompt.key = Hash({absl::StrCat(content), absl::StrCat(equal_lines[content]++)});
  }
}

// ---- Splits ------------------------------------------------------------------------------------------------------

// Moves the lines of the prompts that are held out behind the others, whose number is returned. Both splits get a prompt at least.
absl::StatusOr<size_t> HoldOut(const JsonlOptions& options, std::vector<Line>& lines) {
  std::vector<uint64_t> problems;
  for (const Line& line : lines) problems.push_back(line.problem);
  std::sort(problems.begin(), problems.end());
  problems.erase(std::unique(problems.begin(), problems.end()), problems.end());
  if (problems.size() < 2) {
    return InputError(options.path, ": one prompt cannot be split in two; add lines or give held_out_path");
  }
  const auto wanted = static_cast<size_t>(options.held_out * static_cast<double>(problems.size()));
  const uint64_t first_kept = problems[std::clamp<size_t>(wanted, 1, problems.size() - 1)];
  const auto is_kept = [&](const Line& line) { return line.problem >= first_kept; };
  return std::stable_partition(lines.begin(), lines.end(), is_kept) - lines.begin();
}

absl::Status CheckApart(const std::vector<Line>& train, const std::vector<Line>& held_out) {
  absl::flat_hash_map<uint64_t, const Line*> trained;
  for (const Line& line : train) trained.emplace(line.problem, &line);
  for (const Line& line : held_out) {
    const auto same = trained.find(line.problem);
    if (same == trained.end()) continue;
    return InputError(line.prompt.where, ": the prompt stands in ", same->second->prompt.where,
                      " as well; what is held out must not be trained on, so take it out of one of them");
  }
  return absl::OkStatus();
}

class JsonlTask : public Task {
 public:
  // Lines from `train_size` on are held out.
  JsonlTask(const JsonlOptions& options, std::vector<Line> lines, size_t train_size)
      : verifier_(options.verifier), lines_(std::move(lines)), train_size_(train_size), order_(train_size) {
    std::iota(order_.begin(), order_.end(), 0);
    RandomSequence random(options.seed, RandomStream::kTask, 0);
    for (size_t left = order_.size(); options.shuffles && left > 1; --left) {
      std::swap(order_[left - 1], order_[random.Below(static_cast<uint32_t>(left))]);
    }
    if (options.demonstration_key.empty()) return;
    for (const Line& line : lines_) demonstrations_.emplace(line.prompt.key, &line.demonstration);
  }

  std::optional<uint64_t> Size(Split split) const override {
    return split == Split::kTrain ? train_size_ : lines_.size() - train_size_;
  }

  Prompt At(Split split, uint64_t index) const override {
    return lines_[split == Split::kTrain ? order_[index] : train_size_ + index].prompt;
  }

  std::optional<std::string> Demonstration(const Prompt& prompt) const override {
    const auto found = demonstrations_.find(prompt.key);
    if (found == demonstrations_.end()) return std::nullopt;
    return *found->second;
  }

  std::string DefaultVerifier() const override { return verifier_; }

 private:
  const std::string verifier_;
  const std::vector<Line> lines_;
  const size_t train_size_;
  std::vector<size_t> order_;  // of training
  absl::flat_hash_map<uint64_t, const std::string*> demonstrations_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> NewJsonlTask(Spec& spec) {
  JsonlOptions options;
  options.path = spec.Text("path", "");
  options.held_out_path = spec.Text("held_out_path", "");
  options.held_out =
      spec.Double("held_out", options.held_out, 0.0001, 0.9);  // of path's prompts, without held_out_path
  options.verifier = spec.Text("verifier", "exact");
  options.prompt_key = spec.Text("prompt_key", "prompt");
  options.prompt_template = spec.Text("prompt_template", std::string(kPlaceholder));
  options.demonstration_key = spec.Text("demonstration_key", "");
  options.shuffles = spec.Choice("order", "random", {"random", "file"}) == "random";
  options.seed = static_cast<uint64_t>(spec.Int("seed", 1, 0, INT64_MAX));
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.path.empty()) return InputError("jsonl: needs an option path=\"...\", a file of JSON lines");
  if (!absl::StrContains(options.prompt_template, kPlaceholder)) {
    return InputError("jsonl: option 'prompt_template' is '", Visible(options.prompt_template, kShownBytes),
                      "', wanted a text with ", kPlaceholder, " in it");
  }
  HONE_ASSIGN_OR_RETURN(std::vector<Line> lines, ReadLines(options.path, options));
  size_t train_size = lines.size();
  if (options.held_out_path.empty()) {
    HONE_ASSIGN_OR_RETURN(train_size, HoldOut(options, lines));
  } else {
    JsonlOptions without_demonstrations = options;
    without_demonstrations.demonstration_key.clear();
    HONE_ASSIGN_OR_RETURN(std::vector<Line> held_out, ReadLines(options.held_out_path, without_demonstrations));
    HONE_RETURN_IF_ERROR(CheckApart(lines, held_out));
    std::move(held_out.begin(), held_out.end(), std::back_inserter(lines));
  }
  SetKeys(lines);
  return std::make_unique<JsonlTask>(options, std::move(lines), train_size);
}

}  // namespace hone
