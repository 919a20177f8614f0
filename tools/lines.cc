#include "tools/lines.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "engine/base/file.h"
#include "engine/base/prompt_line.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 28;

}  // namespace

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

absl::StatusOr<std::vector<TokenId>> InputLine::Tokens(const char* key, int32_t vocabulary_size) const {
  auto tokens = ReadTokens(json, key, vocabulary_size);
  if (!tokens.ok()) return InputError(where, ": ", tokens.status().message());
  return tokens;
}

absl::StatusOr<std::string> InputLine::Text(const char* key) const {
  auto text = ReadText(json, key);
  if (!text.ok()) return InputError(where, ": ", text.status().message());
  return text;
}

absl::StatusOr<LineReader> LineReader::Open(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return InputError(path, ": is a folder, a file is wanted");
  OpenFile file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) return InputError(path, ": cannot read: ", SystemError());
  LineReader reader(path, std::move(file));
  const auto size = std::filesystem::file_size(path, error);
  if (!error) reader.bytes_total_ = static_cast<int64_t>(size);
  return reader;
}

absl::StatusOr<bool> LineReader::ReadLine(std::string& line) {
  line.clear();
  for (int c; (c = getc_unlocked(file_.get())) != EOF;) {
    line += static_cast<char>(c);
    if (c == '\n') break;
    if (line.size() > kMaxLineBytes)
      return InputError(path_, ":", number_ + 1, ": more than ", kMaxLineBytes, " bytes");
  }
  if (std::ferror(file_.get()) != 0) return InputError(path_, ": cannot read: ", SystemError());
  bytes_read_ += static_cast<int64_t>(line.size());
  return !line.empty();
}

absl::StatusOr<std::optional<InputLine>> LineReader::Next() {
  std::string text;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, ReadLine(text));
    if (!found && found_ == 0) return InputError(path_, ": no lines; one JSON object a line is wanted");
    if (!found) return std::nullopt;
    ++number_;
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    ++found_;
    InputLine line{absl::StrCat(path_, ":", number_), Json(), number_, ""};
    if (!NestsTooDeep(text)) line.json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.json.is_object())
      return InputError(line.where, ": not a JSON object in UTF-8; one object a line is wanted");
    line.text = std::move(text);
    return line;
  }
}

absl::StatusOr<std::vector<InputLine>> ReadLines(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(path));
  std::vector<InputLine> lines;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(std::optional<InputLine> line, reader.Next());
    if (!line) return lines;
    lines.push_back(*std::move(line));
    lines.back().text = std::string();
  }
}

absl::StatusOr<std::vector<Prompt>> EncodePrompts(const std::vector<InputLine>& lines, PromptEncoder& encoder) {
  std::vector<Prompt> prompts;
  for (const InputLine& line : lines) {
    absl::StatusOr<Prompt> prompt = ReadPrompt(line.json);
    if (!prompt.ok()) return InputError(line.where, ": ", prompt.status().message());
    prompt->key = prompts.size();
    prompt->where = line.where;
    HONE_RETURN_IF_ERROR(encoder.Encode(*prompt));
    prompts.push_back(*std::move(prompt));
  }
  return prompts;
}

std::string LineWithLogprobs(Json json, const std::vector<float>& logprobs) {
  json.erase("logprobs");
  std::string line = Dump(json);
  line.pop_back();
  line += line.size() > 1 ? ",\"logprobs\":[" : "\"logprobs\":[";
  for (size_t i = 0; i < logprobs.size(); ++i) absl::StrAppendFormat(&line, i == 0 ? "%.9g" : ",%.9g", logprobs[i]);
  return line + "]}";
}

absl::StatusOr<LineWriter> LineWriter::Open(const std::string& path) {
  if (path.empty()) return LineWriter("", "", nullptr);
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::directory) return InputError(path, ": is a folder, --output wants a file");
  std::string temporary;
  if (kind == std::filesystem::file_type::regular || kind == std::filesystem::file_type::not_found) {
    temporary = absl::StrCat(path, ".tmp", getpid());
  }
  OpenFile file(std::fopen(temporary.empty() ? path.c_str() : temporary.c_str(), "we"));
  if (file == nullptr) return InputError(path, ": cannot write here: ", SystemError());
  return LineWriter(path, temporary, std::move(file));
}

LineWriter::~LineWriter() {
  if (file_ != nullptr && !temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status LineWriter::Write(const std::string& line) {
  std::FILE* const file = file_ != nullptr ? file_.get() : stdout;
  const bool written = std::fwrite(line.data(), 1, line.size(), file) == line.size() && std::fputc('\n', file) != EOF &&
                       (file_ != nullptr || std::fflush(file) == 0);
  if (written) return absl::OkStatus();
  return WorkError(file_ != nullptr ? path_ : "standard output", ": cannot write: ", SystemError());
}

absl::Status LineWriter::Close() {
  if (file_ == nullptr) return absl::OkStatus();
  const bool written = std::fflush(file_.get()) == 0 && (temporary_.empty() || fsync(fileno(file_.get())) == 0);
  if (!written) return WorkError(path_, ": cannot write: ", SystemError());
  file_.reset();
  if (!temporary_.empty() && rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string why = SystemError();
    unlink(temporary_.c_str());
    return WorkError(path_, ": cannot rename into place: ", why);
  }
  return absl::OkStatus();
}

}  // namespace hone
