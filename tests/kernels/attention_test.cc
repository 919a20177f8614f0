#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

struct Heads {
  int64_t heads, kv_heads, head_dim;
  int64_t q() const { return heads * head_dim; }
  int64_t kv() const { return kv_heads * head_dim; }
};
const Heads kHeads[] = {{4, 2, 24}, {9, 3, 64}, {2, 2, 6}, {16, 1, 32}, {1, 1, 2}, {3, 1, 130}};

// Queries, keys and values of one sequence.
struct Sequence {
  Sequence(const Heads& h, int64_t length, uint32_t seed)
      : length(length),
        q(Noise(length * h.q(), seed, -2, 2)),
        k(Noise(length * h.kv(), seed + 1, -2, 2)),
        v(Noise(length * h.kv(), seed + 2)) {}
  int64_t length;
  Vector q, k, v;
};

struct Result {
  Vector out, log_sum_exp;
};

// The formula in double.
Result Reference(const Heads& h, const Sequence& s, double scale, int64_t window) {
  Result result;
  for (int64_t row = 0; row < s.length; ++row) {
    for (int64_t head = 0; head < h.heads; ++head) {
      const int64_t kv = head / (h.heads / h.kv_heads);
      const int64_t first = std::max<int64_t>(0, row - window + 1);
      std::vector<double> weights(row + 1), out(h.head_dim);
      double largest = -1e300, sum = 0;
      for (int64_t j = first; j <= row; ++j) {
        for (int64_t d = 0; d < h.head_dim; ++d) {
          weights[j] +=
              static_cast<double>(s.q[row * h.q() + head * h.head_dim + d]) * s.k[j * h.kv() + kv * h.head_dim + d];
        }
        weights[j] *= scale;
        largest = std::max(largest, weights[j]);
      }
      for (int64_t j = first; j <= row; ++j) sum += weights[j] = std::exp(weights[j] - largest);
      for (int64_t j = first; j <= row; ++j) {
        for (int64_t d = 0; d < h.head_dim; ++d) out[d] += weights[j] / sum * s.v[j * h.kv() + kv * h.head_dim + d];
      }
      result.out.insert(result.out.end(), out.begin(), out.end());
      result.log_sum_exp.push_back(static_cast<float>(largest + std::log(sum)));
    }
  }
  return result;
}

// Pages whose unused slots hold NaN, handed out in a shuffled order.
class Cache {
 public:
  Cache(const Heads& h, int32_t pages, uint32_t seed)
      : h_(h), keys_(pages * PageFloats(h.kv_heads, h.head_dim), NAN), values_(keys_.size(), -NAN), free_(pages) {
    std::iota(free_.begin(), free_.end(), 0);
    std::mt19937 random(seed);
    std::shuffle(free_.begin(), free_.end(), random);
  }
  KvPages pages() {
    return {keys_.data(), values_.data(), static_cast<int32_t>(h_.kv_heads), static_cast<int32_t>(h_.head_dim)};
  }
  int32_t Take() {
    const int32_t page = free_.back();
    free_.pop_back();
    return page;
  }
  void Write(ThreadPool& pool, const Sequence& s, const std::vector<int32_t>& table, int64_t begin, int64_t end) {
    std::vector<KvWrite> writes;
    for (int64_t row = begin; row < end; ++row) {
      writes.push_back({static_cast<int32_t>(row), table[row / kPageTokens], static_cast<int32_t>(row % kPageTokens)});
    }
    WriteKv(pool, s.k.data(), s.v.data(), writes.data(), static_cast<int64_t>(writes.size()), pages());
  }

 private:
  Heads h_;
  Vector keys_, values_;
  std::vector<int32_t> free_;
};

std::vector<int32_t> TakePages(Cache& cache, int64_t length) {
  std::vector<int32_t> table;
  for (int64_t i = 0; i < length; i += kPageTokens) table.push_back(cache.Take());
  return table;
}

