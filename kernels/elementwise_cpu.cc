#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {

// Elements in a task: large enough to pay for handing it over, small enough to share evenly.
constexpr int64_t kTaskElements = 1 << 14;

// Runs body(begin, end) over 0 .. count-1 in pieces of whole vectors.
template <typename Body>
void ParallelRange(ThreadPool& pool, int64_t count, int64_t piece, const Body& body) {
  pool.Run((count + piece - 1) / piece, [&](int64_t task) { body(task * piece, std::min(count, (task + 1) * piece)); });
}

int64_t RowsPerTask(int64_t width) { return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, width)); }

void RmsNormTarget(ThreadPool& pool, const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
                   float* y, float* inverse_rms) {
  ParallelRange(pool, rows, RowsPerTask(width), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = x + row * width;
      const float mean = WideDot(from, from, width) / static_cast<float>(width);
      const float inverse = 1.0f / std::sqrt(mean + epsilon);
      if (inverse_rms != nullptr) inverse_rms[row] = inverse;
      const V scale = hn::Set(D(), inverse);
      ForEachVector(0, width, [&](int64_t i, size_t count) HWY_ATTR {
        const V normal = hn::Mul(LoadFirst(from + i, count), scale);
        StoreFirst(hn::Mul(normal, LoadFirst(weight + i, count)), y + row * width + i, count);
      });
    }
  });
}

// With n = x * inverse: dx = inverse * (w dy - n * mean(w dy n)).
void RmsNormBackwardTarget(ThreadPool& pool, const float* x, const float* weight, const float* inverse_rms, const float* dy,
                           int64_t rows, int64_t width, float* dx, float* dweight) {
  ParallelRange(pool, rows, RowsPerTask(width), [&](int64_t begin, int64_t end) HWY_ATTR {
    std::vector<float> weighted(static_cast<size_t>(width));
    for (int64_t row = begin; row < end; ++row) {
      const float *from = x + row * width, *gradient = dy + row * width;
      ForEachVector(0, width, [&](int64_t i, size_t count) HWY_ATTR {
        StoreFirst(hn::Mul(LoadFirst(weight + i, count), LoadFirst(gradient + i, count)), weighted.data() + i, count);
      });
      const float inverse = inverse_rms[row];
      const float mean = WideDot(weighted.data(), from, width) * inverse / static_cast<float>(width);
      const V scale = hn::Set(D(), inverse), pull = hn::Set(D(), mean * inverse);
      ForEachVector(0, width, [&](int64_t i, size_t count) HWY_ATTR {
        const V centred = hn::NegMulAdd(LoadFirst(from + i, count), pull, LoadFirst(weighted.data() + i, count));
        StoreFirst(hn::Mul(centred, scale), dx + row * width + i, count);
      });
    }
  });
  constexpr int64_t kColumns = 64;
  ParallelRange(pool, width, kColumns, [&](int64_t begin, int64_t end) HWY_ATTR {
    std::fill(dweight + begin, dweight + end, 0.0f);
    for (int64_t row = 0; row < rows; ++row) {
      const V scale = hn::Set(D(), inverse_rms[row]);
      ForEachVector(begin, end, [&](int64_t i, size_t count) HWY_ATTR {
        const V normal = hn::Mul(LoadFirst(x + row * width + i, count), scale);
        const V sum = hn::MulAdd(LoadFirst(dy + row * width + i, count), normal, LoadFirst(dweight + i, count));
        StoreFirst(sum, dweight + i, count);
      });
    }
  });
}

void RopeTarget(ThreadPool& pool, const float* x, const int32_t* positions, const float* cosine, const float* sine,
                int64_t rows, int64_t heads, int64_t head_dim, float sign, float* y) {
  const int64_t half = head_dim / 2;
  ParallelRange(pool, rows, RowsPerTask(heads * head_dim), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      const float *cos = cosine + positions[row] * half, *sin = sine + positions[row] * half;
      for (int64_t head = 0; head < heads; ++head) {
        const float* from = x + (row * heads + head) * head_dim;
        float* to = y + (row * heads + head) * head_dim;
        ForEachVector(0, half, [&](int64_t i, size_t count) HWY_ATTR {
          const V low = LoadFirst(from + i, count), high = LoadFirst(from + half + i, count);
          const V c = LoadFirst(cos + i, count), s = hn::Mul(LoadFirst(sin + i, count), hn::Set(D(), sign));
          StoreFirst(hn::Sub(hn::Mul(low, c), hn::Mul(high, s)), to + i, count);
          StoreFirst(hn::Add(hn::Mul(high, c), hn::Mul(low, s)), to + half + i, count);
        });
      }
    }
  });
}

HWY_INLINE V Sigmoid(V x) {
  const V one = hn::Set(D(), 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(D(), hn::Neg(x))));
}

