// hone tokenize: a model's tokens for texts, and back.
#include <algorithm>

#include "engine/model_config.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"

namespace hone {
namespace {

absl::Status RunTokenize(const std::string& model, const std::string& input, const std::string& output) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(model));
  HONE_ASSIGN_OR_RETURN(std::vector<InputLine> lines, ReadLines(input));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(output));
  PromptEncoder encoder(tokenizer.get(), model);
  const int32_t count = std::max(tokenizer->vocabulary_size(), ReadVocabularySize(model));
  for (InputLine& line : lines) {
    std::vector<TokenId> tokens;
    if (line.json.contains("messages")) {
      Prompt prompt;
      prompt.conversation = Dump(line.json);
      prompt.where = line.where;
      HONE_RETURN_IF_ERROR(encoder.Encode(prompt));
      line.json["text"] = prompt.text;
      line.json["tokens"] = tokens = prompt.tokens;
    } else if (!line.json.contains("text") && line.json.contains("tokens")) {
      HONE_ASSIGN_OR_RETURN(tokens, line.Tokens("tokens", count));
    } else {
      HONE_ASSIGN_OR_RETURN(const std::string text, line.Text("text"));
      HONE_ASSIGN_OR_RETURN(tokens, tokenizer->Encode(text));
      line.json["tokens"] = tokens;
    }
    HONE_ASSIGN_OR_RETURN(const std::string decoded, tokenizer->Decode(tokens));
    line.json["decoded"] = decoded;
    HONE_RETURN_IF_ERROR(writer.Write(Dump(line.json)));
  }
  return writer.Close();
}

}  // namespace

int TokenizeCommand(int argc, char** argv) {
  std::string model, input, output;
  Arguments arguments(
      "tokenize", "Adds 'tokens' and 'decoded' to every line, or 'decoded' alone where there are tokens and no text.");
  arguments.Text("model", "DIR", "model folder", &model);
  arguments.Text(
      "input", "FILE",
      "one JSON object a line with 'text', 'tokens', or 'messages', whose 'text' the model's chat template gives",
      &input);
  arguments.Text("output", "FILE", "instead of standard output", &output);
  arguments.Require("model");
  arguments.Require("input");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunTokenize(model, input, output));
}

}  // namespace hone
