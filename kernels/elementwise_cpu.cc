#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

// Elements in a task: some microseconds of work, more than it costs to hand over.
constexpr int64_t kTaskElements = 1 << 13;

// Runs body(begin, end) over 0 .. count-1 in pieces of `piece`.
template <typename Body>
void ForPieces(ThreadPool& pool, int64_t count, int64_t piece, const Body& body) {
  pool.Run((count + piece - 1) / piece, [&](int64_t task) { body(task * piece, std::min(count, (task + 1) * piece)); });
}

int64_t RowsPerTask(int64_t width) { return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, width)); }

void RmsNormTarget(ThreadPool& pool, const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
                   float* y, float* inverse_rms) {
  ForPieces(pool, rows, RowsPerTask(width), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = x + row * width;
      float* to = y + row * width;
      const float squares = SumLanes(width, [from](auto d, int64_t i, auto sum) HWY_ATTR {
        const auto value = hn::LoadU(d, from + i);
        return hn::MulAdd(value, value, sum);
      });
      const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
      if (inverse_rms != nullptr) inverse_rms[row] = inverse;
      ForEach(width, [=](auto d, int64_t i) HWY_ATTR {
        const auto normal = hn::Mul(hn::LoadU(d, from + i), hn::Set(d, inverse));
        hn::StoreU(hn::Mul(normal, hn::LoadU(d, weight + i)), d, to + i);
      });
    }
  });
}

// With n = x * inverse: dx = inverse * (w dy - n * mean(w dy n)), and this row's share of dweight, n dy, is added.
void RmsNormBackwardRow(const float* x, const float* weight, const float* dy, int64_t width, float inverse, float* dx,
                        float* dweight) {
  const float product = SumLanes(width, [=](auto d, int64_t i, auto sum) HWY_ATTR {
    return hn::MulAdd(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)), hn::LoadU(d, x + i), sum);
  });
  const float pull = product * inverse * inverse / static_cast<float>(width);
  ForEach(width, [=](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, x + i), gradient = hn::LoadU(d, dy + i);
    const auto scale = hn::Set(d, inverse);
    hn::StoreU(hn::MulAdd(gradient, hn::Mul(value, scale), hn::LoadU(d, dweight + i)), d, dweight + i);
    const auto weighted = hn::Mul(gradient, hn::LoadU(d, weight + i));
    hn::StoreU(hn::Mul(hn::NegMulAdd(value, hn::Set(d, pull), weighted), scale), d, dx + i);
  });
}

void RmsNormBackwardTarget(ThreadPool& pool, const float* x, const float* weight, const float* inverse_rms,
                           const float* dy, int64_t rows, int64_t width, float* dx, float* dweight) {
  constexpr int64_t kBlockRows =
      64;  // dweight is summed over blocks of rows, then over the blocks: any threads, one order
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  std::vector<float> sums(blocks * width, 0.0f);
  ForPieces(pool, rows, kBlockRows, [&](int64_t begin, int64_t end) HWY_ATTR {
    float* sum = sums.data() + begin / kBlockRows * width;
    for (int64_t row = begin; row < end; ++row) {
      RmsNormBackwardRow(x + row * width, weight, dy + row * width, width, inverse_rms[row], dx + row * width, sum);
    }
  });
  std::fill(dweight, dweight + width, 0.0f);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t i = 0; i < width; ++i) dweight[i] += sums[block * width + i];
  }
}

void RopeTarget(ThreadPool& pool, const float* x, const float* cosine, const float* sine, int64_t rows, int64_t heads,
                int64_t head_dim, float sign, float* y) {
  const int64_t half = head_dim / 2;
  ForPieces(pool, rows, RowsPerTask(heads * head_dim), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const float* from = x + i * head_dim;
      float* to = y + i * head_dim;
      const float* cos = cosine + i / heads * half;
      const float* sin = sine + i / heads * half;
      ForEach(half, [=](auto d, int64_t j) HWY_ATTR {
        const auto low = hn::LoadU(d, from + j), high = hn::LoadU(d, from + half + j);
        const auto c = hn::LoadU(d, cos + j), s = hn::Mul(hn::LoadU(d, sin + j), hn::Set(d, sign));
        hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, to + j);
        hn::StoreU(hn::MulAdd(low, s, hn::Mul(high, c)), d, to + half + j);
      });
    }
  });
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

