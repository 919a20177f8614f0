// One microkernel: kRows rows times half a panel or a whole one, all accumulators in registers, a broadcast of A and two
// vectors of B per step of k. 12 x 2 vectors fill AVX-512's registers, 6 x 2 AVX2's.
#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

constexpr int64_t kMaxRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
// k is cut so that a panel's piece stays in the first-level cache; the chain of additions goes on through memory.
constexpr int64_t kDepth = 192;

struct Tile {
  const float* a;
  int64_t row_stride, column_stride;
  const float* b;  // panel at the first k, kPanel floats per k
  int64_t depth;
  float* c;
  int64_t c_stride;
};

// c[kRows, 2 vectors] (+)= a * b. `columns` < 2 vectors stores only the first ones.
template <int kRows>
HWY_ATTR void Microkernel(const Tile& tile, bool load, size_t columns) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V sum0[kRows], sum1[kRows];
  const bool whole = columns >= 2 * lanes;
  const size_t count0 = std::min(columns, lanes), count1 = columns > lanes ? std::min(columns - lanes, lanes) : 0;
  const auto mask0 = hn::FirstN(d, count0), mask1 = hn::FirstN(d, count1);
  for (int row = 0; row < kRows; ++row) {
    const float* c = tile.c + row * tile.c_stride;
    if (!load) {
      sum0[row] = hn::Zero(d);
      sum1[row] = hn::Zero(d);
    } else if (whole) {
      sum0[row] = hn::LoadU(d, c);
      sum1[row] = hn::LoadU(d, c + lanes);
    } else {
      sum0[row] = hn::MaskedLoad(mask0, d, c);
      sum1[row] = hn::MaskedLoad(mask1, d, c + lanes);
    }
  }
  const float* a = tile.a;
  const float* b = tile.b;
  for (int64_t k = 0; k < tile.depth; ++k, a += tile.column_stride, b += kPanel) {
    const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    HWY_UNROLL(12)
    for (int row = 0; row < kRows; ++row) {
      const V value = hn::Set(d, a[row * tile.row_stride]);
      sum0[row] = hn::MulAdd(value, b0, sum0[row]);
      sum1[row] = hn::MulAdd(value, b1, sum1[row]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    float* c = tile.c + row * tile.c_stride;
    if (whole) {
      hn::StoreU(sum0[row], d, c);
      hn::StoreU(sum1[row], d, c + lanes);
    } else {
      hn::BlendedStore(sum0[row], mask0, d, c);
      if (count1 > 0) hn::BlendedStore(sum1[row], mask1, d, c + lanes);
    }
  }
}

using MicrokernelFunction = void (*)(const Tile&, bool, size_t);

constexpr MicrokernelFunction kMicrokernels[] = {
    nullptr,         Microkernel<1>, Microkernel<2>, Microkernel<3>, Microkernel<4>,  Microkernel<5>, Microkernel<6>,
#if HWY_TARGET <= HWY_AVX3
    Microkernel<7>,  Microkernel<8>, Microkernel<9>, Microkernel<10>, Microkernel<11>, Microkernel<12>,
#endif
};

struct Product {
  MatrixView a;
  int64_t m, k;
  const float* packed;
  int64_t n;
  PanelOutput c;
  bool accumulate;
};

// Rows m_begin .. m_end of one panel.
HWY_ATTR void PanelRows(const Product& p, int64_t panel, int64_t m_begin, int64_t m_end) {
  const auto width = static_cast<int64_t>(2 * hn::Lanes(D()));
  const int64_t panel_columns = std::min(kPanel, p.n - panel * kPanel);
  for (int64_t k = 0; k == 0 || k < p.k; k += kDepth) {
    const int64_t depth = std::min(kDepth, p.k - k);
    for (int64_t column = 0; column < panel_columns; column += width) {
      const float* b = p.packed + panel * p.k * kPanel + k * kPanel + column;
      for (int64_t m = m_begin; m < m_end;) {
        const int64_t rows = std::min(kMaxRows, m_end - m);
        const Tile tile{p.a.data + m * p.a.row_stride + k * p.a.column_stride, p.a.row_stride, p.a.column_stride, b, depth,
                        p.c.data + panel * p.c.panel_stride + m * p.c.row_stride + column, p.c.row_stride};
        kMicrokernels[rows](tile, p.accumulate || k > 0, static_cast<size_t>(panel_columns - column));
        m += rows;
      }
    }
  }
}

void GemmTarget(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, const float* packed, int64_t n, PanelOutput c,
                bool accumulate) {
  const Product p{a, m, k, packed, n, c, accumulate};
  const int64_t panels = (p.n + kPanel - 1) / kPanel;
  // Row blocks keep A's piece in the second-level cache and give the threads enough tasks to share evenly.
  constexpr int64_t kBlockRows = 240;  // a multiple of 12 and 6
  const int64_t blocks = std::max<int64_t>(1, (p.m + kBlockRows - 1) / kBlockRows);
  // Small products are not worth waking a thread: about 20 microseconds of work.
  constexpr double kSerialFlops = 1e6;
  const auto task = [&](int64_t index) HWY_ATTR {
    const int64_t block = index / panels, panel = index % panels;
    PanelRows(p, panel, block * kBlockRows, std::min(p.m, (block + 1) * kBlockRows));
  };
  if (2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) < kSerialFlops) {
    for (int64_t index = 0; index < blocks * panels; ++index) task(index);
  } else {
    pool.Run(blocks * panels, task);
  }
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(GemmTarget);

void Gemm(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, const float* packed, int64_t n, PanelOutput c,
          Accumulate accumulate) {
  if (m == 0 || n == 0) return;
  HWY_DYNAMIC_DISPATCH(GemmTarget)(pool, a, m, k, packed, n, c, accumulate == Accumulate::kYes);
}

void Pack(ThreadPool& pool, MatrixView w, int64_t n, int64_t k, float* packed) {
  const int64_t panels = (n + kPanel - 1) / kPanel;
  constexpr int64_t kBlock = 64;  // values of k in a task
  const int64_t blocks = (k + kBlock - 1) / kBlock;
  pool.Run(panels * blocks, [&](int64_t index) {
    const int64_t panel = index / blocks, k_begin = index % blocks * kBlock, k_end = std::min(k, k_begin + kBlock);
    const int64_t columns = std::min(kPanel, n - panel * kPanel);
    const float* from = w.data + panel * kPanel * w.row_stride;
    float* to = packed + panel * k * kPanel;
    for (int64_t i = k_begin; i < k_end; ++i) {
      float* line = to + i * kPanel;
      const float* source = from + i * w.column_stride;
      if (w.row_stride == 1) {
        std::memcpy(line, source, static_cast<size_t>(columns) * sizeof(float));
      } else {
        for (int64_t column = 0; column < columns; ++column) line[column] = source[column * w.row_stride];
      }
      std::fill(line + columns, line + kPanel, 0.0f);
    }
  });
}

void Unpack(const float* packed, int64_t n, int64_t k, float* w) {
  for (int64_t row = 0; row < n; ++row) {
    const float* from = packed + row / kPanel * k * kPanel + row % kPanel;
    for (int64_t i = 0; i < k; ++i) w[row * k + i] = from[i * kPanel];
  }
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
