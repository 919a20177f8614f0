// A verifier of the user's: any program that reads a JSON object a line and writes one back (rewards/line_protocol.h). It may die, hang or
// talk nonsense: rewards/foreign_workers.h says who then gets no verdict, and rewards/guard/main.cc how it ends with all it started.
#include <memory>
#include <string>

#include "rewards/foreign_workers.h"
#include "rewards/verifier.h"

namespace hone {

absl::StatusOr<std::unique_ptr<Verifier>> NewProcessVerifier(Spec& spec) {
  ForeignWorkersOptions options;
  const std::string command = spec.Text("command", "");
  options.name = "process";
  options.command.arguments = {"/bin/sh", "-c", command};
  ReadForeignOptions(spec, options);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (command.find_first_not_of(" \t\n") == std::string::npos) {
    return InputError("process: needs the command that verifies: process(command=\"python3 my_verifier.py\")");
  }
  return NewForeignVerifier(std::move(options));
}

}  // namespace hone
