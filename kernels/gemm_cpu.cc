// Every task multiplies a strip of rows of A with a few panels of W, chunk of k by chunk, so that the strip's chunk stays in the
// second-level cache. A panel's chunk is read in pieces that fit the first-level cache, once per block of 12 (AVX-512) or 6
// (AVX2) rows, whose sums stay in registers; meanwhile the next piece is fetched.
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

// Depth of a piece of k: a panel's piece is then at most 24 KiB; with few rows the next one, fetched soon, finds room beside it.
// The chain of additions goes on through C.
constexpr int64_t kPieceDepth = 192, kPieceDepthFewRows = 128, kFewRows = 47;
// Floats of A that stay in the second-level cache, half a MiB on many machines.
constexpr int64_t kStripFloats = 74 * 1024;
// Rows of A a task works on: a multiple of 12 and 6.
constexpr int64_t kStripRows = 96;

template <typename B>
struct GemmCall {
  MatrixView a;
  int64_t m, k;
  const B* packed;
  int64_t n;
  PanelOutput c;
  bool accumulate;
};

struct Range {
  int64_t begin, end;
};

// The length of each of as few equal parts of `whole` as are at most `most` long.
int64_t EvenPart(int64_t whole, int64_t most) {
  const int64_t parts = std::max<int64_t>(1, (whole + most - 1) / most);
  return std::max<int64_t>(1, (whole + parts - 1) / parts);
}