void SwiGluTarget(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y) {
  ForPieces(pool, count, kTaskElements / 2, [&](int64_t begin, int64_t end) HWY_ATTR {
    ForEach(end - begin, [=](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, gate + begin + i);
      hn::StoreU(hn::Mul(hn::Mul(g, Sigmoid(d, g)), hn::LoadU(d, up + begin + i)), d, y + begin + i);
    });
  });
}

// With s = sigmoid(g): d silu / d g = s (1 + g (1 - s)).
void SwiGluBackwardTarget(ThreadPool& pool, const float* gate, const float* up, const float* dy, int64_t count,
                          float* dgate, float* dup) {
  ForPieces(pool, count, kTaskElements / 2, [&](int64_t begin, int64_t end) HWY_ATTR {
    ForEach(end - begin, [=](auto d, int64_t offset) HWY_ATTR {
      const int64_t i = begin + offset;
      const auto g = hn::LoadU(d, gate + i), u = hn::LoadU(d, up + i), gradient = hn::LoadU(d, dy + i);
      const auto one = hn::Set(d, 1.0f), s = Sigmoid(d, g);
      const auto slope = hn::Mul(s, hn::MulAdd(g, hn::Sub(one, s), one));
      hn::StoreU(hn::Mul(gradient, hn::Mul(g, s)), d, dup + i);
      hn::StoreU(hn::Mul(gradient, hn::Mul(u, slope)), d, dgate + i);
    });
  });
}

void AddTarget(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y) {
  ForPieces(pool, count, 2 * kTaskElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    ForEach(end - begin, [=](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, a + begin + i), hn::LoadU(d, b + begin + i)), d, y + begin + i);
    });
  });
}

void AddBiasTarget(ThreadPool& pool, const float* x, const float* bias, int64_t rows, int64_t width, float* y) {
  ForPieces(pool, rows, 2 * RowsPerTask(width), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = x + row * width;
      float* to = y + row * width;
      ForEach(width, [=](auto d, int64_t i)
                         HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, from + i), hn::LoadU(d, bias + i)), d, to + i); });
    }
  });
}

// Tasks own columns, so each sum is one chain.
void AddBiasBackwardTarget(ThreadPool& pool, const float* dy, int64_t rows, int64_t width, float* dbias) {
  constexpr int64_t kTaskColumns = 64;
  ForPieces(pool, width, kTaskColumns, [&](int64_t begin, int64_t end) HWY_ATTR {
    std::fill(dbias + begin, dbias + end, 0.0f);
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = dy + row * width;
      ForEach(end - begin, [=](auto d, int64_t i) HWY_ATTR {
        hn::StoreU(hn::Add(hn::LoadU(d, dbias + begin + i), hn::LoadU(d, from + begin + i)), d, dbias + begin + i);
      });
    }
  });
}

// Sum of squares of count floats over 16 lanes of doubles: a float's square is exact in double.
double BlockSquares(const float* x, int64_t count) {
  const hn::CappedTag<double, kVirtualLanes> d;
  const hn::Rebind<float, decltype(d)> df;
  constexpr int64_t kDoubles = hn::MaxLanes(d), kVectors = kVirtualLanes / kDoubles;
  hn::Vec<decltype(d)> sum[kVectors];
  for (auto& vector : sum) vector = hn::Zero(d);
  int64_t i = 0;
  for (; i + kVirtualLanes <= count; i += kVirtualLanes) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const auto value = hn::PromoteTo(d, hn::LoadU(df, x + i + v * kDoubles));
      sum[v] = hn::MulAdd(value, value, sum[v]);
    }
  }
  alignas(64) double lanes[kVirtualLanes];
  for (int64_t v = 0; v < kVectors; ++v) hn::Store(sum[v], d, lanes + v * kDoubles);
  for (; i < count; ++i) lanes[i % kVirtualLanes] += static_cast<double>(x[i]) * x[i];
  return FoldSum(lanes);
}

double SumOfSquaresTarget(ThreadPool& pool, const float* x, int64_t count) {
  constexpr int64_t kBlock = 1 << 14;
  std::vector<double> sums((count + kBlock - 1) / kBlock);
  ForPieces(pool, count, kBlock,
            [&](int64_t begin, int64_t end) HWY_ATTR { sums[begin / kBlock] = BlockSquares(x + begin, end - begin); });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// One token's gradient rows, ascending, added to its row of the table: columns begin .. end-1.
void AddTokenRows(const float* dy, const int32_t* rows, int64_t count, int64_t width, int64_t begin, int64_t end,
                  float* to) {
  alignas(64) float sum[kVirtualLanes];
  for (int64_t i = begin; i < end; ++i) sum[i - begin] = to[i * kPanel];
  for (int64_t r = 0; r < count; ++r) {
    const float* from = dy + rows[r] * width + begin;
    ForEach(end - begin, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, from + i)), d, sum + i);
    });
  }
  for (int64_t i = begin; i < end; ++i) to[i * kPanel] = sum[i - begin];
}

