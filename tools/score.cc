// hone score: a verifier over a file of answers.
#include <chrono>
#include <cstdio>
#include <map>

#include "absl/strings/str_format.h"
#include "recipes/build.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"

namespace hone {
namespace {

absl::Status RunScore(const std::string& spec, const std::string& input, const std::string& output) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Verifier> verifier, BuildVerifier(spec));
  HONE_ASSIGN_OR_RETURN(std::vector<InputLine> lines, ReadLines(input));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(output));
  std::map<std::string, int64_t> no_verdict;  // reason -> lines
  double sum = 0;
  int64_t scored = 0;
  const auto start = std::chrono::steady_clock::now();
  for (InputLine& line : lines) {
    HONE_ASSIGN_OR_RETURN(const std::string completion, line.Text("completion"));
    Prompt prompt;
    for (const auto& [key, target] : {std::pair{"prompt", &prompt.text}, std::pair{"answer", &prompt.answer}}) {
      if (!line.json.contains(key)) continue;
      HONE_ASSIGN_OR_RETURN(*target, line.Text(key));
    }
    if (line.json.contains("metadata")) prompt.metadata = Dump(line.json["metadata"]);
    const Verdict verdict = verifier->Verify(prompt, completion);
    line.json["score"] = verdict.score ? Json(*verdict.score) : Json(nullptr);
    line.json["reason"] = verdict.reason;
    line.json["parts"] = Json::object();
    for (const auto& [name, value] : verdict.parts) line.json["parts"][name] = value;
    if (verdict.score) {
      sum += *verdict.score;
      ++scored;
    } else {
      ++no_verdict[verdict.reason];
    }
    HONE_RETURN_IF_ERROR(writer.Write(Dump(line.json)));
  }
  HONE_RETURN_IF_ERROR(writer.Close());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::fprintf(stderr, "%d lines, %d scored, mean score %.4f, %.0f verdicts/s\n", static_cast<int>(lines.size()),
               static_cast<int>(scored), scored > 0 ? sum / static_cast<double>(scored) : 0.0,
               static_cast<double>(lines.size()) / seconds);
  for (const auto& [reason, count] : no_verdict)
    std::fprintf(stderr, "no verdict, %d lines: %s\n", static_cast<int>(count), reason.c_str());
  return absl::OkStatus();
}

}  // namespace

int ScoreCommand(int argc, char** argv) {
  std::string verifier, input, output;
  Arguments arguments("score", "Adds score, reason and parts to every line.");
  arguments.Text("verifier", "SPEC", "a verifier of 'hone list verifier'", &verifier);
  arguments.Text("input", "FILE",
                 "one JSON object a line with 'completion', and 'prompt', 'answer', 'metadata' as the verifier wants",
                 &input);
  arguments.Text("output", "FILE", "instead of standard output", &output);
  arguments.Require("verifier");
  arguments.Require("input");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunScore(verifier, input, output));
}

}  // namespace hone
