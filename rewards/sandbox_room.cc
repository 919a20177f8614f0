// What every run of a sandbox shares: the runtime's files and where the interpreter and the compiler are.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "engine/base/text.h"
#include "rewards/embedded.h"
#include "rewards/sandbox.h"

namespace hone {
namespace {

// Prints the interpreter, its version as in lib/pythonX.Y, its library folder, and its shared library if it is linked to one.
constexpr char kAskPython[] =
    "import sys, sysconfig, os\n"
    "v = sysconfig.get_config_vars()\n"
    "base = getattr(sys, '_base_executable', sys.executable)\n"
    "shared = os.path.join(v.get('LIBDIR') or '', v.get('INSTSONAME') or '') if v.get('Py_ENABLE_SHARED') else ''\n"
    "print(os.path.realpath(base), 'python%d.%d' % sys.version_info[:2], os.path.dirname(os.__file__), shared, "
    "sep='\\n')\n";

bool Exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

// The loader's folders are links into /usr on most systems, and folders on others.
void AddFolder(const std::string& path, std::vector<std::string>& words) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return;
  if (!S_ISLNK(status.st_mode)) {
    words.insert(words.end(), {"bind", path, path});
    return;
  }
  char text[256];
  const ssize_t bytes = readlink(path.c_str(), text, sizeof text);
  if (bytes > 0) words.insert(words.end(), {"link", std::string(text, static_cast<size_t>(bytes)), path});
}

std::string Remedy(absl::string_view step, int error) {
  if (step == "namespaces" && error == ENOSPC) return "sysctl -w user.max_user_namespaces=10000";
  if (step == "namespaces" || step == "private mounts" || step == "uid_map" || step == "tmpfs" ||
      step == "securebits") {
    return "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
           "kernel.apparmor_restrict_unprivileged_userns=0; in a "
           "container, a seccomp profile that has them)";
  }
  if (error == ENOSYS) return "a kernel from 5.14 on";
  return "run Hone on the machine itself or in a container that may mount";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sandbox>> Sandbox::Open(const Options& options) {
  std::unique_ptr<Sandbox> sandbox(new Sandbox(options));
  HONE_ASSIGN_OR_RETURN(sandbox->jail_, OpenEmbedded(EmbeddedProgram::kJail));
  HONE_RETURN_IF_ERROR(sandbox->FindPython());
  sandbox->FindCompiler();
  if (!options.walls) return sandbox;

  HONE_ASSIGN_OR_RETURN(const std::string filter, SystemCallFilter());
  HONE_ASSIGN_OR_RETURN(sandbox->filter_, MemoryFile(filter));
  std::vector<std::string>& room = sandbox->room_;
  for (const char* folder : {"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"}) AddFolder(folder, room);
  for (const char* path : {"/etc/ld.so.cache", "/etc/alternatives", "/dev/null", "/dev/urandom", "/dev/random"}) {
    if (Exists(path)) room.insert(room.end(), {"bind", path, path});
  }
  room.insert(room.end(),
              {"link", "/tmp", "/dev/shm", "link", "/proc/self/fd", "/dev/fd", "link", "/proc/self/fd/0", "/dev/stdin",
               "link", "/proc/self/fd/1", "/dev/stdout", "link", "/proc/self/fd/2", "/dev/stderr"});
  SandboxRun probe;
  probe.command = {"/usr/bin/env", "true"};
  HONE_ASSIGN_OR_RETURN(const SandboxResult result, sandbox->Run(probe));
  if (!result.Succeeded())
    return WorkError("a first program (/usr/bin/env true) failed: ", result.Describe(probe.limits));
  return sandbox;
}

// The interpreter is asked, because "python3" may be a script that chooses one (pyenv) or one of a virtual environment. From /usr it is
// used where it stands; of another place only the interpreter, its library folder and its shared library appear, under /python.
absl::Status Sandbox::FindPython() {
  Sandbox open({.walls = false, .python = ""});
  HONE_ASSIGN_OR_RETURN(open.jail_, OpenEmbedded(EmbeddedProgram::kJail));
  SandboxRun ask;
  ask.command = {"/usr/bin/env",
                 "PATH=" + std::string(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"),
                 options_.python,
                 "-I",
                 "-c",
                 kAskPython};
  ask.limits.cpu_s = 20;
  HONE_ASSIGN_OR_RETURN(const SandboxResult result, open.Run(ask));
  const std::vector<std::string> lines = absl::StrSplit(result.output, '\n');
  if (!result.Succeeded() || lines.size() < 4 || lines[0].empty())
    return absl::OkStatus();  // who asks for Python is told then
  const std::string &program = lines[0], &version = lines[1], &library = lines[2], &shared = lines[3];
  if (!options_.walls || absl::string_view(program).substr(0, 5) == "/usr/") {
    python_ = program;
    return absl::OkStatus();
  }
  python_ = "/python/bin/" + version;
  room_.insert(room_.end(), {"bind", program, python_, "bind", library, "/python/lib/" + version});
  if (!shared.empty() && Exists(shared)) {
    const std::string name = shared.substr(shared.rfind('/'));
    room_.insert(room_.end(), {"bind", shared, "/python/lib" + name});
  }
  return absl::OkStatus();
}

void Sandbox::FindCompiler() {
  for (const char* path : {"/usr/bin/g++", "/usr/bin/clang++", "/usr/local/bin/g++", "/usr/local/bin/clang++"}) {
    if (compiler_.empty() && access(path, X_OK) == 0) compiler_ = path;
  }
}

absl::Status SandboxSetupError(absl::string_view step, int error) {
  return WorkError(Visible(step, 80), ": ", std::strerror(error), "; remedy: ", Remedy(step, error));
}

}  // namespace hone