float Scale(const Heads& h) { return 1 / std::sqrt(static_cast<float>(h.head_dim)); }

// Rows begin .. end-1 of a sequence whose keys are in the cache.
Result Attend(ThreadPool& pool, const Heads& h, Cache& cache, const Sequence& s, const std::vector<int32_t>& table,
              int64_t begin, int64_t end, int32_t window = kWholeSequence) {
  std::vector<AttentionRow> rows;
  for (int64_t row = begin; row < end; ++row) rows.push_back({table.data(), static_cast<int32_t>(row)});
  Result result{Vector((end - begin) * h.q()), Vector((end - begin) * h.heads)};
  AttentionForward(pool, s.q.data() + begin * h.q(), rows.data(), end - begin, h.heads, Scale(h), window, cache.pages(),
                   result.out.data(), result.log_sum_exp.data());
  return result;
}

// The sequence in chunks of the given size, each written just before it attends.
Result Prefill(const Heads& h, const Sequence& s, int64_t chunk, int threads, uint32_t seed,
               int32_t window = kWholeSequence) {
  ThreadPool pool(threads);
  Cache cache(h, static_cast<int32_t>(s.length / kPageTokens + 9), seed);
  const std::vector<int32_t> table = TakePages(cache, s.length);
  Result all;
  for (int64_t begin = 0; begin < s.length; begin += chunk) {
    const int64_t end = std::min(s.length, begin + chunk);
    cache.Write(pool, s, table, begin, end);
    const Result part = Attend(pool, h, cache, s, table, begin, end, window);
    all.out.insert(all.out.end(), part.out.begin(), part.out.end());
    all.log_sum_exp.insert(all.log_sum_exp.end(), part.log_sum_exp.begin(), part.log_sum_exp.end());
  }
  return all;
}

void ExpectSame(const Result& a, const Result& b, const std::string& what) {
  EXPECT_TRUE(SameBytes(a.out, b.out)) << what;
  EXPECT_TRUE(SameBytes(a.log_sum_exp, b.log_sum_exp)) << what;
}

// Windows of one token, parts of a page, a page, several, and longer than the text.
const std::pair<int64_t, int32_t> kLengthsAndWindows[] = {{1, kWholeSequence},
                                                          {5, kWholeSequence},
                                                          {16, kWholeSequence},
                                                          {17, kWholeSequence},
                                                          {33, kWholeSequence},
                                                          {75, kWholeSequence},
                                                          {75, 1},
                                                          {75, 5},
                                                          {75, 16},
                                                          {75, 17},
                                                          {75, 33},
                                                          {75, 74},
                                                          {75, 75},
                                                          {33, 40}};

// Scores reach about 4 sqrt(head_dim) / 3; each is off by a few 1e-7 of that, and so are the weights, relatively.
TEST(Attention, MatchesTheFormulaOnEveryInstructionSet) {
  for (const Heads& h : kHeads) {
    for (const auto& [length, window] : kLengthsAndWindows) {
      const Sequence s(h, length, 1);
      const Result expected = Reference(h, s, Scale(h), window);
      Result first;
      for (const InstructionSet& set : InstructionSets()) {
        const OnInstructionSet on(set);
        const Result result = Prefill(h, s, length, 1, 3, window);
        EXPECT_TRUE(Close(result.out, expected.out, 3e-6)) << set.name << " length " << length << " window " << window;
        EXPECT_TRUE(Close(result.log_sum_exp, expected.log_sum_exp, 1e-6, 1)) << set.name;
        if (first.out.empty()) first = result;
        if (set.fused) ExpectSame(result, first, set.name);
      }
    }
  }
}

