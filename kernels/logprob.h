// The language-model head: log-probabilities of chosen tokens without ever holding [rows, vocabulary] in training, and
// token sampling. Both sides take the log-sum-exp of a row in one order: chunks of kVocabularyChunk logits ascending;
// within a chunk the maximum, then sum of exp(logit - maximum) over 16 lanes folded in a fixed tree; chunks are merged as
// (max, sum) pairs in ascending order. So the generator's and the trainer's log-probabilities are equal bit for bit.
#pragma once

#include <cstdint>

#include "kernels/gemm.h"
#include "kernels/thread_pool.h"

namespace hone::kernels {

inline constexpr int64_t kVocabularyChunk = 1024;

// hidden [rows, width], head packed [vocab, width] (gemm.h), targets [rows] ->
// logprob[r] = logit[r, target] - log_sum_exp[r]; entropy[r] = -sum_v p log p in nats (may be null); log_sum_exp [rows].
// Holds at most a few rows x kVocabularyChunk logits per thread.
void TokenLogprob(ThreadPool& pool, const float* hidden, PackedWeight head, const int32_t* targets, int64_t rows,
                  int64_t width, int64_t vocab, float* logprob, float* entropy, float* log_sum_exp);

// Gradients with respect to what TokenLogprob gives, [rows] each; null stands for zeros. d logprob / d logit[v] = [v = target] - p[v],
// d entropy / d logit[v] = -p[v] (log p[v] + entropy), d log_sum_exp / d logit[v] = p[v].
struct HeadGradients {
  const float* logprob;
  const float* entropy = nullptr;
  const float* log_sum_exp = nullptr;
};

// What TokenLogprob was given and gave; `entropy` is read only where it has a gradient.
struct HeadValues {
  const float* hidden;     // [rows, width]
  PackedWeight head;       // packed [vocab, width]
  const int32_t* targets;  // [rows]
  const float* log_sum_exp;
  const float* entropy = nullptr;
};

// -> dhidden [rows, width] (overwritten) and dhead (float32 in the packed layout, added to; null for a head that does not learn). Rows whose gradients are all 0 cost nothing and get
// dhidden 0. Deterministic for any number of threads.
void TokenLogprobBackward(ThreadPool& pool, const HeadValues& values, const HeadGradients& gradients, int64_t rows,
                          int64_t width, int64_t vocab, float* dhidden, float* dhead);

// How a token is drawn. Filters apply in the order top_k, top_p, min_p, all on the distribution at `temperature`, as in
// transformers. top_p counts the probabilities of what top_k left, renormalised. min_p is a share of the likeliest token's
// probability (https://arxiv.org/abs/2407.01082), which no filter drops, so against top_k its place makes no difference;
// vLLM puts it before top_p, which then counts what min_p left.
struct SamplingFilter {
  float temperature = 1;  // 0 takes the likeliest token (lowest id on ties)
  float top_p = 1;        // keep the smallest set of likeliest tokens whose probabilities reach top_p; 1 keeps all
  int32_t top_k = 0;      // keep the k likeliest (lowest ids first on ties); 0 keeps all
  float min_p = 0;        // keep tokens with at least this share of the likeliest's probability; 0 keeps all
};

// logits [rows, vocab] (row-major) -> token[r], and logprob[r] at temperature 1 without filters, the same bits as
// TokenLogprob gives. uniform[r] in (0, 1) draws by inverting the cumulative distribution in ascending token order.
void SampleTokens(ThreadPool& pool, const float* logits, int64_t rows, int64_t vocab, const SamplingFilter* filters,
                  const double* uniform, int32_t* token, float* logprob);

}  // namespace hone::kernels
