// Gemm beside the product that LibTorch offers (MKL), in one run, on the weight shapes of SmolLM2-135M and M = 1..1024 rows. Not a test:
//   apt-get install libbenchmark-dev && cmake --preset release && cmake --build build --target gemm_mkl_benchmark
//   build/tests/gemm_mkl_benchmark [THREADS, default 2]
// Prints the milliseconds of both and LibTorch's time over ours, 1 or more where Gemm is at least equal; last, the smallest ratio. Exit
// status 1 if that is below 1. Both get weights as they are stored for them: LibTorch's [N, K] row-major, ours packed.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include "engine/base/tensor.h"
#include "kernels/gemm.h"

namespace hone::kernels {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kShapes[][2] = {{576, 576}, {192, 576}, {1536, 576}, {576, 1536}, {49152, 576}};  // N, K
constexpr int64_t kRows[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};
constexpr int kRounds = 12;
constexpr double kRoundS = 0.004;

double Seconds(const std::function<void()>& work, int repeats) {
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < repeats; ++i) work();
  return std::chrono::duration<double>(Clock::now() - start).count() / repeats;
}

// As many calls as fill kRoundS, found after one call that warms up.
int Repeats(const std::function<void()>& work) {
  work();
  return std::clamp(static_cast<int>(kRoundS / Seconds(work, 1)), 1, 2000);
}

// Idle threads of an OpenMP region spin for some milliseconds before they sleep: a pause keeps them out of the other's time.
void LetOthersSleep() { std::this_thread::sleep_for(std::chrono::milliseconds(8)); }

struct Times {
  double ours_s, theirs_s;
};

// The best of rounds in which the two take turns: a disturbance makes a round slower, never faster.
Times Compare(const std::function<void()>& ours, const std::function<void()>& theirs) {
  const int our_repeats = Repeats(ours), their_repeats = Repeats(theirs);
  Times best{INFINITY, INFINITY};
  for (int round = 0; round < kRounds; ++round) {
    LetOthersSleep();
    Seconds(ours, 1);
    best.ours_s = std::min(best.ours_s, Seconds(ours, our_repeats));
    LetOthersSleep();
    Seconds(theirs, 1);
    best.theirs_s = std::min(best.theirs_s, Seconds(theirs, their_repeats));
  }
  return best;
}

// Largest difference of the two results, so that no one measures something else than the product.
double Difference(const at::Tensor& ours, const at::Tensor& theirs) {
  const float *a = ours.const_data_ptr<float>(), *b = theirs.const_data_ptr<float>();
  double largest = 0;
  for (int64_t i = 0; i < ours.numel(); ++i) largest = std::max<double>(largest, std::abs(a[i] - b[i]));
  return largest;
}

int Main(int threads) {
  at::set_num_threads(threads);
  ThreadPool pool(threads);
  double smallest = INFINITY;
  std::printf("%6s %6s %6s %10s %10s %7s %9s\n", "N", "K", "M", "Gemm ms", "MKL ms", "ratio", "GFLOP/s");
  for (const auto& [n, k] : kShapes) {
    const at::Tensor weight = at::rand({n, k});
    at::Tensor packed = at::empty({PackedSize(n, k)});  // aligned, as the engine's weights are
    Pack(pool, {weight.const_data_ptr<float>(), k, 1}, n, k, packed.mutable_data_ptr<float>());
    for (const int64_t m : kRows) {
      const at::Tensor x = at::rand({m, k});
      at::Tensor y = at::empty({m, n});
      at::Tensor their_y = at::rand({m, n});
      const auto ours = [&] {
        Gemm(pool, {x.const_data_ptr<float>(), k, 1}, m, k, packed.const_data_ptr<float>(), n,
             {y.mutable_data_ptr<float>(), n, kPanel}, Accumulate::kNo);
      };
      const auto theirs = [&] { at::linear_out(their_y, x, weight); };
      const Times times = Compare(ours, theirs);
      const double ratio = times.theirs_s / times.ours_s;
      smallest = std::min(smallest, ratio);
      std::printf("%6ld %6ld %6ld %10.4f %10.4f %7.2f %9.1f\n", n, k, m, times.ours_s * 1e3, times.theirs_s * 1e3,
                  ratio, 2e-9 * m * n * k / times.ours_s);
      std::fflush(stdout);
      if (Difference(y, their_y) > 1e-5 * k) {
        std::printf("the results differ by %g\n", Difference(y, their_y));
        return 1;
      }
    }
  }
  std::printf("smallest ratio %.2f\n", smallest);
  return smallest < 1;
}

}  // namespace
}  // namespace hone::kernels

int main(int argc, char** argv) { return hone::kernels::Main(argc > 1 ? std::atoi(argv[1]) : 2); }
