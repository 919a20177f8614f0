// Sampling inverts the cumulative distribution: the token drawn is the first, in ascending order, whose cumulative weight
// exceeds uniform times the total, in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/log_sum_exp.h"
#include "kernels/logprob.h"

namespace hone::kernels {
namespace {

struct Row {
  const float* logits;
  int64_t vocab;
  std::vector<ChunkSum> chunks;
  LogSumExp total;
  std::vector<float> weights;  // scratch
};

void Summarize(const float* logits, int64_t vocab, Row& row) {
  row.logits = logits;
  row.vocab = vocab;
  row.chunks.clear();
  row.total = LogSumExp();
  for (int64_t first = 0; first < vocab; first += kVocabularyChunk) {
    row.chunks.push_back(SumOfChunk(logits + first, std::min(kVocabularyChunk, vocab - first)));
    row.total.Add(row.chunks.back());
  }
}

// The likeliest token, the lowest id on ties.
int32_t Likeliest(const Row& row) {
  const float* found = std::find(row.logits, row.logits + row.vocab, row.total.largest());
  return found == row.logits + row.vocab ? 0 : static_cast<int32_t>(found - row.logits);
}

// First index whose cumulative weight exceeds goal. Where rounding leaves none, the last with any weight.
int64_t Invert(const float* weights, int64_t count, double goal) {
  double reached = 0;
  int64_t last = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (weights[i] <= 0) continue;
    reached += weights[i];
    last = i;
    if (reached > goal) break;
  }
  return last;
}

// Temperature 1, no filters: finds the chunk by the chunks' sums, then the token in it.
int32_t DrawPlain(Row& row, double uniform) {
  std::vector<ChunkSum>& chunks = row.chunks;
  const auto weight = [&](size_t i) {
    return chunks[i].sum == 0 ? 0
                              : chunks[i].sum * std::exp(static_cast<double>(chunks[i].largest) - row.total.largest());
  };
  double total = 0;
  for (size_t i = 0; i < chunks.size(); ++i) total += weight(i);
  double goal = uniform * total;
  size_t chunk = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (weight(i) <= 0) continue;
    if (chunk != i) {
      goal -= weight(chunk);
      chunk = i;
    }
    if (goal < weight(i)) break;
  }
  const int64_t first = static_cast<int64_t>(chunk) * kVocabularyChunk,
                count = std::min(kVocabularyChunk, row.vocab - first);
  row.weights.resize(kVocabularyChunk);
  WeightsAtTemperature(row.logits + first, count, chunks[chunk].largest, 1, row.weights.data());
  const double scale = std::exp(static_cast<double>(chunks[chunk].largest) - row.total.largest());
  return static_cast<int32_t>(first + Invert(row.weights.data(), count, goal / scale));
}

// How many of `order`'s tokens (the candidates, any order) reach top_p of their total; these come first, likeliest first.
template <class Likelier>
size_t ReachTopP(float top_p, const std::vector<float>& weights, const Likelier& likelier,
                 std::vector<int32_t>& order) {
  double total = 0, reached = 0;
  for (const int32_t token : order) total += weights[token];
  const double goal = static_cast<double>(top_p) * total;
  // Mostly a few tokens suffice: sorts no more than needed.
  size_t step = 64;
  for (size_t sorted = 0; sorted < order.size();) {
    const size_t end = std::min(order.size(), sorted + step);
    std::nth_element(order.begin() + sorted, order.begin() + (end - 1), order.end(), likelier);
    std::sort(order.begin() + sorted, order.begin() + end, likelier);
    for (; sorted < end; ++sorted) {
      reached += weights[order[sorted]];
      if (reached >= goal) return sorted + 1;
    }
    step *= 4;
  }
  return order.size();
}

// Sets the weights of the tokens that top_k and top_p drop to 0.
void FilterByRank(const Row& row, const SamplingFilter& filter, std::vector<float>& weights) {
  const bool limited = filter.top_k > 0 && filter.top_k < row.vocab;
  if (!limited && filter.top_p >= 1) return;
  const auto likelier = [&](int32_t a, int32_t b) {
    return row.logits[a] > row.logits[b] || (row.logits[a] == row.logits[b] && a < b);
  };
  std::vector<int32_t> order(row.vocab);
  std::iota(order.begin(), order.end(), 0);
  if (limited) {
    std::nth_element(order.begin(), order.begin() + (filter.top_k - 1), order.end(), likelier);
    order.resize(filter.top_k);
    std::sort(order.begin(), order.end());
  }
  if (filter.top_p < 1) order.resize(ReachTopP(filter.top_p, weights, likelier, order));
  std::vector<float> kept(row.vocab, 0.0f);
  for (const int32_t token : order) kept[token] = weights[token];
  weights.swap(kept);
}

// The likeliest token's weight is exp(0), exactly 1, so that a weight is the share that min_p asks for.
void FilterByShare(float min_p, std::vector<float>& weights) {
  if (min_p <= 0) return;
  for (float& weight : weights) weight = weight < min_p ? 0 : weight;
}

int32_t Draw(Row& row, const SamplingFilter& filter, double uniform) {
  // Not a distribution (a NaN, or nothing but -infinity): no draw means anything.
  if (filter.temperature <= 0 || !(row.total.sum() > 0)) return Likeliest(row);
  if (filter.temperature == 1 && filter.top_k == 0 && filter.top_p >= 1 && filter.min_p <= 0)
    return DrawPlain(row, uniform);
  row.weights.resize(row.vocab);
  WeightsAtTemperature(row.logits, row.vocab, row.total.largest(), filter.temperature, row.weights.data());
  FilterByRank(row, filter, row.weights);
  FilterByShare(filter.min_p, row.weights);
  const double total = std::accumulate(row.weights.begin(), row.weights.end(), 0.0);
  return static_cast<int32_t>(Invert(row.weights.data(), row.vocab, uniform * total));
}

}  // namespace

void SampleTokens(ThreadPool& pool, const float* logits, int64_t rows, int64_t vocab, const SamplingFilter* filters,
                  const double* uniform, int32_t* token, float* logprob) {
  // Some microseconds a task.
  const int64_t task_rows = std::max<int64_t>(1, 8192 / (vocab + 64));
  pool.Run((rows + task_rows - 1) / task_rows, [&](int64_t task) {
    Row row;
    for (int64_t r = task * task_rows; r < std::min(rows, (task + 1) * task_rows); ++r) {
      Summarize(logits + r * vocab, vocab, row);
      token[r] = Draw(row, filters[r], uniform[r]);
      logprob[r] = row.logits[token[r]] - row.total.value();
    }
  });
}

}  // namespace hone::kernels