void EmbeddingBackwardTarget(ThreadPool& pool, const float* dy, const int32_t* tokens, int64_t rows, int64_t width,
                             float* dpacked) {
  if (rows == 0) return;
  // Rows sorted by token, each token's in ascending order: a column of the table is then read and written once.
  std::vector<int32_t> first(*std::max_element(tokens, tokens + rows) + 2, 0);
  for (int64_t r = 0; r < rows; ++r) ++first[tokens[r] + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<int32_t> next(first.begin(), first.end() - 1), order(rows);
  for (int64_t r = 0; r < rows; ++r) order[next[tokens[r]]++] = static_cast<int32_t>(r);
  ForPieces(pool, width, kVirtualLanes, [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t i = 0; i < rows;) {
      const int64_t token = tokens[order[i]], count = first[token + 1] - first[token];
      float* to = dpacked + token / kPanel * width * kPanel + token % kPanel;
      AddTokenRows(dy, order.data() + i, count, width, begin, end, to);
      i += count;
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(RmsNormTarget);
HWY_EXPORT(RmsNormBackwardTarget);
HWY_EXPORT(RopeTarget);
HWY_EXPORT(SwiGluTarget);
HWY_EXPORT(SwiGluBackwardTarget);
HWY_EXPORT(AddTarget);
HWY_EXPORT(AddBiasTarget);
HWY_EXPORT(AddBiasBackwardTarget);
HWY_EXPORT(SumOfSquaresTarget);
HWY_EXPORT(EmbeddingBackwardTarget);

void RmsNorm(ThreadPool& pool, const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
             float* y, float* inverse_rms) {
  HWY_DYNAMIC_DISPATCH(RmsNormTarget)(pool, x, weight, rows, width, epsilon, y, inverse_rms);
}

void RmsNormBackward(ThreadPool& pool, const float* x, const float* weight, const float* inverse_rms, const float* dy,
                     int64_t rows, int64_t width, float* dx, float* dweight) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardTarget)(pool, x, weight, inverse_rms, dy, rows, width, dx, dweight);
}

void Rope(ThreadPool& pool, const float* x, const float* cosine, const float* sine, int64_t rows, int64_t heads,
          int64_t head_dim, RopeDirection direction, float* y) {
  const float sign = direction == RopeDirection::kForward ? 1.0f : -1.0f;
  HWY_DYNAMIC_DISPATCH(RopeTarget)(pool, x, cosine, sine, rows, heads, head_dim, sign, y);
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

void AddBias(ThreadPool& pool, const float* x, const float* bias, int64_t rows, int64_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(AddBiasTarget)(pool, x, bias, rows, width, y);
}

void AddBiasBackward(ThreadPool& pool, const float* dy, int64_t rows, int64_t width, float* dbias) {
  HWY_DYNAMIC_DISPATCH(AddBiasBackwardTarget)(pool, dy, rows, width, dbias);
}

double SumOfSquares(ThreadPool& pool, const float* x, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquaresTarget)(pool, x, count);
}

void EmbeddingPacked(ThreadPool& pool, PackedWeight table, const int32_t* tokens, int64_t rows, int64_t width,
                     float* y) {
  constexpr int64_t kTaskRows = 64;
  const auto* floats = static_cast<const float*>(table.data);
  const auto* halves = static_cast<const uint16_t*>(table.data);
  pool.Run((rows + kTaskRows - 1) / kTaskRows, [&](int64_t task) {
    for (int64_t row = task * kTaskRows; row < std::min(rows, (task + 1) * kTaskRows); ++row) {
      const int64_t first = tokens[row] / kPanel * width * kPanel + tokens[row] % kPanel;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t at = first + i * kPanel;
        y[row * width + i] =
            table.type == WeightType::kFloat32 ? floats[at] : std::bit_cast<float>(uint32_t{halves[at]} << 16);
      }
    }
  });
}

void EmbeddingPackedBackwardAccumulate(ThreadPool& pool, const float* dy, const int32_t* tokens, int64_t rows,
                                       int64_t width, float* dpacked) {
  HWY_DYNAMIC_DISPATCH(EmbeddingBackwardTarget)(pool, dy, tokens, rows, width, dpacked);
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
