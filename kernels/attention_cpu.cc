// Rows that share pages (positions of one sequence, sequences with a common prefix) and the query heads that share a
// key-value head form a tile: each page is multiplied with all of them at once. What is in a tile changes no result, since
// every score and every output is one chain of additions.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/attention.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/microkernel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

static_assert(kPageTokens == kVirtualLanes, "a page's scores are one row of virtual lanes");

// (row, head) pairs in a tile: a block of the microkernel on AVX-512, two on AVX2.
constexpr int64_t kTilePairs = 12;
// Multiply-adds in a task: some ten microseconds.
constexpr int64_t kTaskWork = 400'000;

struct AttentionCall {
  const float* q;
  const AttentionRow* rows;
  int64_t heads;
  float scale;
  int64_t window;
  KvPages pages;
  float* out;
  float* log_sum_exp;

  int64_t group() const { return heads / pages.kv_heads; }
  // The first position that a row sees.
  int64_t First(const AttentionRow& row) const { return std::max<int64_t>(0, row.position + 1 - window); }
};

struct RowRange {
  int64_t begin, end;
};

// One task's buffers, for one tile at a time. Pairs are numbered row by row.
struct Scratch {
  std::vector<float> q;        // [pairs, head_dim]
  std::vector<float> scores;   // [pairs, score_stride]: scores, then weights, from the tile's first page on
  std::vector<float> sums;     // [pairs, sum_stride]
  std::vector<float> weights;  // [pairs]: sums of weights
  int64_t score_stride, sum_stride;
};

// One tile and one key-value head.
class Tile {
 public:
  Tile(const AttentionCall& call, RowRange rows, int64_t kv_head, Scratch& scratch)
      : call_(call),
        rows_(call.rows + rows.begin),
        count_(rows.end - rows.begin),
        group_(call.group()),
        head_dim_(call.pages.head_dim),
        first_pair_(rows.begin * call.heads + kv_head * group_),
        kv_head_(kv_head),
        s_(scratch) {
    first_page_ = FirstPage(0);
    for (int64_t r = 0; r < count_; ++r) {
      first_page_ = std::min(first_page_, FirstPage(r));
      page_count_ = std::max(page_count_, PageCount(r));
    }
    s_.score_stride = (page_count_ - first_page_) * kPageTokens;
    s_.sum_stride = RoundUpToLanes(head_dim_);
    Grow(s_.q, count_ * group_ * head_dim_);
    Grow(s_.scores, count_ * group_ * s_.score_stride);
    Grow(s_.sums, count_ * group_ * s_.sum_stride);
    Grow(s_.weights, count_ * group_);
  }

  void Run() {
    for (int64_t r = 0; r < count_; ++r) {
      std::memcpy(s_.q.data() + r * group_ * head_dim_, call_.q + Pair(r) * head_dim_,
                  group_ * head_dim_ * sizeof(float));
    }
    for (int64_t page = first_page_; page < page_count_; ++page) {
      ForEachRun(page, [&](int64_t begin, int64_t end) { Score(page, begin, end); });
    }
    for (int64_t pair = 0; pair < count_ * group_; ++pair) Weigh(pair, pair / group_);
    std::fill_n(s_.sums.begin(), count_ * group_ * s_.sum_stride, 0.0f);
    for (int64_t page = first_page_; page < page_count_; ++page) {
      ForEachRun(page, [&](int64_t begin, int64_t end) { AddValues(page, begin, end); });
    }
    for (int64_t pair = 0; pair < count_ * group_; ++pair) Finish(pair);
  }

 private:
  static void Grow(std::vector<float>& buffer, int64_t size) {
    if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(size);
  }

  int64_t PageCount(int64_t r) const { return rows_[r].position / kPageTokens + 1; }
  int64_t FirstPage(int64_t r) const { return call_.First(rows_[r]) / kPageTokens; }
  bool Sees(int64_t r, int64_t page) const { return FirstPage(r) <= page && page < PageCount(r); }
  // Row r sees the tokens Begin .. End-1 of `page`; these may lie outside of it.
  int64_t Begin(int64_t r, int64_t page) const { return call_.First(rows_[r]) - page * kPageTokens; }
  int64_t End(int64_t r, int64_t page) const { return rows_[r].position + 1 - page * kPageTokens; }
  bool Sees(int64_t r, int64_t page, int64_t token) const { return Begin(r, page) <= token && token < End(r, page); }
  // Index of row r's first (row, head) pair in q and out.
  int64_t Pair(int64_t r) const { return first_pair_ + r * call_.heads; }
  int64_t PageOffset(int64_t r, int64_t page) const {
    return (rows_[r].page_table[page] * int64_t{call_.pages.kv_heads} + kv_head_) * head_dim_ * kPageTokens;
  }

