#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/logprob_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/logprob.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {

constexpr int64_t kWideLanes = static_cast<int64_t>(kLanes);

HWY_INLINE Wide Fill(const float* from, int64_t count, float padding) {
  if (count >= kWideLanes) return WideLoad(from);
  float lanes[kLanes];
  std::copy_n(from, count, lanes);
  std::fill(lanes + count, lanes + kLanes, padding);
  return WideLoad(lanes);
}

// Largest of a chunk of logits, and the sum of exp(logit - largest) over 16 lanes.
HWY_ATTR void ChunkMaxSum(const float* logits, int64_t count, float* largest, float* sum) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Wide maximum = WideSet(kLowest);
  for (int64_t i = 0; i < count; i += kWideLanes) maximum = WideMax(maximum, Fill(logits + i, count - i, kLowest));
  *largest = WideMaximum(maximum);
  const V top = hn::Set(D(), *largest);
  Wide total = WideSet(0);
  for (int64_t i = 0; i < count; i += kWideLanes) {
    Wide part = Fill(logits + i, count - i, kLowest);
    for (size_t v = 0; v < kVectors; ++v) {
      const V shifted = hn::Sub(part.part[v], top);
      // -inf (padding) gives exactly 0 whatever the polynomial makes of it.
      part.part[v] = hn::IfThenZeroElse(hn::Lt(shifted, hn::Set(D(), -1e30f)), hn::Exp(D(), shifted));
    }
    total = WideAdd(total, part);
  }
  *sum = WideSum(total);
}

