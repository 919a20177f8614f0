// Included before hwy/foreach_target.h: the instruction sets the kernels are compiled for. On x86-64 AVX-512, AVX2, SSE4 and
// plain code for anything older; scalable vectors are left out because accumulators are kept in arrays.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif

#include "hwy/targets.h"
