#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/log_sum_exp.h"
#include "kernels/logprob.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/logprob_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

ChunkSum SumChunk(const float* logits, int64_t count) {
  const float largest = MaxOf(logits, count);
  if (largest == -kInfinity) return {largest, 0};
  return {largest, SumLanes(count, [=](auto d, int64_t i, auto sum) HWY_ATTR {
            return hn::Add(sum, Exp(d, hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, largest))));
          })};
}

// sum of exp(x) x, x = logit - largest; what a logit of -infinity adds is 0.
float MomentOfChunk(const float* logits, int64_t count, float largest) {
  return SumLanes(count, [=](auto d, int64_t i, auto sum) HWY_ATTR {
    const auto x = hn::Max(hn::Set(d, -1e4f), hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, largest)));
    return hn::MulAdd(Exp(d, x), x, sum);
  });
}

// out[i] = exp((logits[i] - shift) / temperature).
void Weights(const float* logits, int64_t count, float shift, float temperature, float* out) {
  ForEach(count, [=](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, shift));
    hn::StoreU(Exp(d, hn::Div(x, hn::Set(d, temperature))), d, out + i);
  });
}

// logits[i] -> p (weight - dentropy (log p + entropy)), p = exp(logits[i] - log_sum_exp).
void LogitGradients(float* logits, int64_t count, float log_sum_exp, float weight, float dentropy, float entropy) {
  if (dentropy == 0) {
    ForEach(count, [=](auto d, int64_t i) HWY_ATTR {
      const auto p = Exp(d, hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, log_sum_exp)));
      hn::StoreU(hn::Mul(p, hn::Set(d, weight)), d, logits + i);
    });
    return;
  }
  ForEach(count, [=](auto d, int64_t i) HWY_ATTR {
    // A probability of 0 adds 0, whatever its logarithm.
    const auto x = hn::Max(hn::Set(d, -1e4f), hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, log_sum_exp)));
    const auto slope = hn::NegMulAdd(hn::Set(d, dentropy), hn::Add(x, hn::Set(d, entropy)), hn::Set(d, weight));
    hn::StoreU(hn::Mul(Exp(d, x), slope), d, logits + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(SumChunk);
HWY_EXPORT(MomentOfChunk);
HWY_EXPORT(Weights);
HWY_EXPORT(LogitGradients);

ChunkSum SumOfChunk(const float* logits, int64_t count) { return HWY_DYNAMIC_DISPATCH(SumChunk)(logits, count); }

void WeightsAtTemperature(const float* logits, int64_t count, float shift, float temperature, float* weights) {
  HWY_DYNAMIC_DISPATCH(Weights)(logits, count, shift, temperature, weights);
}

void LogSumExp::Add(const ChunkSum& chunk) {
  if (chunk.sum == 0) return;
  if (chunk.largest > largest_) {
    sum_ = sum_ * std::exp(static_cast<double>(largest_) - chunk.largest) + chunk.sum;
    largest_ = chunk.largest;
  } else {
    sum_ += chunk.sum * std::exp(static_cast<double>(chunk.largest) - largest_);
  }
}

float LogSumExp::value() const { return static_cast<float>(largest_ + std::log(sum_)); }

namespace {

// What one chunk says about one row.
struct RowChunk {
  ChunkSum sum;
  float moment;
};

struct HeadCall {
  const float* hidden;
  PackedWeight head;
  const int32_t* targets;
  int64_t rows, width, vocab;
  bool entropy;

  int64_t chunks() const { return (vocab + kVocabularyChunk - 1) / kVocabularyChunk; }
  int64_t ChunkWidth(int64_t chunk) const { return std::min(kVocabularyChunk, vocab - chunk * kVocabularyChunk); }
};

// Logits of a strip of rows and one chunk, on the caller's thread -> sums [rows, chunks], target_logit where it lies here.
void SumStrip(const HeadCall& call, int64_t begin, int64_t end, int64_t chunk, float* logits, RowChunk* sums,
              float* target_logit) {
  ThreadPool serial(1);
  const int64_t width = call.ChunkWidth(chunk), first = chunk * kVocabularyChunk;
  Gemm(serial, {call.hidden + begin * call.width, call.width, 1}, end - begin, call.width,
       call.head.At(first * call.width), width, {logits, width, kPanel}, Accumulate::kNo);
  for (int64_t row = begin; row < end; ++row, logits += width) {
    RowChunk& sum = sums[row * call.chunks() + chunk];
    sum.sum = SumOfChunk(logits, width);
    sum.moment = call.entropy ? HWY_DYNAMIC_DISPATCH(MomentOfChunk)(logits, width, sum.sum.largest) : 0;
    const int64_t target = call.targets[row] - first;
    if (target >= 0 && target < width) target_logit[row] = logits[target];
  }
}

// -sum p log p = log sum - sum over chunks of exp(x) x / sum, x = logit - largest of all.
float Entropy(const RowChunk* chunks, int64_t count, const LogSumExp& total) {
  double moment = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (chunks[i].sum.sum == 0) continue;
    const double shift = static_cast<double>(chunks[i].sum.largest) - total.largest();
    moment += std::exp(shift) * (chunks[i].moment + shift * chunks[i].sum.sum);
  }
  return static_cast<float>(std::log(total.sum()) - moment / total.sum());
}

}  // namespace

