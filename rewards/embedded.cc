#include "rewards/embedded.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "absl/strings/string_view.h"
#include "engine/base/file.h"

// CMakeLists.txt says where the built programs are.
asm(R"(
  .section .rodata
  .balign 16
hone_guard_begin:
  .incbin ")" HONE_GUARD_FILE R"("
hone_guard_end:
hone_plugin_host_begin:
  .incbin ")" HONE_PLUGIN_HOST_FILE R"("
hone_plugin_host_end:
  .previous
)");
extern "C" const char hone_guard_begin[], hone_guard_end[], hone_plugin_host_begin[], hone_plugin_host_end[];

namespace hone {
namespace {

constexpr int kLowestDescriptor = 10;  // below are those that a started program gets

absl::StatusOr<int> MakeFile(const char* name, absl::string_view content) {
  const int low = memfd_create(name, MFD_CLOEXEC);
  if (low < 0) return WorkError("cannot make a file in memory for ", name, ": ", SystemError());
  const int file = fcntl(low, F_DUPFD_CLOEXEC, kLowestDescriptor);
  close(low);
  if (file < 0) return WorkError("cannot open one file more: ", SystemError());
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const std::string why = SystemError();
      close(file);
      return WorkError("cannot write ", name, " to memory: ", why);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return file;
}

}  // namespace

absl::StatusOr<int> OpenEmbedded(EmbeddedProgram program) {
  if (program == EmbeddedProgram::kGuard) {
    static const absl::StatusOr<int> file =
        MakeFile("hone-guard", {hone_guard_begin, static_cast<size_t>(hone_guard_end - hone_guard_begin)});
    return file;
  }
  static const absl::StatusOr<int> file = MakeFile(
      "hone-plugin-host", {hone_plugin_host_begin, static_cast<size_t>(hone_plugin_host_end - hone_plugin_host_begin)});
  return file;
}

}  // namespace hone
