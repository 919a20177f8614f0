// Programs of Hone's own that run beside it: they travel inside the binary, so that nothing has to be installed or found.
#pragma once

#include <string>

#include "engine/base/status.h"

namespace hone {

enum class EmbeddedProgram {
  kGuard,       // rewards/guard/main.cc
  kPluginHost,  // rewards/plugin_host/main.cc
};

// A descriptor of the program's file in memory, closed on exec, at least 10; the process has one for each program and keeps it.
// Thread-safe. Error: the machine has no memory files (memfd_create).
absl::StatusOr<int> OpenEmbedded(EmbeddedProgram program);

}  // namespace hone
