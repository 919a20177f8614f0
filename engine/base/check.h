// HONE_CHECK: our own mistakes. The world's mistakes are an absl::Status (status.h).
#pragma once

#include <cstdio>
#include <cstdlib>

// Stops the program with file, line and the broken condition. Names avoid c10's CHECK.
#define HONE_CHECK(condition)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      std::fprintf(stderr, "hone: internal error at %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                                \
    }                                                                                              \
  } while (false)