void SwiGluTarget(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y) {
  ParallelRange(pool, count, kTaskElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    ForEachVector(begin, end, [&](int64_t i, size_t lanes) HWY_ATTR {
      const V g = LoadFirst(gate + i, lanes);
      StoreFirst(hn::Mul(hn::Mul(g, Sigmoid(g)), LoadFirst(up + i, lanes)), y + i, lanes);
    });
  });
}

// With s = sigmoid(g): d silu / d g = s * (1 + g * (1 - s)).
void SwiGluBackwardTarget(ThreadPool& pool, const float* gate, const float* up, const float* dy, int64_t count, float* dgate,
                          float* dup) {
  ParallelRange(pool, count, kTaskElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    const V one = hn::Set(D(), 1.0f);
    ForEachVector(begin, end, [&](int64_t i, size_t lanes) HWY_ATTR {
      const V g = LoadFirst(gate + i, lanes), u = LoadFirst(up + i, lanes), gradient = LoadFirst(dy + i, lanes);
      const V s = Sigmoid(g);
      const V slope = hn::Mul(s, hn::MulAdd(g, hn::Sub(one, s), one));
      StoreFirst(hn::Mul(gradient, hn::Mul(g, s)), dup + i, lanes);
      StoreFirst(hn::Mul(gradient, hn::Mul(u, slope)), dgate + i, lanes);
    });
  });
}

void AddTarget(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y) {
  ParallelRange(pool, count, kTaskElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    ForEachVector(begin, end, [&](int64_t i, size_t lanes) HWY_ATTR {
      StoreFirst(hn::Add(LoadFirst(a + i, lanes), LoadFirst(b + i, lanes)), y + i, lanes);
    });
  });
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(RmsNormTarget);
HWY_EXPORT(RmsNormBackwardTarget);
HWY_EXPORT(RopeTarget);
HWY_EXPORT(SwiGluTarget);
HWY_EXPORT(SwiGluBackwardTarget);
HWY_EXPORT(AddTarget);

void RmsNorm(ThreadPool& pool, const float* x, const float* weight, int64_t rows, int64_t width, float epsilon, float* y,
             float* inverse_rms) {
  HWY_DYNAMIC_DISPATCH(RmsNormTarget)(pool, x, weight, rows, width, epsilon, y, inverse_rms);
}

void RmsNormBackward(ThreadPool& pool, const float* x, const float* weight, const float* inverse_rms, const float* dy,
                     int64_t rows, int64_t width, float* dx, float* dweight) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardTarget)(pool, x, weight, inverse_rms, dy, rows, width, dx, dweight);
}

void Rope(ThreadPool& pool, const float* x, const int32_t* positions, const float* cosine, const float* sine, int64_t rows,
          int64_t heads, int64_t head_dim, RopeDirection direction, float* y) {
  const float sign = direction == RopeDirection::kForward ? 1.0f : -1.0f;
  HWY_DYNAMIC_DISPATCH(RopeTarget)(pool, x, positions, cosine, sine, rows, heads, head_dim, sign, y);
}

void SwiGlu(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluTarget)(pool, gate, up, count, y);
}

void SwiGluBackward(ThreadPool& pool, const float* gate, const float* up, const float* dy, int64_t count, float* dgate,
                    float* dup) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackwardTarget)(pool, gate, up, dy, count, dgate, dup);
}

void Add(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y) {
  HWY_DYNAMIC_DISPATCH(AddTarget)(pool, a, b, count, y);
}

void EmbeddingPacked(ThreadPool& pool, const float* packed, const int32_t* tokens, int64_t rows, int64_t width, float* y) {
  constexpr int64_t kRows = 64;
  pool.Run((rows + kRows - 1) / kRows, [&](int64_t task) {
    for (int64_t row = task * kRows; row < std::min(rows, (task + 1) * kRows); ++row) {
      const float* from = packed + tokens[row] / kPanel * width * kPanel + tokens[row] % kPanel;
      for (int64_t i = 0; i < width; ++i) y[row * width + i] = from[i * kPanel];
    }
  });
}

void EmbeddingPackedBackwardAccumulate(ThreadPool& pool, const float* dy, const int32_t* tokens, int64_t rows, int64_t width,
                                       float* dpacked) {
  constexpr int64_t kColumns = 32;
  pool.Run((width + kColumns - 1) / kColumns, [&](int64_t task) {
    const int64_t begin = task * kColumns, end = std::min(width, begin + kColumns);
    for (int64_t row = 0; row < rows; ++row) {
      float* to = dpacked + tokens[row] / kPanel * width * kPanel + tokens[row] % kPanel;
      for (int64_t i = begin; i < end; ++i) to[i * kPanel] += dy[row * width + i];
    }
  });
}

double SumOfSquares(ThreadPool& pool, const float* x, int64_t count) {
  constexpr int64_t kBlock = 1 << 14;
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<size_t>(blocks));
  pool.Run(blocks, [&](int64_t block) {
    double sum = 0;
    for (int64_t i = block * kBlock; i < std::min(count, (block + 1) * kBlock); ++i) sum += double{x[i]} * double{x[i]};
    sums[static_cast<size_t>(block)] = sum;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
