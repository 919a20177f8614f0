// Causal attention with grouped query heads over paged keys and values. One routine and one arithmetic order serve
// prefill, chunked prefill, decode and training: a query's result depends only on its own vector and the keys and values
// that it sees, never on how rows are batched, chunked or cached, on which pages they lie, or on threads.
//
// A query at position p sees positions first .. p, first = max(0, p - window + 1) with a sliding window
// (https://arxiv.org/abs/2310.06825), else 0. Order of arithmetic for one (row, head), j in first .. p: score[j] = (sum
// over d ascending of q[d] * k[j][d], fused multiply-adds from +0) * scale; m = max_j; e[j] = exp(score[j] - m); the
// denominator sums e over 16 lanes (lane j % 16, ascending j), folded in a fixed tree; out[d] = (sum over j ascending of
// e[j] * v[j][d], fused multiply-adds from +0) / denominator.
//
// Reference: FlashAttention-2 (https://arxiv.org/abs/2307.08691) for the backward formulas, PagedAttention
// (https://arxiv.org/abs/2309.06180) for the pages.
#pragma once

#include <cstdint>

#include "kernels/thread_pool.h"

namespace hone::kernels {

// Tokens in a page.
inline constexpr int kPageTokens = 16;

// Keys and values of one layer. Page p, key-value head g:
//   keys   + (p * kv_heads + g) * head_dim * kPageTokens: [head_dim, kPageTokens], lanes over tokens
//   values + (p * kv_heads + g) * kPageTokens * head_dim: [kPageTokens, head_dim]
struct KvPages {
  float* keys;
  float* values;
  int32_t kv_heads;
  int32_t head_dim;  // even, at most 256
};

constexpr int64_t PageFloats(int64_t kv_heads, int64_t head_dim) { return kv_heads * head_dim * kPageTokens; }

// Row `row` of k and v goes to slot `slot` (0 .. kPageTokens-1) of page `page`. A row may go to several pages.
struct KvWrite {
  int32_t row;
  int32_t page;
  int32_t slot;
};

// k, v [rows, kv_heads, head_dim] -> pages.
void WriteKv(ThreadPool& pool, const float* k, const float* v, const KvWrite* writes, int64_t count, KvPages pages);

// Copies the first `slots` tokens of page `from` to page `to`.
void CopyPage(KvPages pages, int32_t from, int32_t to, int32_t slots);

// A window of this size reaches every position.
inline constexpr int32_t kWholeSequence = INT32_MAX;

// A query row; position p of its sequence lies in page page_table[p / kPageTokens], slot p % kPageTokens.
struct AttentionRow {
  const int32_t* page_table;
  int32_t position;
};

// q [rows, heads, head_dim]; heads is a multiple of kv_heads, query head h reads key-value head h / (heads / kv_heads).
// -> out [rows, heads, head_dim]; log_sum_exp [rows, heads] (natural log of sum_j exp(score)), may be null.
// window is at least 1. Slots that a row does not see are never read as values; their keys may hold any finite or non-finite
// bits. Pages of which a row sees nothing are not read for it.
void AttentionForward(ThreadPool& pool, const float* q, const AttentionRow* rows, int64_t row_count, int64_t heads,
                      float scale, int32_t window, KvPages pages, float* out, float* log_sum_exp);

// Training's packed rows form a forest of segments: rows first_row .. first_row + rows - 1 continue the sequence that ends
// with the last row of segment `parent` (-1: a sequence begins here). A root comes first, its descendants follow it, every
// parent before its children. A prompt is one segment, each of its samples a child: the prompt goes through the model once.
struct AttentionSegment {
  int32_t first_row;
  int32_t rows;
  int32_t parent;
};

// Gradients of AttentionForward for rows laid out by segments, keys and values row-major as they were written to the pages.
// q, out, dout, dq [rows, heads, head_dim]; k, v, dk, dv [rows, kv_heads, head_dim]; log_sum_exp [rows, heads].
// Every row is in a segment.
// Deterministic for any number of threads. A root's tree is one unit of work per key-value head.
void AttentionBackward(ThreadPool& pool, const float* q, const float* k, const float* v, const float* out,
                       const float* log_sum_exp, const float* dout, const AttentionSegment* segments,
                       int64_t segment_count, int64_t heads, int64_t kv_heads, int64_t head_dim, float scale,
                       int32_t window, float* dq, float* dk, float* dv);

}  // namespace hone::kernels
