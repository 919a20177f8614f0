// A verifier of the user's in a shared library, with C's calling convention (rewards/verifier_abi.h). It runs in hone-plugin-host
// (rewards/plugin_host/main.cc), a program that speaks the line protocol: a library that crashes or hangs takes that program with it, not the run.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "rewards/embedded.h"
#include "rewards/foreign_workers.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

// Loads the library once, in a process that ends again: what is wrong with it is known before the run begins.
absl::Status CheckLibrary(const Command& host, int64_t start_ms) {
  Command check = host;
  check.arguments[1] = "check";
  HONE_ASSIGN_OR_RETURN(GuardedProcess process, GuardedProcess::Start(check));
  pollfd ended = {process.ended(), POLLIN, 0};
  while (poll(&ended, 1, static_cast<int>(start_ms)) < 0 && errno == EINTR) continue;
  const bool in_time = ended.revents != 0;
  process.End();
  char text[4096];
  const ssize_t got = read(process.error().get(), text, sizeof(text));
  absl::string_view says(text, got > 0 ? static_cast<size_t>(got) : 0);
  says = says.substr(0, says.find('\n'));
  if (!in_time) return InputError("plugin: ", host.arguments[2], ": does not load within start_ms=", start_ms);
  if (process.HowItEnded() == "exit status 0") return absl::OkStatus();
  return InputError("plugin: ", says.empty()
                                    ? absl::StrCat(host.arguments[2], ": loading it ended with ", process.HowItEnded())
                                    : says);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewPluginVerifier(Spec& spec) {
  ForeignWorkersOptions options;
  std::string path = spec.Text("path", "");
  const std::string text = spec.Text("options", "");
  options.name = "plugin";
  ReadForeignOptions(spec, options);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (path.empty()) return InputError("plugin: needs the shared library that verifies: plugin(path=\"./libmine.so\")");
  if (!absl::StrContains(path, '/')) path = "./" + path;  // a file, not a name to look up in the system's folders
  HONE_ASSIGN_OR_RETURN(options.command.program, OpenEmbedded(EmbeddedProgram::kPluginHost));
  options.command.arguments = {"hone-plugin-host", "serve", path, text};
  HONE_RETURN_IF_ERROR(CheckLibrary(options.command, options.limits.start_ms));
  return NewForeignVerifier(std::move(options));
}

}  // namespace hone
