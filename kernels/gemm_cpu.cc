// Every task multiplies a strip of rows of A with a few panels of W: strips and pieces of k are sized for the second-level
// cache, and a panel's piece is read once per block of 12 (AVX-512) or 6 (AVX2) rows, whose sums stay in registers.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/microkernel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

// Depth of a piece of k: a panel's piece is then 32 KiB. The chain of additions goes on through C.
constexpr int64_t kDepth = 256;
// Rows of A a task works on: a multiple of 12 and 6; a piece of them is 120 KiB.
constexpr int64_t kStripRows = 120;

struct GemmCall {
  MatrixView a;
  int64_t m, k;
  const float* packed;
  int64_t n;
  PanelOutput c;
  bool accumulate;
};

struct Range {
  int64_t begin, end;
};

// One block of rows times one panel of `columns` columns; product.c is the panel's first column.
void BlockTimesPanel(const Product& product, int64_t rows, int64_t columns) {
  Product part = product;
  alignas(64) float whole[kMaxRows * kPanel];
  if (columns < kPanel) {  // the microkernel writes whole vectors, and what lies past the last column is someone else's
    for (int64_t r = 0; product.accumulate && r < rows; ++r) {
      std::memcpy(whole + r * kPanel, product.c + r * product.c_row, columns * sizeof(float));
    }
    part.c = whole;
    part.c_row = kPanel;
  }
  // A narrow vector needs the whole panel in flight to hide the latency of few rows.
  constexpr int kNarrow = kLanes == 8 ? 4 : 2;
  if (kLanes == 8 && rows <= 3) {
    RunBlock<kNarrow, Width::kWhole>(rows, part, 0);
  } else {
    for (int64_t column = 0; column < columns; column += 2 * kLanes) {
      RunBlock<2, Width::kWhole>(rows, part, 0);
      part.b += 2 * kLanes;
      part.c += 2 * kLanes;
    }
  }
  for (int64_t r = 0; columns < kPanel && r < rows; ++r) {
    std::memcpy(product.c + r * product.c_row, whole + r * kPanel, columns * sizeof(float));
  }
}

// Fewer calls than memcpy makes for a handful of floats.
HWY_INLINE void CopyFew(const float* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  const hn::CappedTag<float, 4> four;
  constexpr int64_t kStep = hn::MaxLanes(four);
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) hn::StoreU(hn::LoadU(four, from + i), four, to + i);
  for (; i < count; ++i) to[i] = from[i];
}

// a's rows first .. first + rows - 1, columns k .. k + depth - 1 -> blocks of rows, each [depth, rows of the block].
void CopyStrip(const MatrixView& a, int64_t first, int64_t rows, int64_t k, int64_t depth, float* HWY_RESTRICT strip) {
  ForEachRowBlock(rows, [&](int64_t block, int64_t count) {
    float* to = strip + block * depth;
    for (int64_t i = 0; i < depth; ++i) {
      const float* from = a.data + (first + block) * a.row_stride + (k + i) * a.column_stride;
      if (a.row_stride == 1) {
        CopyFew(from, count, to + i * count);
      } else {
        for (int64_t r = 0; r < count; ++r) to[i * count + r] = from[r * a.row_stride];
      }
    }
  });
}

void StripTimesPanels(const GemmCall& call, Range rows, Range panels) {
  const int64_t row_count = rows.end - rows.begin;
  // Columns of A that are far apart cost a cache line each, once per panel: copied together first.
  const bool copy = call.a.column_stride != 1 && panels.end - panels.begin > 1;
  std::vector<float> strip(copy ? row_count * std::min(kDepth, call.k) : 0);
  for (int64_t k = 0; k == 0 || k < call.k; k += kDepth) {
    const int64_t depth = std::min(kDepth, call.k - k);
    if (copy) CopyStrip(call.a, rows.begin, row_count, k, depth, strip.data());
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      Product product;
      product.k = depth;
      product.b = call.packed + (panel * call.k + k) * kPanel;
      product.b_row = kPanel;
      product.c_row = call.c.row_stride;
      product.accumulate = call.accumulate || k > 0;
      float* c = call.c.data + panel * call.c.panel_stride + rows.begin * call.c.row_stride;
      ForEachRowBlock(row_count, [&](int64_t first, int64_t count) {
        const MatrixView& a = call.a;
        product.a =
            copy ? strip.data() + first * depth : a.data + (rows.begin + first) * a.row_stride + k * a.column_stride;
        product.a_row = copy ? 1 : a.row_stride;
        product.a_column = copy ? count : a.column_stride;
        product.c = c + first * call.c.row_stride;
        BlockTimesPanel(product, count, std::min(kPanel, call.n - panel * kPanel));
      });
    }
  }
}

