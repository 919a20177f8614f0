// hone export: a checkpoint of a run as a model folder.
#include <algorithm>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "engine/base/file.h"
#include "engine/checkpoint.h"
#include "engine/lora.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "trainer/run_folder.h"

namespace hone {
namespace {

absl::Status RunExport(const std::string& run, int64_t step, const std::string& output, const std::string& dtype) {
  const std::vector<int64_t> checkpoints = ListCheckpoints(run);
  if (checkpoints.empty()) return InputError(run, ": holds no checkpoint; 'hone train' or 'hone resume' writes them");
  if (step < 0) step = checkpoints.back();
  if (std::find(checkpoints.begin(), checkpoints.end(), step) == checkpoints.end()) {
    return InputError(run, ": no checkpoint of step ", step, "; have: ", absl::StrJoin(checkpoints, ", "));
  }
  if (std::filesystem::exists(output)) return InputError(output, ": exists already; --output wants a new folder");
  const std::string folder = CheckpointFolder(run, step);
  ThreadPool pool(1);
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(folder));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, LoadModel(folder, &pool));
  if (model->adapter() != nullptr) MergeLora(*model);
  auto writer = FolderWriter::Begin(output);
  if (!writer.ok()) return InputError(writer.status().message(), "; choose another --output");
  HONE_RETURN_IF_ERROR(SaveModel(*model, *tokenizer, writer->path(),
                                 dtype == "float32" ? StorageType::kFloat32 : StorageType::kBfloat16));
  return writer->Commit();
}

}  // namespace

int ExportCommand(int argc, char** argv) {
  std::string run, output, dtype = "float32";
  int64_t step = -1;
  Arguments arguments("export", "Writes a checkpoint as a model folder that transformers loads.");
  arguments.Text("run", "DIR", "folder of the run", &run);
  arguments.Int("step", "which checkpoint (default: the newest)", &step, 0);
  arguments.Text("output", "DIR", "a new folder", &output);
  arguments.Choice("dtype", "of the weights", &dtype, {"float32", "bfloat16"});
  arguments.Require("run");
  arguments.Require("output");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunExport(run, step, output, dtype));
}

}  // namespace hone