  // f(begin, end) for runs of rows that find the same memory at `page` of their tables.
  template <class F>
  void ForEachRun(int64_t page, const F& f) const {
    for (int64_t r = 0; r < count_;) {
      const int64_t begin = r++;
      if (!Sees(begin, page)) continue;
      const int32_t memory = rows_[begin].page_table[page];
      while (r < count_ && Sees(r, page) && rows_[r].page_table[page] == memory) ++r;
      f(begin, r);
    }
  }

  float* Scores(int64_t pair, int64_t page) {
    return s_.scores.data() + pair * s_.score_stride + (page - first_page_) * kPageTokens;
  }

  // Whole pages: what the slots that a row does not see give is overwritten before anything reads it.
  void Score(int64_t page, int64_t begin, int64_t end) {
    Product<> product;
    product.a = s_.q.data() + begin * group_ * head_dim_;
    product.a_row = head_dim_;
    product.k = head_dim_;
    product.b = call_.pages.keys + PageOffset(begin, page);
    product.b_row = kPageTokens;
    product.c = Scores(begin * group_, page);
    product.c_row = s_.score_stride;
    if (page + 1 < PageCount(begin)) product.next = call_.pages.keys + PageOffset(begin, page + 1);
    product.next_step = kPageTokens;
    Multiply(product, (end - begin) * group_, kPageTokens);
  }

  // Scores -> weights and their sum. In the row's first and last page, positions that it does not see weigh
  // exp(-infinity) = +0.
  void Weigh(int64_t pair, int64_t row) {
    const int64_t first_page = FirstPage(row), end = End(row, first_page), padded = RoundUpToLanes(end);
    float* scores = Scores(pair, first_page);
    std::fill(scores, scores + Begin(row, first_page), -std::numeric_limits<float>::infinity());
    std::fill(scores + end, scores + padded, -std::numeric_limits<float>::infinity());
    const float scale = call_.scale;
    ForEach(padded, [=](auto d, int64_t j)
                        HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, scores + j), hn::Set(d, scale)), d, scores + j); });
    const float largest = MaxOf(scores, padded);
    const float sum = SumLanes(padded, [=](auto d, int64_t j, auto sum) HWY_ATTR {
      const auto weight = Exp(d, hn::Sub(hn::LoadU(d, scores + j), hn::Set(d, largest)));
      hn::StoreU(weight, d, scores + j);
      return hn::Add(sum, weight);
    });
    s_.weights[pair] = sum;
    if (call_.log_sum_exp != nullptr) {
      call_.log_sum_exp[Pair(pair / group_) + pair % group_] =
          static_cast<float>(static_cast<double>(largest) + std::log(static_cast<double>(sum)));
    }
  }

  // Rows begin and end at different tokens of the page: from token to token at which one does, those that see it.
  void AddValues(int64_t page, int64_t begin, int64_t end) {
    for (int64_t token = 0; token < kPageTokens;) {
      int64_t stop = kPageTokens;
      for (int64_t r = begin; r < end; ++r) {
        if (Begin(r, page) > token) stop = std::min(stop, Begin(r, page));
        if (End(r, page) > token) stop = std::min(stop, End(r, page));
      }
      for (int64_t r = begin; r < end;) {
        const int64_t first = r++;
        if (!Sees(first, page, token)) continue;
        while (r < end && Sees(r, page, token)) ++r;
        AddTokens(page, first, r, token, stop);
      }
      token = stop;
    }
  }

  void AddTokens(int64_t page, int64_t begin, int64_t end, int64_t token, int64_t stop) {
    Product<> product;
    product.a = Scores(begin * group_, page) + token;
    product.a_row = s_.score_stride;
    product.k = stop - token;
    product.b = call_.pages.values + PageOffset(begin, page) + token * head_dim_;
    product.b_row = head_dim_;
    product.c = s_.sums.data() + begin * group_ * s_.sum_stride;
    product.c_row = s_.sum_stride;
    if (page + 1 < PageCount(begin)) product.next = call_.pages.values + PageOffset(begin, page + 1);
    product.next_step = 2 * kLanes;
    product.accumulate = true;
    Multiply(product, (end - begin) * group_, head_dim_);
  }

  void Finish(int64_t pair) {
    const float* from = s_.sums.data() + pair * s_.sum_stride;
    float* to = call_.out + (Pair(pair / group_) + pair % group_) * head_dim_;
    const float weight = s_.weights[pair];
    ForEach(head_dim_, [=](auto d, int64_t i)
                           HWY_ATTR { hn::StoreU(hn::Div(hn::LoadU(d, from + i), hn::Set(d, weight)), d, to + i); });
  }

  const AttentionCall& call_;
  const AttentionRow* rows_;
  const int64_t count_, group_, head_dim_, first_pair_, kv_head_;
  int64_t first_page_ = 0, page_count_ = 0;
  Scratch& s_;
};

