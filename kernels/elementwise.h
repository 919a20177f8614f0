// RMS norm, rotary embedding, SwiGLU, embedding look-up and their gradients; row-wise kernels without interaction
// between rows. All matrices are row-major float32. Sums over a row use 16 lanes folded in a fixed order, so they are the
// same for every vector width. Gradients may overwrite (`=`) their outputs unless a name says Accumulate.
#pragma once

#include <cstdint>

#include "kernels/gemm.h"
#include "kernels/thread_pool.h"

namespace hone::kernels {

// Root mean square layer normalisation, https://arxiv.org/abs/1910.07467.
// y[r, i] = x[r, i] * inverse_rms[r] * weight[i], inverse_rms[r] = 1 / sqrt(mean_i x[r, i]^2 + epsilon).
// inverse_rms [rows] may be null.
void RmsNorm(ThreadPool& pool, const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
             float* y, float* inverse_rms);
// dx [rows, width] and dweight [width] from dy. dweight sums rows in ascending order.
void RmsNormBackward(ThreadPool& pool, const float* x, const float* weight, const float* inverse_rms, const float* dy,
                     int64_t rows, int64_t width, float* dx, float* dweight);

// Rotary position embedding, https://arxiv.org/abs/2104.09864, in the "rotate half" form of Hugging Face's Llama:
// with h = head_dim / 2, y[i] = x[i] cos[p, i] - x[i + h] sin[p, i] and y[i + h] = x[i + h] cos[p, i] + x[i] sin[p, i].
// p is the row. x, y [rows, heads, head_dim]; may be the same. cosine, sine [rows, head_dim / 2].
enum class RopeDirection { kForward, kBackward };  // backward rotates by the negative angle: the gradient
void Rope(ThreadPool& pool, const float* x, const float* cosine, const float* sine, int64_t rows, int64_t heads,
          int64_t head_dim, RopeDirection direction, float* y);

// y = silu(gate) * up, silu(g) = g / (1 + exp(-g)); count elements. https://arxiv.org/abs/2002.05202
void SwiGlu(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y);
void SwiGluBackward(ThreadPool& pool, const float* gate, const float* up, const float* dy, int64_t count, float* dgate,
                    float* dup);

// y = a + b.
void Add(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y);

// y[r, i] = x[r, i] + bias[i]; x and y may be the same.
void AddBias(ThreadPool& pool, const float* x, const float* bias, int64_t rows, int64_t width, float* y);
// dbias[i] = sum of dy[r, i] over rows, in ascending order.
void AddBiasBackward(ThreadPool& pool, const float* dy, int64_t rows, int64_t width, float* dbias);

// y[r] = row tokens[r] of a table [vocab, width] in the packed layout of gemm.h. tokens are in 0 .. vocab-1.
void EmbeddingPacked(ThreadPool& pool, PackedWeight table, const int32_t* tokens, int64_t rows, int64_t width,
                     float* y);
// dpacked += the gradient; rows are added in ascending order.
void EmbeddingPackedBackwardAccumulate(ThreadPool& pool, const float* dy, const int32_t* tokens, int64_t rows,
                                       int64_t width, float* dpacked);

// sum of squares of x, in double, in a fixed order whatever the threads.
double SumOfSquares(ThreadPool& pool, const float* x, int64_t count);

}  // namespace hone::kernels
