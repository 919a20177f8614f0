// The options of every sub-command that runs a model: --model, --dtype, --threads.
#pragma once

#include <memory>
#include <string>

#include "engine/checkpoint.h"
#include "tools/arguments.h"

namespace hone {

struct ModelOptions {
  std::string model;
  std::string dtype = "auto";
  int64_t threads = 0;

  // Threads to work with: as many as asked for, else the machine's cores.
  int ThreadCount() const;
  absl::StatusOr<std::unique_ptr<Model>> Load(ThreadPool* pool) const;
};

// Declares and requires them; `options` outlives the parser.
void DeclareModelOptions(Arguments& arguments, ModelOptions* options);

}  // namespace hone
