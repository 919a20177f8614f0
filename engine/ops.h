// The operators of a model's forward pass: the kernels of kernels/ with gradients. Generator and trainer call the same
// functions; a gradient is recorded only while autograd is on. All tensors are float32 and contiguous.
// A tensor argument named `packed` holds a weight in the layout of kernels/gemm.h, float32 or bfloat16; its gradient is float32. The thread pool, and every pointer
// inside a Rows argument, must outlive the backward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/base/tensor_fwd.h"
#include "engine/base/types.h"
#include "kernels/attention.h"
#include "kernels/thread_pool.h"

namespace hone::ops {

// Threads work inside our kernels. What is left to ATen is small, and its serial sums have one order. Once per process.
void UseOneTensorThread();

// table packed [vocab, width], tokens [rows] -> [rows, width].
Tensor Embedding(ThreadPool& pool, const Tensor& packed, int64_t width, const std::vector<TokenId>& tokens);

// x [rows, k], weight packed [n, k] -> [rows, n].
Tensor Linear(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n);

// What is added to a weight: scale B A, a packed [rank, k], b packed [n, rank].
struct LowRank {
  const Tensor* a;
  const Tensor* b;
  int64_t rank;
  float scale;
};

// x [rows, k], weight packed [n, k] -> x W^T + scale x A^T B^T [rows, n].
Tensor AdaptedLinear(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n, const LowRank& low_rank);

// A part of the forward pass from x on. What it refers to outlives the backward pass.
using Step = std::function<Tensor(const Tensor& x)>;

// step(x), of which only x is kept for the backward pass, which computes the step again, to the same bits.
Tensor Recompute(const Tensor& x, const Step& step);

// x [rows, n] + bias [n] -> [rows, n].
Tensor AddBias(ThreadPool& pool, const Tensor& x, const Tensor& bias);

// x [rows, k * width], weight [width] -> same shape: each of a row's k parts is normalised by itself.
Tensor RmsNorm(ThreadPool& pool, const Tensor& x, const Tensor& weight, float epsilon);

// x [rows, heads * head_dim], cosine and sine of each row's angles [rows, head_dim / 2] -> same shape, rotated.
Tensor Rope(ThreadPool& pool, const Tensor& x, const Tensor& cosine, const Tensor& sine, int64_t head_dim);

// gate, up [rows, width] -> silu(gate) * up.
Tensor SwiGlu(ThreadPool& pool, const Tensor& gate, const Tensor& up);

// a + b, same shapes.
Tensor Add(ThreadPool& pool, const Tensor& a, const Tensor& b);

// What attention needs to know of the rows (kernels/attention.h). `segments` is filled where a gradient is wanted.
struct AttentionRows {
  std::vector<kernels::KvWrite> writes;
  std::vector<kernels::AttentionRow> rows;
  std::vector<kernels::AttentionSegment> segments;
};

// Writes k and v [rows, kv_heads * head_dim] to the pages, then attends: q [rows, heads * head_dim] -> same shape.
// `window` is kernels::kWholeSequence or the size of a sliding window.
Tensor Attention(ThreadPool& pool, const Tensor& q, const Tensor& k, const Tensor& v, const AttentionRows& rows,
                 int64_t heads, int32_t window, const kernels::KvPages& pages);

// x [rows, width] -> x[indices] [indices, width]; a row may be taken several times.
Tensor SelectRows(const Tensor& x, const std::vector<int64_t>& indices);

// hidden [rows, width], head packed [vocab, width] -> logits [rows, vocab]; no gradient.
Tensor Logits(ThreadPool& pool, const Tensor& hidden, const Tensor& packed, int64_t vocab);

// hidden [rows, width], head packed [vocab, width], targets [rows] -> log-probability of each target, the entropy of each row's
// distribution and the log-sum-exp of its logits, [rows] each, in nats; all have a gradient. logprob + log_sum_exp is the target's logit.
Tensor TokenLogprob(ThreadPool& pool, const Tensor& hidden, const Tensor& packed, int64_t vocab,
                    const std::vector<TokenId>& targets, Tensor& entropy, Tensor& log_sum_exp);

}  // namespace hone::ops
