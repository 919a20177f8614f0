// The assembler copies the files; CMakeLists.txt says where they are and that this file depends on them.
#include "rewards/jail_files.h"

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

HONE_EMBED(hone_jail_program, HONE_JAIL_PROGRAM)
HONE_EMBED(hone_python_wire, HONE_JAIL_FOLDER "/wire.py")
HONE_EMBED(hone_python_remote, HONE_JAIL_FOLDER "/remote.py")
HONE_EMBED(hone_python_player, HONE_JAIL_FOLDER "/player.py")
HONE_EMBED(hone_python_judge, HONE_JAIL_FOLDER "/judge.py")
HONE_EMBED(hone_cpp_printer, HONE_JAIL_FOLDER "/printer.h")

namespace hone {

#define HONE_BETWEEN(symbol) absl::string_view(symbol##_begin, static_cast<size_t>(symbol##_end - symbol##_begin))

absl::string_view JailProgram() { return HONE_BETWEEN(hone_jail_program); }
absl::string_view PythonWire() { return HONE_BETWEEN(hone_python_wire); }
absl::string_view PythonRemote() { return HONE_BETWEEN(hone_python_remote); }
absl::string_view PythonPlayer() { return HONE_BETWEEN(hone_python_player); }
absl::string_view PythonJudge() { return HONE_BETWEEN(hone_python_judge); }
absl::string_view CppPrinter() { return HONE_BETWEEN(hone_cpp_printer); }

}  // namespace hone
