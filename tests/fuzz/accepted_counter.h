// Tells at the end how many inputs were good ones: a target that refuses everything at the first byte tests nothing.
#pragma once

#include <cstdint>
#include <cstdio>

namespace hone {

class AcceptedCounter {
 public:
  ~AcceptedCounter() {
    std::fprintf(stderr, "accepted %llu of %llu inputs\n", static_cast<unsigned long long>(accepted_),
                 static_cast<unsigned long long>(all_));
  }
  void CountInput() { ++all_; }
  void CountAccepted() { ++accepted_; }

 private:
  uint64_t all_ = 0;
  uint64_t accepted_ = 0;
};

}  // namespace hone
