// hone logprobs: the trainer's forward pass over given tokens.
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/model_options.h"
#include "trainer/batch.h"

namespace hone {
namespace {

// Tokens through the model at once: a bound on memory, without influence on the numbers.
constexpr int64_t kTokenBudget = 16384;

absl::Status RunLogprobs(const ModelOptions& options, const std::string& input, const std::string& output) {
  ThreadPool pool(options.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::vector<InputLine> lines, ReadLines(input));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(output));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.Load(&pool));
  const ModelConfig& config = model->config();
  std::vector<std::vector<TokenId>> prompts, answers;
  for (const InputLine& line : lines) {
    HONE_ASSIGN_OR_RETURN(std::vector<TokenId> prompt, line.Tokens("prompt_tokens", config.vocab_size));
    HONE_ASSIGN_OR_RETURN(std::vector<TokenId> answer, line.Tokens("tokens", config.vocab_size));
    if (prompt.empty()) return InputError(line.where, ": 'prompt_tokens' is empty; a prompt has at least one token");
    if (static_cast<int64_t>(prompt.size() + answer.size()) > config.max_position_embeddings) {
      return InputError(line.where, ": ", prompt.size() + answer.size(), " tokens exceed the model's ",
                        config.max_position_embeddings, " positions");
    }
    prompts.push_back(std::move(prompt));
    answers.push_back(std::move(answer));
  }
  std::vector<TrainGroup> groups;
  for (size_t i = 0; i < lines.size(); ++i) {
    TrainGroup group{&prompts[i], {}};
    if (!answers[i].empty()) group.samples.push_back({&answers[i]});
    groups.push_back(std::move(group));
  }
  const std::vector<float> logprobs = ScoreGroups(*model, groups, kTokenBudget);
  auto next = logprobs.begin();
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto end = next + static_cast<std::ptrdiff_t>(answers[i].size());
    HONE_RETURN_IF_ERROR(writer.Write(LineWithLogprobs(lines[i].json, {next, end})));
    next = end;
  }
  return writer.Close();
}

}  // namespace

int LogprobsCommand(int argc, char** argv) {
  ModelOptions options;
  std::string input, output;
  Arguments arguments("logprobs", "Adds the log-probability of every token, by the trainer's forward pass.");
  DeclareModelOptions(arguments, &options);
  arguments.Text("input", "FILE", "one JSON object a line with 'prompt_tokens' and 'tokens'", &input);
  arguments.Text("output", "FILE", "instead of standard output", &output);
  arguments.Require("input");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunLogprobs(options, input, output));
}

}  // namespace hone
