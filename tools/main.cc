// hone: trains language models by reinforcement learning. This file finds the sub-command.
#include <malloc.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/ops.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace {

struct Command {
  const char* name;
  int (*run)(int argc, char** argv);
  const char* summary;
};

constexpr Command kCommands[] = {
    {"train", hone::TrainCommand, "runs a recipe's stages"},
    {"resume", hone::ResumeCommand, "goes on with an interrupted run"},
    {"generate", hone::GenerateCommand, "samples answers to prompts"},
    {"logprobs", hone::LogprobsCommand, "scores given tokens with the trainer's forward pass"},
    {"eval", hone::EvalCommand, "measures pass@k on a task's held-out prompts"},
    {"score", hone::ScoreCommand, "runs a verifier over a file of answers"},
    {"distill", hone::DistillCommand, "trains a draft model for speculative decoding"},
    {"export", hone::ExportCommand, "writes a checkpoint as a model folder"},
    {"merge", hone::MergeCommand, "puts a tuned model's largest changes on its base"},
    {"tokenize", hone::TokenizeCommand, "shows a model's tokens for texts"},
    {"list", hone::ListCommand, "lists the components, their options and papers"},
    {"inspect", hone::InspectCommand, "summarises a run"},
    {"bench", hone::BenchCommand, "times generation against what the machine can do"},
    {"version", hone::VersionCommand, "shows the build, instruction set and libraries"},
};

int Usage(std::FILE* stream) {
  std::fprintf(stream, "usage: hone COMMAND [ARGUMENTS]; 'hone COMMAND --help' tells more\n\n");
  for (const Command& command : kCommands) std::fprintf(stream, "  %-10s %s\n", command.name, command.summary);
  return 0;
}

// A tensor of a few megabytes comes back with the next layer: keeping freed memory saves a page fault for each 4096 bytes.
void KeepFreedMemory() {
  constexpr int kLargestKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kLargestKept);
  mallopt(M_TRIM_THRESHOLD, kLargestKept);
}

}  // namespace

int main(int argc, char** argv) {
  KeepFreedMemory();
  hone::ops::UseOneTensorThread();
  if (argc < 2) {
    Usage(stderr);
    return 2;
  }
  const std::string name = argv[1];
  if (name == "help" || name == "--help" || name == "-h") return Usage(stdout);
  if (name == "--version") return hone::VersionCommand(1, argv + 1);
  std::vector<std::string> names;
  try {
    for (const Command& command : kCommands) {
      if (name == command.name) return command.run(argc - 1, argv + 1);
      names.push_back(command.name);
    }
  } catch (const std::exception& error) {
    // Ours throws nothing; a library may, above all when memory ends.
    return hone::Report(hone::WorkError(name, ": ", error.what()));
  }
  return hone::Report(hone::InputError("no command '", name, "'", hone::DidYouMean(name, names), "; see 'hone help'"));
}