// Cuts the rows into tiles and gathers these into tasks of about equal work -> first tile of each task, then the end.
void Plan(const AttentionCall& call, int64_t row_count, std::vector<RowRange>& tiles, std::vector<int64_t>& tasks) {
  const int64_t most = std::max<int64_t>(1, kTilePairs / call.group());
  int64_t work = kTaskWork;
  for (int64_t begin = 0; begin < row_count;) {
    int64_t end = begin, tile_work = 0;
    do {
      const AttentionRow& row = call.rows[end];
      tile_work += (row.position - call.First(row) + kPageTokens) * call.group() * call.pages.head_dim * 2;
      ++end;
    } while (end < row_count && end - begin < most && call.rows[end].page_table[0] == call.rows[begin].page_table[0]);
    if (work >= kTaskWork) {
      tasks.push_back(static_cast<int64_t>(tiles.size()));
      work = 0;
    }
    work += tile_work;
    tiles.push_back({begin, end});
    begin = end;
  }
  tasks.push_back(static_cast<int64_t>(tiles.size()));
}

void AttentionTarget(ThreadPool& pool, const float* q, const AttentionRow* rows, int64_t row_count, int64_t heads,
                     float scale, int32_t window, KvPages pages, float* out, float* log_sum_exp) {
  const AttentionCall call{q, rows, heads, scale, window, pages, out, log_sum_exp};
  std::vector<RowRange> tiles;
  std::vector<int64_t> tasks;
  Plan(call, row_count, tiles, tasks);
  const auto ranges = static_cast<int64_t>(tasks.size()) - 1;
  pool.Run(ranges * pages.kv_heads, [&](int64_t task) {
    Scratch scratch;
    const int64_t range = task / pages.kv_heads;
    for (int64_t tile = tasks[range]; tile < tasks[range + 1]; ++tile) {
      Tile(call, tiles[tile], task % pages.kv_heads, scratch).Run();
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(AttentionTarget);

void AttentionForward(ThreadPool& pool, const float* q, const AttentionRow* rows, int64_t row_count, int64_t heads,
                      float scale, int32_t window, KvPages pages, float* out, float* log_sum_exp) {
  if (row_count <= 0) return;
  HWY_DYNAMIC_DISPATCH(AttentionTarget)(pool, q, rows, row_count, heads, scale, window, pages, out, log_sum_exp);
}

void WriteKv(ThreadPool& pool, const float* k, const float* v, const KvWrite* writes, int64_t count, KvPages pages) {
  constexpr int64_t kTaskWrites = 64;
  const int64_t head_dim = pages.head_dim;
  pool.Run((count + kTaskWrites - 1) / kTaskWrites, [&](int64_t task) {
    for (int64_t i = task * kTaskWrites; i < std::min(count, (task + 1) * kTaskWrites); ++i) {
      const KvWrite& write = writes[i];
      for (int64_t head = 0; head < pages.kv_heads; ++head) {
        const int64_t page = (int64_t{write.page} * pages.kv_heads + head) * head_dim * kPageTokens;
        const int64_t from = (int64_t{write.row} * pages.kv_heads + head) * head_dim;
        for (int64_t d = 0; d < head_dim; ++d) pages.keys[page + d * kPageTokens + write.slot] = k[from + d];
        std::memcpy(pages.values + page + write.slot * head_dim, v + from, head_dim * sizeof(float));
      }
    }
  });
}

void CopyPage(KvPages pages, int32_t from, int32_t to, int32_t slots) {
  const int64_t page = PageFloats(pages.kv_heads, pages.head_dim), lines = pages.kv_heads * int64_t{pages.head_dim};
  for (int64_t line = 0; line < lines; ++line) {
    std::memcpy(pages.keys + to * page + line * kPageTokens, pages.keys + from * page + line * kPageTokens,
                slots * sizeof(float));
  }
  const int64_t head = int64_t{pages.head_dim} * kPageTokens;
  for (int64_t g = 0; g < pages.kv_heads; ++g) {
    std::memcpy(pages.values + to * page + g * head, pages.values + from * page + g * head,
                slots * pages.head_dim * sizeof(float));
  }
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
