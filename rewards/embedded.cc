#include "rewards/embedded.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "engine/base/file.h"

// The assembler copies the files; cmake/EmbeddedFiles.cmake says where they are and that this file depends on them.
#define HONE_EMBED(symbol, path)          \
  asm(".section .rodata\n"                \
      ".balign 16\n" #symbol              \
      "_begin:\n"                         \
      ".incbin \"" path "\"\n" #symbol    \
      "_end:\n"                           \
      ".byte 0\n"                         \
      ".previous\n");                     \
  extern "C" const char symbol##_begin[]; \
  extern "C" const char symbol##_end[];

HONE_EMBED(hone_guard, HONE_GUARD_FILE)
HONE_EMBED(hone_plugin_host, HONE_PLUGIN_HOST_FILE)
HONE_EMBED(hone_jail, HONE_JAIL_FILE)
HONE_EMBED(hone_python_wire, HONE_JAIL_FOLDER "/wire.py")
HONE_EMBED(hone_python_remote, HONE_JAIL_FOLDER "/remote.py")
HONE_EMBED(hone_python_player, HONE_JAIL_FOLDER "/player.py")
HONE_EMBED(hone_python_judge, HONE_JAIL_FOLDER "/judge.py")
HONE_EMBED(hone_cpp_printer, HONE_JAIL_FOLDER "/printer.h")

#define HONE_EMBEDDED(symbol) absl::string_view(symbol##_begin, static_cast<size_t>(symbol##_end - symbol##_begin))

namespace hone {
namespace {

constexpr int kLowestDescriptor = 10;

}  // namespace

absl::string_view PythonWire() { return HONE_EMBEDDED(hone_python_wire); }
absl::string_view PythonRemote() { return HONE_EMBEDDED(hone_python_remote); }
absl::string_view PythonPlayer() { return HONE_EMBEDDED(hone_python_player); }
absl::string_view PythonJudge() { return HONE_EMBEDDED(hone_python_judge); }
absl::string_view CppPrinter() { return HONE_EMBEDDED(hone_cpp_printer); }

absl::StatusOr<Descriptor> MemoryFile(absl::string_view content) {
  const Descriptor low(memfd_create("hone", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!low.open()) return WorkError("cannot make a file in memory: ", SystemError());
  Descriptor file(fcntl(low.get(), F_DUPFD_CLOEXEC, kLowestDescriptor));
  if (!file.open()) return WorkError("cannot open one file more: ", SystemError());
  while (!content.empty()) {
    const ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return WorkError("cannot write a file to memory: ", SystemError());
    content.remove_prefix(static_cast<size_t>(written));
  }
  lseek(file.get(), 0, SEEK_SET);
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  return file;
}

absl::StatusOr<int> OpenEmbedded(EmbeddedProgram program) {
  const auto open = [](absl::string_view content) -> absl::StatusOr<int> {
    HONE_ASSIGN_OR_RETURN(Descriptor file, MemoryFile(content));
    return file.Release();
  };
  switch (program) {
    case EmbeddedProgram::kGuard: {
      static const absl::StatusOr<int> guard = open(HONE_EMBEDDED(hone_guard));
      return guard;
    }
    case EmbeddedProgram::kPluginHost: {
      static const absl::StatusOr<int> host = open(HONE_EMBEDDED(hone_plugin_host));
      return host;
    }
    case EmbeddedProgram::kJail:
      break;
  }
  static const absl::StatusOr<int> jail = open(HONE_EMBEDDED(hone_jail));
  return jail;
}

}  // namespace hone
