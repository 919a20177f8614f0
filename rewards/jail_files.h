// Files of the source tree and the jail program, as they lie in the binary: Hone stays one file.
#pragma once

#include "absl/strings/string_view.h"

namespace hone {

absl::string_view JailProgram();   // rewards/jail/main.cc, compiled
absl::string_view PythonWire();    // rewards/jail/wire.py
absl::string_view PythonPlayer();  // rewards/jail/player.py
absl::string_view PythonRemote();  // rewards/jail/remote.py
absl::string_view PythonJudge();   // rewards/jail/judge.py
absl::string_view CppPrinter();    // rewards/jail/printer.h

}  // namespace hone