// Whole, in chunks, token by token; one thread and three; pages in another order: the same bits.
TEST(Attention, ChunksThreadsAndPagesChangeNothing) {
  for (const Heads& h : kHeads) {
    for (const auto& [length, window] : {std::pair{23, kWholeSequence}, {75, kWholeSequence}, {75, 1}, {75, 21}}) {
      const Sequence s(h, length, 5);
      for (const InstructionSet& set : InstructionSets()) {
        const OnInstructionSet on(set);
        const Result whole = Prefill(h, s, length, 1, 1, window);
        for (const int64_t chunk : {1, 2, 3, 7, 13, 16, 20, 64}) {
          ExpectSame(Prefill(h, s, chunk, chunk % 3 + 1, static_cast<uint32_t>(chunk), window), whole,
                     set.name + " chunks of " + std::to_string(chunk));
        }
      }
    }
  }
}

// A prompt's pages are shared by samples that go on separately; the page that the prompt fills in part is copied. All
// samples' rows go through in one call, shuffled; each must be what it is in a sequence of its own.
TEST(Attention, SharedPrefixAndAnyBatch) {
  for (const Heads& h : kHeads) {
    for (const auto& [prompt, window] :
         {std::pair{12, kWholeSequence}, {16, kWholeSequence}, {37, kWholeSequence}, {37, 19}}) {
      const int64_t samples = 19, length = prompt + 9;
      ThreadPool pool(2);
      Cache cache(h, 200, 7);
      const Sequence head(h, prompt, 100);
      const std::vector<int32_t> prompt_table = TakePages(cache, prompt);
      cache.Write(pool, head, prompt_table, 0, prompt);
      std::vector<Sequence> sequences;
      std::vector<std::vector<int32_t>> tables;
      for (int64_t i = 0; i < samples; ++i) {
        Sequence s(h, length, static_cast<uint32_t>(200 + 10 * i));
        std::copy(head.k.begin(), head.k.end(), s.k.begin());
        std::copy(head.v.begin(), head.v.end(), s.v.begin());
        std::vector<int32_t> table(prompt_table.begin(), prompt_table.begin() + prompt / kPageTokens);
        if (prompt % kPageTokens != 0) {
          table.push_back(cache.Take());
          CopyPage(cache.pages(), prompt_table.back(), table.back(), prompt % kPageTokens);
        }
        while (static_cast<int64_t>(table.size()) * kPageTokens < length) table.push_back(cache.Take());
        cache.Write(pool, s, table, prompt, length);
        sequences.push_back(std::move(s));
        tables.push_back(std::move(table));
      }
      std::vector<std::pair<int64_t, int64_t>> places;  // (sample, position)
      for (int64_t i = 0; i < samples * length; ++i) places.emplace_back(i / length, i % length);
      std::mt19937 random(9);
      for (const bool shuffled : {false, true}) {
        if (shuffled) std::shuffle(places.begin(), places.end(), random);
        Vector q;
        std::vector<AttentionRow> rows;
        for (const auto& [i, position] : places) {
          const auto from = sequences[i].q.begin() + position * h.q();
          q.insert(q.end(), from, from + h.q());
          rows.push_back({tables[i].data(), static_cast<int32_t>(position)});
        }
        Vector out(q.size());
        AttentionForward(pool, q.data(), rows.data(), static_cast<int64_t>(rows.size()), h.heads, Scale(h), window,
                         cache.pages(), out.data(), nullptr);
        std::vector<Result> alone;
        for (const Sequence& s : sequences) alone.push_back(Prefill(h, s, length, 1, 2, window));
        for (size_t r = 0; r < places.size(); ++r) {
          const auto& [i, position] = places[r];
          ASSERT_TRUE(SameBytes(Slice(out, r * h.q(), (r + 1) * h.q()),
                                Slice(alone[i].out, position * h.q(), (position + 1) * h.q())))
              << "sample " << i << " position " << position;
        }
      }
    }
  }
}