void TokenLogprob(ThreadPool& pool, const float* hidden, PackedWeight head, const int32_t* targets, int64_t rows,
                  int64_t width, int64_t vocab, float* logprob, float* entropy, float* log_sum_exp) {
  const HeadCall call{hidden, head, targets, rows, width, vocab, entropy != nullptr};
  const int64_t chunks = call.chunks(), chunk_width = std::min(vocab, kVocabularyChunk);
  // 48 rows with a whole chunk are 192 KiB; a small vocabulary takes more rows at a time.
  const int64_t strip = std::clamp<int64_t>(48 * kVocabularyChunk / chunk_width, 48, 480);
  const int64_t strips = (rows + strip - 1) / strip;
  // Few rows share the work by chunks.
  const int64_t groups = std::min<int64_t>(chunks, strips >= 4 * pool.threads() ? 1 : 4 * pool.threads());
  std::vector<RowChunk> sums(rows * chunks);
  std::vector<float> target_logit(rows);
  pool.Run(strips * groups, [&](int64_t task) {
    const int64_t begin = task / groups * strip, end = std::min(rows, begin + strip), group = task % groups;
    std::vector<float> logits((end - begin) * chunk_width);
    for (int64_t chunk = group * chunks / groups; chunk < (group + 1) * chunks / groups; ++chunk) {
      SumStrip(call, begin, end, chunk, logits.data(), sums.data(), target_logit.data());
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    LogSumExp total;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) total.Add(sums[row * chunks + chunk].sum);
    log_sum_exp[row] = total.value();
    logprob[row] = target_logit[row] - log_sum_exp[row];
    if (entropy != nullptr) entropy[row] = Entropy(sums.data() + row * chunks, chunks, total);
  }
}

namespace {

constexpr int64_t kTaskRows = 64;

// f(row) for 0 .. rows-1 on all threads.
template <class F>
void ForRows(ThreadPool& pool, int64_t rows, const F& f) {
  pool.Run((rows + kTaskRows - 1) / kTaskRows, [&](int64_t task) {
    for (int64_t row = task * kTaskRows; row < std::min(rows, (task + 1) * kTaskRows); ++row) f(row);
  });
}

// One block of rows that have a gradient, gathered.
struct BackwardBlock {
  std::vector<float> hidden, dhidden;  // [rows, width]
  std::vector<float> dlogits;          // [rows, chunk]
  std::vector<float> panels, turned;   // dlogits^T and the head's chunk^T, packed
};

}  // namespace

// Chunk by chunk of the vocabulary with the logits computed again.
void TokenLogprobBackward(ThreadPool& pool, const HeadValues& values, const HeadGradients& gradients, int64_t rows,
                          int64_t width, int64_t vocab, float* dhidden, float* dhead) {
  const auto at = [](const float* gradient, int64_t row) { return gradient == nullptr ? 0.0f : gradient[row]; };
  std::vector<int32_t> live;
  for (int64_t row = 0; row < rows; ++row) {
    if (at(gradients.logprob, row) != 0 || at(gradients.entropy, row) != 0 || at(gradients.log_sum_exp, row) != 0)
      live.push_back(static_cast<int32_t>(row));
  }
  std::fill(dhidden, dhidden + rows * width, 0.0f);
  const int64_t chunk_width = std::min(vocab, kVocabularyChunk);
  const int64_t block_rows = std::clamp<int64_t>((1 << 20) / chunk_width, 1, 8192);  // 4 MiB of logits
  BackwardBlock b;
  for (int64_t begin = 0; begin < static_cast<int64_t>(live.size()); begin += block_rows) {
    const int64_t count = std::min(block_rows, static_cast<int64_t>(live.size()) - begin);
    const int32_t* block = live.data() + begin;
    b.hidden.resize(count * width);
    b.dhidden.resize(count * width);
    b.dlogits.resize(count * chunk_width);
    b.panels.resize(dhead == nullptr ? 0 : PackedSize(chunk_width, count));
    b.turned.resize(PackedSize(width, chunk_width));
    ForRows(pool, count,
            [&](int64_t i) { std::copy_n(values.hidden + block[i] * width, width, b.hidden.data() + i * width); });
    for (int64_t first = 0; first < vocab; first += kVocabularyChunk) {
      const int64_t size = std::min(kVocabularyChunk, vocab - first);
      const PackedWeight head_chunk = values.head.At(first * width);  // whole panels
      Gemm(pool, {b.hidden.data(), width, 1}, count, width, head_chunk, size, {b.dlogits.data(), size, kPanel},
           Accumulate::kNo);
      ForRows(pool, count, [&](int64_t i) {
        const int32_t row = block[i];
        const float dlogprob = at(gradients.logprob, row);
        HWY_DYNAMIC_DISPATCH(LogitGradients)
        (b.dlogits.data() + i * size, size, values.log_sum_exp[row], at(gradients.log_sum_exp, row) - dlogprob,
         at(gradients.entropy, row), at(values.entropy, row));
        const int64_t target = values.targets[row] - first;
        if (target >= 0 && target < size) b.dlogits[i * size + target] += dlogprob;
      });
      TransposePacked(pool, head_chunk, size, width, b.turned.data());
      Gemm(pool, {b.dlogits.data(), size, 1}, count, size, {b.turned.data(), head_chunk.type}, width,
           {b.dhidden.data(), width, kPanel}, first == 0 ? Accumulate::kNo : Accumulate::kYes);
      if (dhead == nullptr) continue;
      Pack(pool, {b.dlogits.data(), 1, size}, size, count, b.panels.data());
      Gemm(pool, {b.hidden.data(), 1, width}, width, count, b.panels.data(), size,
           {dhead + first * width, kPanel, width * kPanel}, Accumulate::kYes);
    }
    ForRows(pool, count,
            [&](int64_t i) { std::copy_n(b.dhidden.data() + i * width, width, dhidden + block[i] * width); });
  }
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