// out[i] = exp(logits[i] - shift) * scale; the gradient of the log-sum-exp, and the terms of the entropy.
HWY_ATTR void ScaledExp(const float* logits, int64_t count, float shift, float scale, float* out) {
  const V offset = hn::Set(D(), shift), factor = hn::Set(D(), scale);
  ForEachVector(0, count, [&](int64_t i, size_t lanes) HWY_ATTR {
    StoreFirst(hn::Mul(hn::Exp(D(), hn::Sub(LoadFirst(logits + i, lanes), offset)), factor), out + i, lanes);
  });
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {
namespace {

HWY_EXPORT(ChunkMaxSum);
HWY_EXPORT(ScaledExp);

// Rows whose logits are held at once: rows x kVocabularyChunk floats.
constexpr int64_t kBlockRows = 240;

// Running log-sum-exp over chunks in ascending order: the one definition that generator and trainer share.
class LogSumExp {
 public:
  void Add(const float* logits, int64_t count) {
    float largest, sum;
    HWY_DYNAMIC_DISPATCH(ChunkMaxSum)(logits, count, &largest, &sum);
    if (largest <= largest_) {
      sum_ += sum * std::exp(largest - largest_);
    } else {
      sum_ = sum_ * std::exp(largest_ - largest) + sum;
      largest_ = largest;
    }
  }
  float value() const { return largest_ + std::log(sum_); }

 private:
  float largest_ = -std::numeric_limits<float>::infinity();
  float sum_ = 0;
};

float RowLogSumExp(const float* logits, int64_t vocab) {
  LogSumExp total;
  for (int64_t begin = 0; begin < vocab; begin += kVocabularyChunk) total.Add(logits + begin, std::min(kVocabularyChunk, vocab - begin));
  return total.value();
}

// sum over v of p log p of one chunk, p = exp(logit - log_sum_exp), in double.
double NegativeEntropy(const float* logits, int64_t count, float log_sum_exp, std::vector<float>& scratch) {
  HWY_DYNAMIC_DISPATCH(ScaledExp)(logits, count, log_sum_exp, 1.0f, scratch.data());
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{scratch[static_cast<size_t>(i)]} * (double{logits[i]} - double{log_sum_exp});
  return sum;
}

// Logits of rows begin .. end for one chunk of the vocabulary -> chunk [rows, kVocabularyChunk].
void ChunkLogits(ThreadPool& pool, const float* hidden, const float* head, int64_t rows, int64_t width, int64_t first,
                 int64_t count, float* chunk) {
  Gemm(pool, {hidden, width, 1}, rows, width, head + first / kPanel * kPanel * width, count, {chunk, kVocabularyChunk, kPanel},
       Accumulate::kNo);
}

// Runs body(row) for rows 0 .. rows-1 on all threads, a few at a time.
template <typename Body>
void ForEachRow(ThreadPool& pool, int64_t rows, const Body& body) {
  constexpr int64_t kTaskRows = 8;
  pool.Run((rows + kTaskRows - 1) / kTaskRows, [&](int64_t task) {
    for (int64_t row = task * kTaskRows; row < std::min(rows, (task + 1) * kTaskRows); ++row) body(row);
  });
}

}  // namespace

void TokenLogprob(ThreadPool& pool, const float* hidden, const float* head, const int32_t* targets, int64_t rows,
                  int64_t width, int64_t vocab, float* logprob, float* entropy, float* log_sum_exp) {
  std::vector<float> chunk(static_cast<size_t>(std::min(kBlockRows, rows) * kVocabularyChunk));
  for (int64_t begin = 0; begin < rows; begin += kBlockRows) {
    const int64_t count = std::min(kBlockRows, rows - begin);
    std::vector<LogSumExp> totals(static_cast<size_t>(count));
    std::vector<float> target_logit(static_cast<size_t>(count));
    for (int64_t first = 0; first < vocab; first += kVocabularyChunk) {
      const int64_t size = std::min(kVocabularyChunk, vocab - first);
      ChunkLogits(pool, hidden + begin * width, head, count, width, first, size, chunk.data());
      ForEachRow(pool, count, [&](int64_t row) {
        const float* logits = chunk.data() + row * kVocabularyChunk;
        totals[static_cast<size_t>(row)].Add(logits, size);
        const int64_t target = targets[begin + row] - first;
        if (target >= 0 && target < size) target_logit[static_cast<size_t>(row)] = logits[target];
      });
    }
    for (int64_t row = 0; row < count; ++row) {
      const float total = totals[static_cast<size_t>(row)].value();
      log_sum_exp[begin + row] = total;
      logprob[begin + row] = target_logit[static_cast<size_t>(row)] - total;
    }
    if (entropy == nullptr) continue;
    // The terms need the whole sum first, so all but a one-chunk vocabulary computes its logits again.
    std::vector<double> sums(static_cast<size_t>(count));
    for (int64_t first = 0; first < vocab; first += kVocabularyChunk) {
      const int64_t size = std::min(kVocabularyChunk, vocab - first);
      if (vocab > kVocabularyChunk) ChunkLogits(pool, hidden + begin * width, head, count, width, first, size, chunk.data());
      ForEachRow(pool, count, [&](int64_t row) {
        std::vector<float> scratch(static_cast<size_t>(size));
        sums[static_cast<size_t>(row)] += NegativeEntropy(chunk.data() + row * kVocabularyChunk, size, log_sum_exp[begin + row], scratch);
      });
    }
    for (int64_t row = 0; row < count; ++row) entropy[begin + row] = static_cast<float>(-sums[static_cast<size_t>(row)]);
  }
}

// d logprob / d logit[v] = [v = target] - p[v].
void TokenLogprobBackward(ThreadPool& pool, const float* hidden, const float* head, const int32_t* targets,
                          const float* log_sum_exp, const float* dlogprob, int64_t rows, int64_t width, int64_t vocab,
                          float* dhidden, float* dhead) {
  std::fill(dhidden, dhidden + rows * width, 0.0f);
  std::vector<int64_t> live;  // rows with a gradient
  for (int64_t row = 0; row < rows; ++row) {
    if (dlogprob[row] != 0) live.push_back(row);
  }
  const auto total = static_cast<int64_t>(live.size());
  const int64_t block = std::min(kBlockRows, total);
  std::vector<float> chunk(static_cast<size_t>(block * kVocabularyChunk)), inputs(static_cast<size_t>(block * width)),
      outputs(static_cast<size_t>(block * width));
  std::vector<float> panels(static_cast<size_t>(PackedSize(kVocabularyChunk, block))), plain, turned;
  for (int64_t begin = 0; begin < total; begin += kBlockRows) {
    const int64_t count = std::min(kBlockRows, total - begin);
    for (int64_t i = 0; i < count; ++i) std::copy_n(hidden + live[static_cast<size_t>(begin + i)] * width, width, inputs.data() + i * width);
    for (int64_t first = 0; first < vocab; first += kVocabularyChunk) {
      const int64_t size = std::min(kVocabularyChunk, vocab - first);
      const float* head_chunk = head + first * width;  // chunks are whole panels
      ChunkLogits(pool, inputs.data(), head, count, width, first, size, chunk.data());
      ForEachRow(pool, count, [&](int64_t i) {
        const int64_t row = live[static_cast<size_t>(begin + i)];
        float* logits = chunk.data() + i * kVocabularyChunk;
        HWY_DYNAMIC_DISPATCH(ScaledExp)(logits, size, log_sum_exp[row], -dlogprob[row], logits);
        const int64_t target = targets[row] - first;
        if (target >= 0 && target < size) logits[target] += dlogprob[row];
      });
      // dhidden += dlogits * head: the head's chunk packed with width as the output.
      plain.resize(static_cast<size_t>(size * width));
      turned.resize(static_cast<size_t>(PackedSize(width, size)));
      Unpack(head_chunk, size, width, plain.data());
      Pack(pool, {plain.data(), 1, width}, width, size, turned.data());
      Gemm(pool, {chunk.data(), kVocabularyChunk, 1}, count, size, turned.data(), width, {outputs.data(), width, kPanel},
           first == 0 ? Accumulate::kNo : Accumulate::kYes);
      // dhead += hidden^T * dlogits, in the head's own layout.
      Pack(pool, {chunk.data(), 1, kVocabularyChunk}, size, count, panels.data());
      Gemm(pool, {inputs.data(), 1, width}, width, count, panels.data(), size, {dhead + first * width, kPanel, width * kPanel},
           Accumulate::kYes);
    }
    for (int64_t i = 0; i < count; ++i) std::copy_n(outputs.data() + i * width, width, dhidden + live[static_cast<size_t>(begin + i)] * width);
  }
}

namespace {

// The likeliest token, the lowest id on ties.
int32_t Likeliest(const float* logits, int64_t vocab) {
  return static_cast<int32_t>(std::max_element(logits, logits + vocab) - logits);
}

// Zeroes the weights that the filters drop: all but the top_k, then all but the smallest set that reaches top_p.
void ApplyFilters(const SamplingFilter& filter, std::vector<double>& weights) {
  const bool limit = filter.top_k > 0 && filter.top_k < static_cast<int32_t>(weights.size());
  if (!limit && filter.top_p >= 1) return;
  std::vector<int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return weights[static_cast<size_t>(a)] > weights[static_cast<size_t>(b)]; });
  size_t kept = limit ? static_cast<size_t>(filter.top_k) : order.size();
  if (filter.top_p < 1) {
    double total = 0, reached = 0;
    for (size_t i = 0; i < kept; ++i) total += weights[static_cast<size_t>(order[i])];
    for (size_t i = 0; i < kept; ++i) {
      reached += weights[static_cast<size_t>(order[i])];
      if (reached >= double{filter.top_p} * total) kept = i + 1;
    }
  }
  for (size_t i = kept; i < order.size(); ++i) weights[static_cast<size_t>(order[i])] = 0;
}

int32_t Draw(const float* logits, int64_t vocab, const SamplingFilter& filter, double uniform) {
  if (filter.temperature <= 0) return Likeliest(logits, vocab);
  const float largest = *std::max_element(logits, logits + vocab);
  std::vector<float> scaled(static_cast<size_t>(vocab));
  std::vector<double> weights(static_cast<size_t>(vocab));
  for (int64_t v = 0; v < vocab; ++v) scaled[static_cast<size_t>(v)] = (logits[v] - largest) / filter.temperature;
  HWY_DYNAMIC_DISPATCH(ScaledExp)(scaled.data(), vocab, 0.0f, 1.0f, scaled.data());
  std::copy(scaled.begin(), scaled.end(), weights.begin());
  ApplyFilters(filter, weights);
  const double goal = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  double reached = 0;
  int32_t last = 0;
  for (int64_t v = 0; v < vocab; ++v) {
    if (weights[static_cast<size_t>(v)] <= 0) continue;
    reached += weights[static_cast<size_t>(v)];
    last = static_cast<int32_t>(v);
    if (reached > goal) break;
  }
  return last;
}

}  // namespace

void SampleTokens(ThreadPool& pool, const float* logits, int64_t rows, int64_t vocab, const SamplingFilter* filters,
                  const double* uniform, int32_t* token, float* logprob) {
  ForEachRow(pool, rows, [&](int64_t row) {
    const float* line = logits + row * vocab;
    token[row] = Draw(line, vocab, filters[row], uniform[row]);
    logprob[row] = line[token[row]] - RowLogSumExp(line, vocab);
  });
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