// One block of rows times one panel of `columns` columns; product.c is the panel's first column.
template <typename B>
void BlockTimesPanel(const Product<B>& product, int64_t rows, int64_t columns) {
  Product<B> part = product;
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
    constexpr int64_t kCalls = kPanel / (2 * kLanes);
    part.next_step = (product.next_step + kCalls - 1) / kCalls;
    for (int64_t column = 0; column < columns; column += 2 * kLanes) {
      RunBlock<2, Width::kWhole>(rows, part, 0);
      part.b += 2 * kLanes;
      part.c += 2 * kLanes;
      if (part.next != nullptr) part.next += part.k * part.next_step;
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

// Rows of a strip and the part of k that is in the cache; `copy` holds them where A's own columns are far apart, else it is null.
struct Chunk {
  Range rows, k;
  const float* copy;
};

template <typename B>
void ChunkTimesPanel(const GemmCall<B>& call, const Chunk& chunk, int64_t panel, const B* next_chunk) {
  const MatrixView& a = call.a;
  Product<B> product;
  product.b_row = kPanel;
  product.c_row = call.c.row_stride;
  const int64_t row_count = chunk.rows.end - chunk.rows.begin, blocks = (row_count + kMaxRows - 1) / kMaxRows;
  float* c = call.c.data + panel * call.c.panel_stride + chunk.rows.begin * call.c.row_stride;
  const int64_t piece = EvenPart(chunk.k.end - chunk.k.begin, row_count > kFewRows ? kPieceDepth : kPieceDepthFewRows);
  for (int64_t k = chunk.k.begin; k == 0 || k < chunk.k.end; k += piece) {
    product.k = std::min(piece, chunk.k.end - k);
    product.b = call.packed + (panel * call.k + k) * kPanel;
    product.accumulate = call.accumulate || k > 0;
    const B* next = k + piece < chunk.k.end ? product.b + piece * kPanel : next_chunk;
    // Every block fetches its share of the next piece, a line or part of one for each k. One row waits for nothing but memory, which
    // the machine's own prefetching then serves best.
    product.next_step = (kPanel + blocks - 1) / blocks;
    product.next = row_count > 1 ? next : nullptr;
    ForEachRowBlock(row_count, [&](int64_t first, int64_t count) {
      product.a = chunk.copy != nullptr
                      ? chunk.copy + first * (chunk.k.end - chunk.k.begin) + (k - chunk.k.begin) * count
                      : a.data + (chunk.rows.begin + first) * a.row_stride + k * a.column_stride;
      product.a_row = chunk.copy != nullptr ? 1 : a.row_stride;
      product.a_column = chunk.copy != nullptr ? count : a.column_stride;
      product.c = c + first * call.c.row_stride;
      BlockTimesPanel(product, count, std::min(kPanel, call.n - panel * kPanel));
      if (product.next != nullptr) product.next += product.k * product.next_step;
    });
  }
}

// `panel_after` is what this thread probably works on next.
template <typename B>
void StripTimesPanels(const GemmCall<B>& call, Range rows, Range panels, int64_t panel_after) {
  const int64_t row_count = rows.end - rows.begin;
  const int64_t depth = EvenPart(call.k, std::max<int64_t>(512, kStripFloats / row_count));
  // Columns of A that are far apart cost a cache line each, once per panel: copied together first.
  const bool copy = call.a.column_stride != 1 && panels.end - panels.begin > 1;
  std::vector<float> strip(copy ? row_count * std::min(depth, call.k) : 0);
  for (int64_t k = 0; k == 0 || k < call.k; k += depth) {
    const Chunk chunk{rows, {k, std::min(call.k, k + depth)}, copy ? strip.data() : nullptr};
    if (copy) CopyStrip(call.a, rows.begin, row_count, k, chunk.k.end - k, strip.data());
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      const int64_t next = panel + 1 < panels.end ? panel + 1 : panel_after;
      ChunkTimesPanel(call, chunk, panel,
                      next * kPanel < call.n ? call.packed + (next * call.k + k) * kPanel : nullptr);
    }
  }
}

template <typename B>
void GemmOver(ThreadPool& pool, const GemmCall<B>& call) {
  const int64_t panels = (call.n + kPanel - 1) / kPanel;
  const int64_t strips = (call.m + kStripRows - 1) / kStripRows;
  const int64_t strip_rows = ((call.m + strips - 1) / strips + 11) / 12 * 12;
  // A task should take some microseconds, more than it costs to hand over: by arithmetic for many rows, by the bytes of W
  // for few.
  const double panel_ns =
      static_cast<double>(call.k * kPanel) * (0.2 + 0.02 * static_cast<double>(std::min(call.m, kStripRows)));
  const auto least = static_cast<int64_t>(4000 / panel_ns) + 1;
  const int64_t wanted = std::max<int64_t>(1, panels * strips / (12 * pool.threads()));
  const int64_t group = EvenPart(panels, pool.threads() == 1 ? panels : std::max(least, wanted));
  const int64_t groups = (panels + group - 1) / group;
  const auto task = [&](int64_t index) {
    const int64_t strip = index / groups, first = index % groups * group;
    StripTimesPanels(call, {strip * strip_rows, std::min(call.m, (strip + 1) * strip_rows)},
                     {first, std::min(panels, first + group)}, first + group * pool.threads());
  };
  if (panel_ns * static_cast<double>(panels * strips) < 8000) {
    for (int64_t i = 0; i < strips * groups; ++i) task(i);
  } else {
    pool.Run(strips * groups, task);
  }
}

void GemmTarget(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, PackedWeight w, int64_t n, PanelOutput c,
                bool accumulate) {
  if (w.type == WeightType::kBfloat16) {
    GemmOver<hwy::bfloat16_t>(pool, {a, m, k, static_cast<const hwy::bfloat16_t*>(w.data), n, c, accumulate});
  } else {
    GemmOver<float>(pool, {a, m, k, static_cast<const float*>(w.data), n, c, accumulate});
  }
}

// A matrix of what is moved and never computed with: floats, or the 16 bits of a bfloat16.
template <typename T>
struct Plane {
  const T* data;
  int64_t row_stride;
  int64_t column_stride;
};

// 16 rows of W, `depth` values of k each -> half a panel's lines; from points at (row 0, k 0).
template <typename T>
void TransposeRows(const T* HWY_RESTRICT from, int64_t row_stride, int64_t depth, T* HWY_RESTRICT to) {
  constexpr int64_t kRows = 16;
  alignas(64) T square[kRows][kRows];
  for (int64_t k = 0; k < depth; k += kRows) {
    const int64_t count = std::min(kRows, depth - k);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t i = 0; i < count; ++i) square[i][r] = from[r * row_stride + k + i];
    }
    for (int64_t i = 0; i < count; ++i) std::memcpy(to + (k + i) * kPanel, square[i], sizeof(square[i]));
  }
}

