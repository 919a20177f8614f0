// Gradients of causal attention, FlashAttention-2 (https://arxiv.org/abs/2307.08691), section 3.1.2: with p the weights,
// dv_j += p_ij do_i; ds_ij = p_ij (do_i . v_j - do_i . o_i) scale; dq_i = sum_j ds_ij k_j; dk_j += ds_ij q_i.
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_backward_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {

struct Gradients {
  const float *q, *k, *v, *out, *log_sum_exp, *dout;
  int64_t heads, kv_heads, head_dim;
  float scale;
  float *dq, *dk, *dv;
};

// The keys that a segment's rows see, in order: rows of its ancestors, then its own; and their transposes.
struct Chain {
  std::vector<int64_t> rows;     // [keys]
  std::vector<float> keys;       // [head_dim, stride]
  std::vector<float> values;     // [head_dim, stride]
  int64_t stride = 0;            // keys rounded up to 16
};

void CollectRows(const AttentionSegment* segments, int64_t segment, std::vector<int64_t>& rows) {
  if (segments[segment].parent >= 0) CollectRows(segments, segments[segment].parent, rows);
  for (int32_t i = 0; i < segments[segment].rows; ++i) rows.push_back(segments[segment].first_row + i);
}

void FillChain(const Gradients& g, const AttentionSegment* segments, int64_t segment, int64_t kv_head, Chain& chain) {
  chain.rows.clear();
  CollectRows(segments, segment, chain.rows);
  const auto count = static_cast<int64_t>(chain.rows.size());
  chain.stride = (count + static_cast<int64_t>(kLanes) - 1) / static_cast<int64_t>(kLanes) * static_cast<int64_t>(kLanes);
  chain.keys.assign(static_cast<size_t>(chain.stride * g.head_dim), 0.0f);
  chain.values.assign(static_cast<size_t>(chain.stride * g.head_dim), 0.0f);
  for (int64_t j = 0; j < count; ++j) {
    const int64_t offset = (chain.rows[static_cast<size_t>(j)] * g.kv_heads + kv_head) * g.head_dim;
    for (int64_t d = 0; d < g.head_dim; ++d) {
      chain.keys[static_cast<size_t>(d * chain.stride + j)] = g.k[offset + d];
      chain.values[static_cast<size_t>(d * chain.stride + j)] = g.v[offset + d];
    }
  }
}

// One query: weights p and score gradients ds for keys 0 .. count-1 (buffers padded to 16).
HWY_ATTR void ScoreGradients(const Gradients& g, const Chain& chain, int64_t offset, float log_sum_exp, int64_t count,
                             float* p, float* ds) {
  const float delta = WideDot(g.dout + offset, g.out + offset, g.head_dim);
  for (int64_t j = 0; j < count; j += static_cast<int64_t>(kLanes)) {
    Wide score = WideSet(0), inner = WideSet(0);
    for (int64_t d = 0; d < g.head_dim; ++d) {
      score = WideMulAdd(WideSet(g.q[offset + d]), WideLoad(chain.keys.data() + d * chain.stride + j), score);
      inner = WideMulAdd(WideSet(g.dout[offset + d]), WideLoad(chain.values.data() + d * chain.stride + j), inner);
    }
    for (size_t part = 0; part < kVectors; ++part) {
      const V scaled = hn::Mul(score.part[part], hn::Set(D(), g.scale));
      const V weight = hn::Exp(D(), hn::Sub(scaled, hn::Set(D(), log_sum_exp)));
      const V slope = hn::Mul(hn::Mul(weight, hn::Sub(inner.part[part], hn::Set(D(), delta))), hn::Set(D(), g.scale));
      hn::StoreU(weight, D(), p + j + part * kWidth);
      hn::StoreU(slope, D(), ds + j + part * kWidth);
    }
  }
}

// Adds one query's share to dk and dv and writes its dq.
HWY_ATTR void Spread(const Gradients& g, const Chain& chain, int64_t kv_head, int64_t offset, int64_t count, const float* p,
                     const float* ds) {
  for (int64_t begin = 0; begin < g.head_dim; begin += kWidth) {
    const size_t lanes = std::min(static_cast<size_t>(g.head_dim - begin), kWidth);
    const V query = LoadFirst(g.q + offset + begin, lanes), gradient = LoadFirst(g.dout + offset + begin, lanes);
    V dq = hn::Zero(D());
    for (int64_t j = 0; j < count; ++j) {
      const int64_t key = (chain.rows[static_cast<size_t>(j)] * g.kv_heads + kv_head) * g.head_dim + begin;
      const V slope = hn::Set(D(), ds[j]);
      dq = hn::MulAdd(slope, LoadFirst(g.k + key, lanes), dq);
      StoreFirst(hn::MulAdd(slope, query, LoadFirst(g.dk + key, lanes)), g.dk + key, lanes);
      StoreFirst(hn::MulAdd(hn::Set(D(), p[j]), gradient, LoadFirst(g.dv + key, lanes)), g.dv + key, lanes);
    }
    StoreFirst(dq, g.dq + offset + begin, lanes);
  }
}

// One key-value head of the tree whose segments are begin .. end-1.
HWY_ATTR void TreeGradients(const Gradients& g, const AttentionSegment* segments, int64_t begin, int64_t end, int64_t kv_head) {
  const int64_t group = g.heads / g.kv_heads;
  Chain chain;
  std::vector<float> p, ds;
  for (int64_t segment = begin; segment < end; ++segment) {
    for (int32_t i = 0; i < segments[segment].rows; ++i) {
      const int64_t key = ((segments[segment].first_row + i) * g.kv_heads + kv_head) * g.head_dim;
      std::fill(g.dk + key, g.dk + key + g.head_dim, 0.0f);
      std::fill(g.dv + key, g.dv + key + g.head_dim, 0.0f);
    }
  }
  for (int64_t segment = begin; segment < end; ++segment) {
    FillChain(g, segments, segment, kv_head, chain);
    p.resize(static_cast<size_t>(chain.stride));
    ds.resize(static_cast<size_t>(chain.stride));
    const int64_t before = static_cast<int64_t>(chain.rows.size()) - segments[segment].rows;
    for (int32_t i = 0; i < segments[segment].rows; ++i) {
      const int64_t row = segments[segment].first_row + i, count = before + i + 1;
      for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const int64_t offset = (row * g.heads + head) * g.head_dim;
        ScoreGradients(g, chain, offset, g.log_sum_exp[row * g.heads + head], count, p.data(), ds.data());
        Spread(g, chain, kv_head, offset, count, p.data(), ds.data());
      }
    }
  }
}

