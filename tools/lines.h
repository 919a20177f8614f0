// Files of JSON lines (shared formats of the commands): prompts, generated samples, texts.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/prompt_encoder.h"

namespace hone {

using Json = nlohmann::ordered_json;

// One line of a file, parsed. Errors made with At() begin "FILE:LINE: ".
struct InputLine {
  std::string where;    // "FILE:LINE"
  Json json;            // an object
  uint64_t number = 0;  // of the line, from 1
  std::string text{};   // as it stands in the file; from LineReader only

  // The member `key` as a list of token ids below `vocabulary_size`.
  absl::StatusOr<std::vector<TokenId>> Tokens(const char* key, int32_t vocabulary_size) const;
  // The member `key`, or an input error naming it.
  absl::StatusOr<std::string> Text(const char* key) const;
};

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, FileCloser>;

// Reads a file line by line, however large it is.
class LineReader {
 public:
  static absl::StatusOr<LineReader> Open(const std::string& path);
  // The next line that is not blank; no value at the end. Input errors: no lines at all, not UTF-8, not a JSON object; they name the line.
  absl::StatusOr<std::optional<InputLine>> Next();
  // How far it is; the total is 0 where it is not known.
  int64_t bytes_read() const { return bytes_read_; }
  int64_t bytes_total() const { return bytes_total_; }

 private:
  LineReader(std::string path, OpenFile file) : path_(std::move(path)), file_(std::move(file)) {}
  // False at the end.
  absl::StatusOr<bool> ReadLine(std::string& line);

  std::string path_;
  OpenFile file_;
  int64_t bytes_read_ = 0, bytes_total_ = 0;
  uint64_t number_ = 0, found_ = 0;
};

// All lines that LineReader gives.
absl::StatusOr<std::vector<InputLine>> ReadLines(const std::string& path);

// The prompts of lines in the shape of engine/base/prompt_line.h, encoded; keys are the indices of the lines.
absl::StatusOr<std::vector<Prompt>> EncodePrompts(const std::vector<InputLine>& lines, PromptEncoder& encoder);

// One line of text with `logprobs` as its last member, 9 significant digits each so that a float32 round-trips.
std::string LineWithLogprobs(Json json, const std::vector<float>& logprobs);

// Compact JSON; broken UTF-8 becomes the replacement character.
std::string Dump(const Json& json);

// Writes lines to a file (whole or not at all, on Close) or to standard output as they come. Until then a file's lines are in
// another file beside it, so that a command may read what it replaces; a device or a pipe gets them at once.
class LineWriter {
 public:
  // An empty path means standard output. The target is probed at once, so that a wrong path fails before the work.
  static absl::StatusOr<LineWriter> Open(const std::string& path);
  LineWriter(LineWriter&&) = default;
  LineWriter& operator=(LineWriter&&) = delete;
  ~LineWriter();
  absl::Status Write(const std::string& line);
  absl::Status Close();

 private:
  LineWriter(std::string path, std::string temporary, OpenFile file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}
  std::string path_;
  std::string temporary_;  // empty: path_ itself is written
  OpenFile file_;          // null: standard output, or closed
};

}  // namespace hone
