#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {

static_assert(kPageTokens == kLanes, "a page's scores are one wide vector");

// Queries that go through a page together: enough chains of additions to hide their latency, few enough for the registers.
constexpr int kTile = kVectors == 1 ? 8 : 4;

// One (row, head) pair: its query, its scores (later weights) for positions 0 .. position, its result.
struct Query {
  const float* q;
  float* scores;
  float* out;
  float* log_sum_exp;
  const int32_t* page_table;
  int32_t position;
};

struct Shape {
  KvPages pages;
  int64_t kv_head;
  float scale;
  const float* Keys(int32_t page) const {
    return pages.keys + (int64_t{page} * pages.kv_heads + kv_head) * pages.head_dim * kPageTokens;
  }
  const float* Values(int32_t page) const {
    return pages.values + (int64_t{page} * pages.kv_heads + kv_head) * pages.head_dim * kPageTokens;
  }
};

// Scores of kCount queries with the keys of one page.
template <int kCount>
HWY_ATTR void PageScores(const Shape& shape, const Query* queries, int32_t index) {
  const float* keys = shape.Keys(queries[0].page_table[index]);
  Wide sum[kCount];
  for (int i = 0; i < kCount; ++i) sum[i] = WideSet(0);
  for (int32_t d = 0; d < shape.pages.head_dim; ++d) {
    const Wide key = WideLoad(keys + d * kPageTokens);
    for (int i = 0; i < kCount; ++i) sum[i] = WideMulAdd(WideSet(queries[i].q[d]), key, sum[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    float* to = queries[i].scores + index * kPageTokens;
    for (size_t part = 0; part < kVectors; ++part) {
      hn::StoreU(hn::Mul(sum[i].part[part], hn::Set(D(), shape.scale)), D(), to + part * kWidth);
    }
  }
}

// Turns the scores of one query into weights; returns their sum.
HWY_ATTR float Weigh(const Query& query) {
  const int64_t count = int64_t{query.position} + 1;
  const int64_t padded = (count + kPageTokens - 1) / kPageTokens * kPageTokens;
  // Keys past the position count nothing: exp(-inf) is +0.
  std::fill(query.scores + count, query.scores + padded, -std::numeric_limits<float>::infinity());
  Wide maximum = WideLoad(query.scores);
  for (int64_t j = kPageTokens; j < padded; j += kPageTokens) maximum = WideMax(maximum, WideLoad(query.scores + j));
  const float highest = WideMaximum(maximum);
  Wide sum = WideSet(0);
  for (int64_t j = 0; j < padded; j += kPageTokens) {
    Wide weight = WideLoad(query.scores + j);
    for (size_t part = 0; part < kVectors; ++part) {
      weight.part[part] = hn::Exp(D(), hn::Sub(weight.part[part], hn::Set(D(), highest)));
      hn::StoreU(weight.part[part], D(), query.scores + j + part * kWidth);
    }
    sum = WideAdd(sum, weight);
  }
  // What the polynomial makes of -inf must not reach the values.
  std::fill(query.scores + count, query.scores + padded, 0.0f);
  const float total = WideSum(sum);
  if (query.log_sum_exp != nullptr) *query.log_sum_exp = highest + std::log(total);
  return total;
}

// out[d .. d + 2 vectors] of kCount queries: the weighted sum of values over positions 0 .. the query's own.
template <int kCount>
HWY_ATTR void WeightedValues(const Shape& shape, const Query* queries, const float* totals, int64_t d, size_t count0,
                             size_t count1) {
  const int64_t head_dim = shape.pages.head_dim;
  V sum0[kCount], sum1[kCount];
  int32_t shared = queries[0].position;
  for (int i = 0; i < kCount; ++i) {
    sum0[i] = hn::Zero(D());
    sum1[i] = hn::Zero(D());
    shared = std::min(shared, queries[i].position);
  }
  const auto add = [&](int i, const float* value, int32_t j) HWY_ATTR {
    const V weight = hn::Set(D(), queries[i].scores[j]);
    sum0[i] = hn::MulAdd(weight, LoadFirst(value, count0), sum0[i]);
    if (count1 > 0) sum1[i] = hn::MulAdd(weight, LoadFirst(value + kWidth, count1), sum1[i]);
  };
  if (count1 == kWidth) {
    for (int32_t j = 0; j <= shared;) {
      const float* values = shape.Values(queries[0].page_table[j / kPageTokens]) + d;
      const int32_t end = std::min(shared + 1, (j / kPageTokens + 1) * kPageTokens);
      for (; j < end; ++j) {
        const float* value = values + j % kPageTokens * head_dim;
        const V value0 = hn::LoadU(D(), value), value1 = hn::LoadU(D(), value + kWidth);
        for (int i = 0; i < kCount; ++i) {
          const V weight = hn::Set(D(), queries[i].scores[j]);
          sum0[i] = hn::MulAdd(weight, value0, sum0[i]);
          sum1[i] = hn::MulAdd(weight, value1, sum1[i]);
        }
      }
    }
  } else {
    for (int32_t j = 0; j <= shared; ++j) {
      const float* value = shape.Values(queries[0].page_table[j / kPageTokens]) + j % kPageTokens * head_dim + d;
      for (int i = 0; i < kCount; ++i) add(i, value, j);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int32_t j = shared + 1; j <= queries[i].position; ++j) {
      add(i, shape.Values(queries[i].page_table[j / kPageTokens]) + j % kPageTokens * head_dim + d, j);
    }
    const V total = hn::Set(D(), totals[i]);
    StoreFirst(hn::Div(sum0[i], total), queries[i].out + d, count0);
    if (count1 > 0) StoreFirst(hn::Div(sum1[i], total), queries[i].out + d + kWidth, count1);
  }
}

// kCount queries over one page table.
template <int kCount>
HWY_ATTR void AttendTile(const Shape& shape, const Query* queries) {
  int32_t pages[kCount], shared = std::numeric_limits<int32_t>::max();
  for (int i = 0; i < kCount; ++i) {
    pages[i] = queries[i].position / kPageTokens + 1;
    shared = std::min(shared, pages[i]);
  }
  for (int32_t page = 0; page < shared; ++page) PageScores<kCount>(shape, queries, page);
  float totals[kCount];
  for (int i = 0; i < kCount; ++i) {
    for (int32_t page = shared; page < pages[i]; ++page) PageScores<1>(shape, queries + i, page);
    totals[i] = Weigh(queries[i]);
  }
  for (int64_t d = 0; d < shape.pages.head_dim; d += 2 * kWidth) {
    const auto rest = static_cast<size_t>(shape.pages.head_dim - d);
    WeightedValues<kCount>(shape, queries, totals, d, std::min(rest, kWidth), rest > kWidth ? std::min(rest - kWidth, kWidth) : 0);
  }
}

HWY_ATTR void Attend(const Shape& shape, const Query* queries, int64_t count) {
  while (count > 0) {
    const int64_t tile = count >= kTile ? kTile : count >= 4 ? 4 : count >= 2 ? 2 : 1;
    if (tile == kTile) {
      AttendTile<kTile>(shape, queries);
    } else if (tile == 4) {
      AttendTile<4>(shape, queries);
    } else if (tile == 2) {
      AttendTile<2>(shape, queries);
    } else {
      AttendTile<1>(shape, queries);
    }
    queries += tile;
    count -= tile;
  }
}

void AttentionTarget(ThreadPool& pool, const float* q, const AttentionRow* rows, int64_t row_count, int64_t heads, float scale,
                     KvPages pages, float* out, float* log_sum_exp) {
  constexpr int64_t kTaskRows = 16;
  const int64_t group = heads / pages.kv_heads, blocks = (row_count + kTaskRows - 1) / kTaskRows;
  pool.Run(blocks * pages.kv_heads, [&](int64_t task) HWY_ATTR {
    const int64_t begin = task / pages.kv_heads * kTaskRows, end = std::min(row_count, begin + kTaskRows);
    const Shape shape{pages, task % pages.kv_heads, scale};
    std::vector<float> scores;
    std::vector<Query> queries;
    for (int64_t first = begin; first < end;) {
      // Rows that read the same pages go together.
      int64_t last = first + 1;
      int32_t longest = rows[first].position;
      while (last < end && rows[last].page_table == rows[first].page_table) longest = std::max(longest, rows[last++].position);
      const size_t stride = (static_cast<size_t>(longest) / kPageTokens + 1) * kPageTokens;
      scores.resize(std::max(scores.size(), stride * static_cast<size_t>((last - first) * group)));
      queries.clear();
      for (int64_t row = first; row < last; ++row) {
        for (int64_t head = shape.kv_head * group; head < (shape.kv_head + 1) * group; ++head) {
          const int64_t offset = (row * heads + head) * pages.head_dim;
          queries.push_back({q + offset, scores.data() + queries.size() * stride, out + offset,
                             log_sum_exp == nullptr ? nullptr : log_sum_exp + row * heads + head, rows[row].page_table,
                             rows[row].position});
        }
      }
      Attend(shape, queries.data(), static_cast<int64_t>(queries.size()));
      first = last;
    }
  });
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(AttentionTarget);

void AttentionForward(ThreadPool& pool, const float* q, const AttentionRow* rows, int64_t row_count, int64_t heads,
                      float scale, KvPages pages, float* out, float* log_sum_exp) {
  HWY_DYNAMIC_DISPATCH(AttentionTarget)(pool, q, rows, row_count, heads, scale, pages, out, log_sum_exp);
}

void WriteKv(ThreadPool& pool, const float* k, const float* v, const KvWrite* writes, int64_t count, KvPages pages) {
  constexpr int64_t kTaskWrites = 64;
  const int64_t head_dim = pages.head_dim, row_floats = pages.kv_heads * head_dim;
  pool.Run((count + kTaskWrites - 1) / kTaskWrites, [&](int64_t task) {
    for (int64_t i = task * kTaskWrites; i < std::min(count, (task + 1) * kTaskWrites); ++i) {
      const KvWrite& write = writes[i];
      for (int64_t head = 0; head < pages.kv_heads; ++head) {
        const int64_t page = (int64_t{write.page} * pages.kv_heads + head) * head_dim * kPageTokens;
        const int64_t from = write.row * row_floats + head * head_dim;
        float* keys = pages.keys + page + write.slot;
        for (int64_t d = 0; d < head_dim; ++d) keys[d * kPageTokens] = k[from + d];
        std::memcpy(pages.values + page + write.slot * head_dim, v + from, static_cast<size_t>(head_dim) * sizeof(float));
      }
    }
  });
}

void CopyPage(KvPages pages, int32_t from, int32_t to, int32_t slots) {
  const int64_t floats = PageFloats(pages.kv_heads, pages.head_dim), head_dim = pages.head_dim;
  const float *from_keys = pages.keys + from * floats, *from_values = pages.values + from * floats;
  float *to_keys = pages.keys + to * floats, *to_values = pages.values + to * floats;
  for (int64_t line = 0; line < pages.kv_heads * head_dim; ++line) {
    std::copy_n(from_keys + line * kPageTokens, slots, to_keys + line * kPageTokens);
  }
  for (int64_t head = 0; head < pages.kv_heads; ++head) {
    std::copy_n(from_values + head * kPageTokens * head_dim, slots * head_dim, to_values + head * kPageTokens * head_dim);
  }
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