void AttentionBackwardTarget(ThreadPool& pool, const float* q, const float* k, const float* v, const float* out,
                             const float* log_sum_exp, const float* dout, const AttentionSegment* segments,
                             const int64_t* tree_begin, int64_t tree_count, int64_t heads, int64_t kv_heads, int64_t head_dim,
                             float scale, float* dq, float* dk, float* dv) {
  const Gradients g{q, k, v, out, log_sum_exp, dout, heads, kv_heads, head_dim, scale, dq, dk, dv};
  pool.Run(tree_count * kv_heads, [&](int64_t task) HWY_ATTR {
    const int64_t tree = task / kv_heads;
    TreeGradients(g, segments, tree_begin[tree], tree_begin[tree + 1], task % kv_heads);
  });
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(AttentionBackwardTarget);

void AttentionBackward(ThreadPool& pool, const float* q, const float* k, const float* v, const float* out,
                       const float* log_sum_exp, const float* dout, const AttentionSegment* segments, int64_t segment_count,
                       int64_t heads, int64_t kv_heads, int64_t head_dim, float scale, float* dq, float* dk, float* dv) {
  std::vector<int64_t> tree_begin;
  for (int64_t i = 0; i < segment_count; ++i) {
    if (segments[i].parent < 0) tree_begin.push_back(i);
  }
  const auto trees = static_cast<int64_t>(tree_begin.size());
  tree_begin.push_back(segment_count);
  HWY_DYNAMIC_DISPATCH(AttentionBackwardTarget)
  (pool, q, k, v, out, log_sum_exp, dout, segments, tree_begin.data(), trees, heads, kv_heads, head_dim, scale, dq, dk, dv);
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
