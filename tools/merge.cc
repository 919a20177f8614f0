// hone merge: the largest changes of a tuned model on the model that it began with.
#include "engine/merge.h"

#include <cstdio>
#include <filesystem>

#include "engine/base/file.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace hone {
namespace {

absl::Status RunMerge(const std::string& base, const std::string& tuned, const MergeOptions& options,
                      const std::string& output) {
  std::error_code ignored;
  if (std::filesystem::equivalent(base, tuned, ignored)) {
    return InputError("--base ", base, " and --tuned ", tuned, " are the same folder; there is nothing to merge");
  }
  if (std::filesystem::exists(output)) return InputError(output, ": exists already; --output wants a new folder");
  auto writer = FolderWriter::Begin(output);
  if (!writer.ok()) return InputError(writer.status().message(), "; choose another --output");
  HONE_ASSIGN_OR_RETURN(const MergeCounts counts, MergeModels(base, tuned, options, writer->path()));
  HONE_RETURN_IF_ERROR(writer->Commit());
  std::printf("%s: %lld weights, %lld changed by training, %lld of these changes kept (from %.3g up)\n", output.c_str(),
              static_cast<long long>(counts.weights), static_cast<long long>(counts.changed),
              static_cast<long long>(counts.kept), counts.least);
  return absl::OkStatus();
}

}  // namespace

int MergeCommand(int argc, char** argv) {
  std::string base, tuned, output, dtype = "float32";
  MergeOptions options;
  Arguments arguments("merge",
                      "Writes the base model with the largest of the changes that training made to it "
                      "(DLER's update-selective merging, https://arxiv.org/abs/2510.15110).");
  arguments.Text("base", "DIR", "the model that training began with", &base);
  arguments.Text("tuned", "DIR", "what training made of it", &tuned);
  arguments.Text("output", "DIR", "a new folder", &output);
  arguments.Double("keep", "share of the weights, of all together, that keep their change", &options.keep, 1e-9, 1);
  arguments.Double("scale", "what the kept changes are multiplied by", &options.scale, 0);
  arguments.Choice("dtype", "of the weights", &dtype, {"float32", "bfloat16"});
  for (const char* name : {"base", "tuned", "output"}) arguments.Require(name);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  options.type = dtype == "float32" ? StorageType::kFloat32 : StorageType::kBfloat16;
  return Report(RunMerge(base, tuned, options, output));
}

}  // namespace hone