void GemmTarget(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, const float* packed, int64_t n, PanelOutput c,
                bool accumulate) {
  const GemmCall call{a, m, k, packed, n, c, accumulate};
  const int64_t panels = (call.n + kPanel - 1) / kPanel;
  const int64_t strips = (call.m + kStripRows - 1) / kStripRows;
  // A task should take some microseconds, more than it costs to hand over: by arithmetic for many rows, by the bytes of W
  // for few.
  const double panel_ns =
      static_cast<double>(call.k * kPanel) * (0.2 + 0.02 * static_cast<double>(std::min(call.m, kStripRows)));
  const auto least = static_cast<int64_t>(4000 / panel_ns) + 1;
  const int64_t wanted = std::max<int64_t>(1, panels * strips / (6 * pool.threads()));
  const int64_t group = std::min(panels, pool.threads() == 1 ? panels : std::max(least, wanted));
  const int64_t groups = (panels + group - 1) / group;
  const auto task = [&](int64_t index) {
    const int64_t strip = index / groups, first = index % groups * group;
    StripTimesPanels(call, {strip * kStripRows, std::min(call.m, (strip + 1) * kStripRows)},
                     {first, std::min(panels, first + group)});
  };
  if (panel_ns * static_cast<double>(panels * strips) < 8000) {
    for (int64_t i = 0; i < strips * groups; ++i) task(i);
  } else {
    pool.Run(strips * groups, task);
  }
}

// 16 rows of W, `depth` values of k each -> half a panel's lines; from points at (row 0, k 0).
void TransposeRows(const float* HWY_RESTRICT from, int64_t row_stride, int64_t depth, float* HWY_RESTRICT to) {
  constexpr int64_t kRows = 16;
  alignas(64) float square[kRows][kRows];
  for (int64_t k = 0; k < depth; k += kRows) {
    const int64_t count = std::min(kRows, depth - k);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t i = 0; i < count; ++i) square[i][r] = from[r * row_stride + k + i];
    }
    for (int64_t i = 0; i < count; ++i) std::memcpy(to + (k + i) * kPanel, square[i], sizeof(square[i]));
  }
}

// Values begin .. end-1 of k of one panel.
void PackPanel(const MatrixView& w, int64_t columns, Range k, float* HWY_RESTRICT to) {
  if (w.column_stride == 1 && columns == kPanel) {
    for (int64_t half = 0; half < kPanel; half += 16) {
      TransposeRows(w.data + half * w.row_stride + k.begin, w.row_stride, k.end - k.begin,
                    to + k.begin * kPanel + half);
    }
    return;
  }
  for (int64_t i = k.begin; i < k.end; ++i) {
    const float* from = w.data + i * w.column_stride;
    float* line = to + i * kPanel;
    if (w.row_stride == 1) {
      std::memcpy(line, from, columns * sizeof(float));
    } else {
      for (int64_t column = 0; column < columns; ++column) line[column] = from[column * w.row_stride];
    }
    std::fill(line + columns, line + kPanel, 0.0f);
  }
}

void PackTarget(ThreadPool& pool, const MatrixView& w, int64_t n, int64_t k, float* packed) {
  constexpr int64_t kTaskDepth = 256;
  const int64_t panels = (n + kPanel - 1) / kPanel, pieces = (k + kTaskDepth - 1) / kTaskDepth;
  // Pieces of k in the outer order: where k is the row of a row-major matrix, its lines are read from end to end.
  pool.Run(panels * pieces, [&](int64_t task) {
    const int64_t panel = task % panels, begin = task / panels * kTaskDepth;
    const MatrixView part{w.data + panel * kPanel * w.row_stride, w.row_stride, w.column_stride};
    PackPanel(part, std::min(kPanel, n - panel * kPanel), {begin, std::min(k, begin + kTaskDepth)},
              packed + panel * k * kPanel);
  });
}

void TransposePackedTarget(ThreadPool& pool, const float* packed, int64_t n, int64_t k, float* transposed) {
  const int64_t panels = (k + kPanel - 1) / kPanel;  // of the transpose
  pool.Run(panels, [&](int64_t panel) {
    const int64_t columns = std::min(kPanel, k - panel * kPanel);
    for (int64_t row = 0; row < n; row += kPanel) {
      // Line i, element j of this square is W (row + j, panel * kPanel + i).
      const float* from = packed + (row / kPanel * k + panel * kPanel) * kPanel;
      PackPanel({from, kPanel, 1}, columns, {0, std::min(kPanel, n - row)}, transposed + (panel * n + row) * kPanel);
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(GemmTarget);
HWY_EXPORT(PackTarget);
HWY_EXPORT(TransposePackedTarget);

void Gemm(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, const float* packed, int64_t n, PanelOutput c,
          Accumulate accumulate) {
  if (m <= 0 || n <= 0) return;
  HWY_DYNAMIC_DISPATCH(GemmTarget)(pool, a, m, k, packed, n, c, accumulate == Accumulate::kYes);
}

void Pack(ThreadPool& pool, MatrixView w, int64_t n, int64_t k, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackTarget)(pool, w, n, k, packed);
}

void TransposePacked(ThreadPool& pool, const float* packed, int64_t n, int64_t k, float* transposed) {
  HWY_DYNAMIC_DISPATCH(TransposePackedTarget)(pool, packed, n, k, transposed);
}

void Unpack(const float* packed, int64_t n, int64_t k, float* w) {
  for (int64_t row = 0; row < n; ++row) {
    const float* from = packed + row / kPanel * k * kPanel + row % kPanel;
    for (int64_t i = 0; i < k; ++i) w[row * k + i] = from[i * kPanel];
  }
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
