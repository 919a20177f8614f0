#include "tools/model_options.h"

#include <algorithm>
#include <thread>

namespace hone {

int ModelOptions::ThreadCount() const {
  if (threads > 0) return static_cast<int>(threads);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

absl::StatusOr<std::unique_ptr<Model>> ModelOptions::Load(ThreadPool* pool) const {
  const MatrixStorage storage = dtype == "float32"    ? MatrixStorage::kFloat32
                                : dtype == "bfloat16" ? MatrixStorage::kBfloat16
                                                      : MatrixStorage::kExact;
  return LoadModel(model, pool, storage);
}

void DeclareModelOptions(Arguments& arguments, ModelOptions* options) {
  arguments.Text("model", "DIR", "model folder", &options->model);
  arguments.Choice("dtype",
                   "of the matrices in memory; auto takes bfloat16 where the folder has it, with the same results",
                   &options->dtype, {"auto", "float32", "bfloat16"});
  arguments.Int("threads", "0 takes the machine's cores", &options->threads, 0, 1024);
  arguments.Require("model");
}

}  // namespace hone
