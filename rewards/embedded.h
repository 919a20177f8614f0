// What travels inside the binary, so that nothing has to be installed or found: programs of Hone's own that run beside it, and
// the scripts of the sandbox.
#pragma once

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "rewards/descriptor.h"

namespace hone {

enum class EmbeddedProgram {
  kGuard,       // rewards/guard/main.cc
  kPluginHost,  // rewards/plugin_host/main.cc
  kJail,        // rewards/jail/main.cc
};

// A descriptor of the program's file in memory; the process has one for each program and keeps it. Thread-safe. Errors: MemoryFile's.
absl::StatusOr<int> OpenEmbedded(EmbeddedProgram program);

absl::string_view PythonWire();    // rewards/jail/wire.py
absl::string_view PythonPlayer();  // rewards/jail/player.py
absl::string_view PythonRemote();  // rewards/jail/remote.py
absl::string_view PythonJudge();   // rewards/jail/judge.py
absl::string_view CppPrinter();    // rewards/jail/printer.h

// A file in memory that nobody can change, read from its beginning; closed on exec, at least 10, below which lie those that a started
// program gets. Errors: no memory, no descriptor, a machine without memory files (memfd_create).
absl::StatusOr<Descriptor> MemoryFile(absl::string_view content);

}  // namespace hone