// Values begin .. end-1 of k of one panel.
template <typename T>
void PackPanel(const Plane<T>& w, int64_t columns, Range k, T* HWY_RESTRICT to) {
  if (w.column_stride == 1 && columns == kPanel) {
    for (int64_t half = 0; half < kPanel; half += 16) {
      TransposeRows(w.data + half * w.row_stride + k.begin, w.row_stride, k.end - k.begin,
                    to + k.begin * kPanel + half);
    }
    return;
  }
  for (int64_t i = k.begin; i < k.end; ++i) {
    const T* from = w.data + i * w.column_stride;
    T* line = to + i * kPanel;
    if (w.row_stride == 1) {
      std::memcpy(line, from, columns * sizeof(T));
    } else {
      for (int64_t column = 0; column < columns; ++column) line[column] = from[column * w.row_stride];
    }
    std::fill(line + columns, line + kPanel, T{});
  }
}

void PackTarget(ThreadPool& pool, const MatrixView& w, int64_t n, int64_t k, float* packed) {
  constexpr int64_t kTaskDepth = 256;
  const int64_t panels = (n + kPanel - 1) / kPanel, pieces = (k + kTaskDepth - 1) / kTaskDepth;
  // Pieces of k in the outer order: where k is the row of a row-major matrix, its lines are read from end to end.
  pool.Run(panels * pieces, [&](int64_t task) {
    const int64_t panel = task % panels, begin = task / panels * kTaskDepth;
    const Plane<float> part{w.data + panel * kPanel * w.row_stride, w.row_stride, w.column_stride};
    PackPanel(part, std::min(kPanel, n - panel * kPanel), {begin, std::min(k, begin + kTaskDepth)},
              packed + panel * k * kPanel);
  });
}

template <typename T>
void TransposePanels(ThreadPool& pool, const T* packed, int64_t n, int64_t k, T* transposed) {
  const int64_t panels = (k + kPanel - 1) / kPanel;  // of the transpose
  pool.Run(panels, [&](int64_t panel) {
    const int64_t columns = std::min(kPanel, k - panel * kPanel);
    for (int64_t row = 0; row < n; row += kPanel) {
      // Line i, element j of this square is W (row + j, panel * kPanel + i).
      const T* from = packed + (row / kPanel * k + panel * kPanel) * kPanel;
      PackPanel<T>({from, kPanel, 1}, columns, {0, std::min(kPanel, n - row)}, transposed + (panel * n + row) * kPanel);
    }
  });
}

void TransposePackedTarget(ThreadPool& pool, const PackedWeight& packed, int64_t n, int64_t k, void* transposed) {
  if (packed.type == WeightType::kBfloat16) {
    TransposePanels(pool, static_cast<const uint16_t*>(packed.data), n, k, static_cast<uint16_t*>(transposed));
  } else {
    TransposePanels(pool, static_cast<const float*>(packed.data), n, k, static_cast<float*>(transposed));
  }
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

void Gemm(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, PackedWeight w, int64_t n, PanelOutput c,
          Accumulate accumulate) {
  if (m <= 0 || n <= 0) return;
  HWY_DYNAMIC_DISPATCH(GemmTarget)(pool, a, m, k, w, n, c, accumulate == Accumulate::kYes);
}

void Pack(ThreadPool& pool, MatrixView w, int64_t n, int64_t k, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackTarget)(pool, w, n, k, packed);
}

void TransposePacked(ThreadPool& pool, PackedWeight packed, int64_t n, int64_t k, void* transposed) {
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
