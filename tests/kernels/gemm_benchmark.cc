// Speed of Gemm and its relatives on AVX-512 and AVX2, with 1 and 2 threads, in GFLOP/s. Not a test:
//   apt-get install libbenchmark-dev && cmake --preset release && cmake --build build --target gemm_benchmark
//   build/tests/gemm_benchmark --benchmark_filter='forward/AVX3/threads:1/' --benchmark_min_time=0.2
// forward: y = x W^T. gradient: dW = dy^T x into the packed layout, with the packing of dy. The limit is one core's peak
// (two fused multiply-adds of 8 floats a cycle on Zen 4: about 116 GFLOP/s at 3.6 GHz) times the threads.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/instruction_set.h"

namespace hone::kernels {
namespace {

std::vector<float> Noise(int64_t count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> x(count);
  for (float& value : x) value = uniform(random);
  return x;
}

struct Setting {
  std::string set;
  int threads;
  int64_t k, n;
};

void Report(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void Forward(benchmark::State& state, Setting s) {
  UseInstructionSet(s.set);
  ThreadPool pool(s.threads);
  const int64_t m = state.range(0);
  const std::vector<float> x = Noise(m * s.k), w = Noise(PackedSize(s.n, s.k));
  std::vector<float> y(m * s.n);
  for (auto _ : state) {
    Gemm(pool, {x.data(), s.k, 1}, m, s.k, w.data(), s.n, {y.data(), s.n, kPanel}, Accumulate::kNo);
    benchmark::DoNotOptimize(y.data());
  }
  Report(state, 2.0 * m * s.k * s.n);
  UseInstructionSet("");
}

void Gradient(benchmark::State& state, Setting s) {
  UseInstructionSet(s.set);
  ThreadPool pool(s.threads);
  const int64_t m = state.range(0);
  const std::vector<float> x = Noise(m * s.k), dy = Noise(m * s.n);
  std::vector<float> panels(PackedSize(s.n, m)), dw(PackedSize(s.n, s.k));
  for (auto _ : state) {
    Pack(pool, {dy.data(), 1, s.n}, s.n, m, panels.data());
    Gemm(pool, {x.data(), 1, s.k}, s.k, m, panels.data(), s.n, {dw.data(), kPanel, s.k * kPanel}, Accumulate::kYes);
    benchmark::DoNotOptimize(dw.data());
  }
  Report(state, 2.0 * m * s.k * s.n);
  UseInstructionSet("");
}

void Register() {
  for (const auto& [name, fused] : InstructionSets()) {
    if (!fused) continue;
    for (const int threads : {1, 2}) {
      for (const auto& [k, n] : {std::pair<int64_t, int64_t>{96, 96}, {128, 384}, {576, 1536}}) {
        const std::string suffix =
            "/" + name + "/threads:" + std::to_string(threads) + "/" + std::to_string(k) + "x" + std::to_string(n);
        const Setting setting{name, threads, k, n};
        auto* forward = benchmark::RegisterBenchmark(("forward" + suffix).c_str(),
                                                     [setting](benchmark::State& state) { Forward(state, setting); });
        for (const int64_t m : {1, 4, 16, 64, 256, 1024, 8192}) forward->Arg(m);
        forward->UseRealTime();
        auto* gradient = benchmark::RegisterBenchmark(("gradient" + suffix).c_str(),
                                                      [setting](benchmark::State& state) { Gradient(state, setting); });
        for (const int64_t m : {256, 1024, 8192}) gradient->Arg(m);
        gradient->UseRealTime();
      }
    }
  }
}

}  // namespace
}  // namespace hone::kernels

int main(int argc, char** argv) {
  hone::kernels::Register();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
