#include "tools/lines.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "engine/base/file.h"

namespace hone {

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

absl::StatusOr<std::vector<TokenId>> InputLine::Tokens(const char* key, int32_t vocabulary_size) const {
  if (!json.contains(key) || !json[key].is_array())
    return InputError(where, ": '", key, "' is missing or not a list of token ids");
  std::vector<TokenId> tokens;
  for (const Json& token : json[key]) {
    if (!token.is_number_integer() || token.get<int64_t>() < 0 || token.get<int64_t>() >= vocabulary_size) {
      return InputError(where, ": '", key, "' holds ", Dump(token).substr(0, 40), ", wanted ids from 0 to ",
                        vocabulary_size - 1);
    }
    tokens.push_back(token.get<TokenId>());
  }
  return tokens;
}

absl::StatusOr<std::string> InputLine::Text(const char* key) const {
  if (!json.contains(key) || !json[key].is_string()) return InputError(where, ": '", key, "' is missing or not a text");
  return json[key].get<std::string>();
}

absl::StatusOr<std::vector<InputLine>> ReadLines(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  std::vector<InputLine> lines;
  size_t begin = 0;
  for (int64_t number = 1; begin < content.size(); ++number) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    const absl::string_view text(content.data() + begin, end - begin);
    begin = end + 1;
    if (text.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    InputLine line{absl::StrCat(path, ":", number),
                   Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false)};
    if (!line.json.is_object())
      return InputError(line.where, ": not a JSON object in UTF-8; one object a line is wanted");
    lines.push_back(std::move(line));
  }
  if (lines.empty()) return InputError(path, ": no lines; one JSON object a line is wanted");
  return lines;
}

absl::StatusOr<std::string> PromptReader::Render(const InputLine& line) {
  if (!chat_template_) {
    HONE_ASSIGN_OR_RETURN(chat_template_, ChatTemplate::Load(folder_));
  }
  absl::StatusOr<std::string> text;
  if (line.json.contains("messages")) {
    text = chat_template_->Render(Dump(line.json));
  } else {
    HONE_ASSIGN_OR_RETURN(const std::string prompt, line.Text("prompt"));
    text = chat_template_->RenderPrompt(prompt);
  }
  if (!text.ok()) return InputError(line.where, ": ", text.status().message());
  return text;
}

absl::StatusOr<Prompt> PromptReader::Read(const InputLine& line, uint64_t key) {
  const int kinds = line.json.contains("prompt") + line.json.contains("messages") + line.json.contains("tokens");
  if (kinds != 1)
    return InputError(line.where, ": holds ", kinds, " of 'prompt', 'messages' and 'tokens', wanted exactly one");
  Prompt prompt;
  prompt.key = key;
  if (line.json.contains("answer")) {
    HONE_ASSIGN_OR_RETURN(prompt.answer, line.Text("answer"));
  }
  if (line.json.contains("metadata")) prompt.metadata = Dump(line.json["metadata"]);
  if (line.json.contains("tokens")) {
    HONE_ASSIGN_OR_RETURN(prompt.tokens, line.Tokens("tokens", tokenizer_.vocabulary_size()));
    if (prompt.tokens.empty()) return InputError(line.where, ": 'tokens' is empty; a prompt has at least one token");
    return prompt;
  }
  if (line.json.contains("messages") || texts_ == Texts::kAsUserMessages) {
    HONE_ASSIGN_OR_RETURN(prompt.text, Render(line));
  } else {
    HONE_ASSIGN_OR_RETURN(prompt.text, line.Text("prompt"));
    // A chat template writes the begin token itself, if the model wants one.
    if (tokenizer_.begin_token() >= 0) prompt.tokens = {tokenizer_.begin_token()};
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, tokenizer_.Encode(prompt.text));
  prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.end());
  if (prompt.tokens.empty()) return InputError(line.where, ": the prompt has no tokens; a prompt has at least one");
  return prompt;
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
  std::error_code error;
  if (!path.empty()) {
    if (std::filesystem::is_directory(path, error)) return InputError(path, ": is a folder, --output wants a file");
    const std::string parent = std::filesystem::path(path).parent_path().string();
    if (access(parent.empty() ? "." : parent.c_str(), W_OK) != 0)
      return InputError(path, ": cannot write here: ", SystemError());
  }
  return LineWriter(path);
}

absl::Status LineWriter::Write(const std::string& line) {
  if (!path_.empty()) {
    pending_ += line + "\n";
    return absl::OkStatus();
  }
  const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() &&
                       std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
  return written ? absl::OkStatus() : WorkError("standard output: cannot write: ", SystemError());
}

absl::Status LineWriter::Close() { return path_.empty() ? absl::OkStatus() : WriteFile(path_, pending_); }

}  // namespace hone
