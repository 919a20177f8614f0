// What this machine can do at most, measured: the two numbers that a kernel's speed is compared with (the roofline model,
// https://doi.org/10.1145/1498765.1498785).
#pragma once

#include "kernels/thread_pool.h"

namespace hone::kernels {

struct MachineLimits {
  double flops;         // float32 fused multiply-adds in registers, each counted as two, per second, all threads
  double read_bytes_s;  // bytes per second that all threads read from memory, from 512 MB
};

// Takes about a second and 512 MB of memory, given back.
MachineLimits MeasureMachineLimits(ThreadPool& pool);

}  // namespace hone::kernels
