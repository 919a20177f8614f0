#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>

#include "kernels/machine_limits.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine_limits_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

// Independent chains: two units of four cycles' latency are busy with 8, and AVX2 has registers for 12.
constexpr int kChains = 12;

// -> floating-point operations done; `sink` keeps the compiler from leaving them out.
double MultiplyAdds(int64_t rounds, float* sink) {
  const Floats d;
  FloatVector sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  const FloatVector factor = hn::Set(d, 0.999f), addend = hn::Set(d, 0.5f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = hn::MulAdd(sum[i], factor, addend);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = hn::Add(sum[0], sum[i]);
  hn::StoreU(sum[0], d, sink);
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

float SumAll(const float* x, int64_t count) {
  return SumLanes(count, [x](auto d, int64_t i, auto sum) HWY_ATTR { return hn::Add(sum, hn::LoadU(d, x + i)); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(SumAll);

namespace {

template <class Work>
double Seconds(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

// The best of several runs each: a limit is what the machine does when nothing disturbs it.
MachineLimits MeasureMachineLimits(ThreadPool& pool) {
  constexpr int kRuns = 5;
  constexpr int64_t kSinkFloats = 16;  // a cache line each
  constexpr int64_t kRounds = 10'000'000, kFloats = int64_t{1} << 27, kPiece = int64_t{1} << 18;
  const int threads = pool.threads();
  MachineLimits limits{0, 0};
  auto sinks = std::make_unique<float[]>(threads * kSinkFloats);
  for (int run = 0; run < kRuns; ++run) {
    double operations = 0;
    const double seconds = Seconds([&] {
      pool.Run(threads, [&](int64_t thread) {
        const double done = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(kRounds, sinks.get() + thread * kSinkFloats);
        if (thread == 0) operations = done * threads;
      });
    });
    limits.flops = std::max(limits.flops, operations / seconds);
  }
  const auto memory = std::make_unique<float[]>(kFloats);
  auto sums = std::make_unique<float[]>(kFloats / kPiece);
  for (int run = 0; run < kRuns; ++run) {
    const double seconds = Seconds([&] {
      pool.Run(kFloats / kPiece,
               [&](int64_t i) { sums[i] = HWY_DYNAMIC_DISPATCH(SumAll)(memory.get() + i * kPiece, kPiece); });
    });
    limits.read_bytes_s = std::max(limits.read_bytes_s, sizeof(float) * static_cast<double>(kFloats) / seconds);
  }
  return limits;
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
