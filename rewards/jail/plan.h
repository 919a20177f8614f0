// What the jail program is told, as its command line: words "key value..." and, after "--", the tested program's own command.
//
//   bind SOURCE TARGET        a read-only view of a file or folder of the host
//   link TEXT TARGET          a symbolic link
//   file FD MODE TARGET       the text behind descriptor FD, read-only; MODE is "text" or "program"
//   seccomp FD                a compiled filter of system calls
//   keep FD                   given to the program as descriptor 3, the next one as 4
//   cpu_ms, wall_ms, memory, address_space, stack, tmp_bytes, file_bytes, processes VALUE
//   open FOLDER               no walls: only limits, everything under FOLDER
//
// Descriptors: 0, 1, 2 are the program's; 3 takes the one-line report; 4 ends everything when its other end closes.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <vector>

namespace hone::jail {

constexpr int kReport = 3;
extern int report_fd;  // kReport, until the program's own descriptors take its place
constexpr int kLifeline = 4;
constexpr int kNobody = 65534;  // the user inside, and outside too where we may choose it

struct Bind {
  const char* source;
  const char* target;  // without the leading '/'
  int tree = -1;       // the detached mount
};

struct Link {
  const char* text;
  const char* target;
};

struct File {
  int fd;
  bool program;
  const char* target;
};

struct Plan {
  std::vector<Bind> binds;
  std::vector<Link> links;
  std::vector<File> files;
  std::vector<int> keep;
  int seccomp = -1;
  const char* open = nullptr;
  long cpu_ms = 1000, wall_ms = 1000;
  rlim_t memory = 0, address_space = 0, stack = 0, tmp_bytes = 0, file_bytes = 0, processes = 1;
  char** command = nullptr;
};

// One line on the report descriptor ("setup what errno"), then the end of this process.
[[noreturn]] void Fail(const char* what);

// ---- room.cc: in the new namespaces, with every capability in them.
// Clones the host's trees that `plan` names, while this process is still the user that may read them.
void TakeTrees(Plan& plan);
// Becomes kNobody, builds the root folder and moves into it. Nothing of the host's tree is reachable afterwards. True with a /proc.
bool BuildRoom(const Plan& plan);
// The files alone, into `plan.open`.
void WriteFiles(const Plan& plan, const char* root);
// Gives up every capability for good, and the right to win any back by exec.
void DropRights();

// ---- watch.cc
// Starts the program, watches it and everything it starts, and reports how it ended.
[[noreturn]] void RunProgram(const Plan& plan, bool has_proc);

}  // namespace hone::jail