// The last token of a sequence alone and among 2 .. 257 others.
TEST(Attention, RowAloneIsTheRowAmongOthers) {
  const Heads h{4, 2, 24};
  const int64_t length = 300;
  const Sequence s(h, length, 50);
  ThreadPool pool(2);
  Cache cache(h, 30, 1);
  const std::vector<int32_t> table = TakePages(cache, length);
  cache.Write(pool, s, table, 0, length);
  const Result alone = Attend(pool, h, cache, s, table, length - 1, length);
  for (int64_t others = 1; others < 258; others += others < 20 ? 1 : 31) {
    const Result among = Attend(pool, h, cache, s, table, length - 1 - others, length);
    EXPECT_TRUE(SameBytes(Slice(among.out, others * h.q(), (others + 1) * h.q()), alone.out)) << others;
  }
}

// Sums that are -0 stay -0 whatever the batch: nothing is added for tokens past a row's own.
TEST(Attention, NothingPastThePosition) {
  const Heads h{1, 1, 8};
  Sequence s(h, 8, 60);
  std::fill(s.v.begin(), s.v.end(), -0.0f);
  Result one_by_one = Prefill(h, s, 1, 1, 1), whole = Prefill(h, s, 8, 1, 1);
  ExpectSame(one_by_one, whole, "negative zeros");
  s.v[7 * 8] = INFINITY;  // the last token's value
  EXPECT_TRUE(SameBytes(Slice(Prefill(h, s, 8, 1, 1).out, 0, 7 * 8), Slice(whole.out, 0, 7 * 8)));
}

// Keys and values before the window may be anything, and its pages anywhere: nothing of them reaches a row.
TEST(Attention, NothingBeforeTheWindow) {
  for (const Heads& h : kHeads) {
    const int32_t window = 21;
    const int64_t length = 75, first = length - window;  // of the last row: slot 6 of page 3
    Sequence s(h, length, 65);
    const Result expected = Prefill(h, s, length, 1, 1, window);
    std::fill(s.k.begin(), s.k.begin() + first * h.kv(), NAN);
    std::fill(s.v.begin(), s.v.begin() + first * h.kv(), INFINITY);
    ThreadPool pool(1);
    Cache cache(h, 9, 1);
    std::vector<int32_t> table = TakePages(cache, length);
    cache.Write(pool, s, table, 0, length);
    std::fill(table.begin(), table.begin() + first / kPageTokens, -1'000'000'000);  // freed
    const Result last = Attend(pool, h, cache, s, table, length - 1, length, window);
    EXPECT_TRUE(SameBytes(last.out, Slice(expected.out, (length - 1) * h.q(), length * h.q())));
    EXPECT_TRUE(SameBytes(last.log_sum_exp, Slice(expected.log_sum_exp, (length - 1) * h.heads, length * h.heads)));
  }
}

// The bits of a windowed row are those of a row whose sequence begins at a page's first token within the window.
TEST(Attention, WindowOfWholePagesIsAShorterSequence) {
  const Heads h{4, 2, 24};
  const int64_t length = 80, window = 48;
  const Sequence s(h, length, 66);
  Sequence tail(h, window, 66);
  std::copy(s.q.end() - window * h.q(), s.q.end(), tail.q.begin());
  std::copy(s.k.end() - window * h.kv(), s.k.end(), tail.k.begin());
  std::copy(s.v.end() - window * h.kv(), s.v.end(), tail.v.begin());
  const Result windowed = Prefill(h, s, 7, 1, 1, window), alone = Prefill(h, tail, window, 1, 1);
  EXPECT_TRUE(SameBytes(Slice(windowed.out, (length - 1) * h.q(), length * h.q()),
                        Slice(alone.out, (window - 1) * h.q(), window * h.q())));
}

TEST(Attention, NanShowsInRowsThatSeeIt) {
  const Heads h{2, 1, 16};
  Sequence s(h, 40, 70);
  s.k[20 * 16 + 3] = NAN;
  for (const InstructionSet& set : InstructionSets()) {
    const OnInstructionSet on(set);
    const Result result = Prefill(h, s, 40, 1, 1);
    for (int64_t i = 0; i < 40 * h.q(); ++i) EXPECT_EQ(std::isnan(result.out[i]), i / h.q() >= 20) << set.name;
  }
}

}  // namespace
}  // namespace hone::kernels
