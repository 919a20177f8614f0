// Files of JSON lines (shared formats of the commands): prompts, generated samples, texts.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/chat_template.h"
#include "engine/tokenizer.h"

namespace hone {

using Json = nlohmann::ordered_json;

// One line of a file, parsed. Errors made with At() begin "FILE:LINE: ".
struct InputLine {
  std::string where;  // "FILE:LINE"
  Json json;          // an object

  // The member `key` as a list of token ids below `vocabulary_size`.
  absl::StatusOr<std::vector<TokenId>> Tokens(const char* key, int32_t vocabulary_size) const;
  // The member `key`, or an input error naming it.
  absl::StatusOr<std::string> Text(const char* key) const;
};

// Every non-empty line. Input errors: no file, no lines, not UTF-8, not a JSON object; they name the line.
absl::StatusOr<std::vector<InputLine>> ReadLines(const std::string& path);

// Prompts from lines with exactly one of "prompt", "messages" and "tokens", and optional "answer" and "metadata".
class PromptReader {
 public:
  enum class Texts { kAsTheyAre, kAsUserMessages };
  // kAsUserMessages puts a "prompt" through the chat template of the model in `folder`, as "messages" always are (ChatTemplate::Render
  // says what else such a line may hold). The template is read when it is first needed.
  PromptReader(const Tokenizer& tokenizer, std::string folder, Texts texts)
      : tokenizer_(tokenizer), folder_(std::move(folder)), texts_(texts) {}

  // `key` becomes Prompt::key. The tokens are filled: a text gets the begin token in front, what the chat template gives and given
  // tokens are taken as they are.
  absl::StatusOr<Prompt> Read(const InputLine& line, uint64_t key);
  // What the chat template makes of the line's "messages" or "prompt".
  absl::StatusOr<std::string> Render(const InputLine& line);

 private:
  const Tokenizer& tokenizer_;
  std::string folder_;
  Texts texts_;
  std::optional<ChatTemplate> chat_template_;
};

// One line of text with `logprobs` as its last member, 9 significant digits each so that a float32 round-trips.
std::string LineWithLogprobs(Json json, const std::vector<float>& logprobs);

// Compact JSON; broken UTF-8 becomes the replacement character.
std::string Dump(const Json& json);

// Writes lines to a file (whole or not at all, on Close) or to standard output as they come.
class LineWriter {
 public:
  // An empty path means standard output. The target is probed at once, so that a wrong path fails before the work.
  static absl::StatusOr<LineWriter> Open(const std::string& path);
  absl::Status Write(const std::string& line);
  absl::Status Close();

 private:
  explicit LineWriter(std::string path) : path_(std::move(path)) {}
  std::string path_;
  std::string pending_;
};

}  // namespace hone
