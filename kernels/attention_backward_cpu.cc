// Gradients of causal attention, FlashAttention-2 (https://arxiv.org/abs/2307.08691), section 3.1.2. With weights
// p_ij = exp(s_ij - log_sum_exp_i) and delta_i = dout_i . out_i:
//   dv_j = sum_i p_ij dout_i    ds_ij = p_ij (dout_i . v_j - delta_i) scale    dq_i = sum_j ds_ij k_j    dk_j = sum_i ds_ij q_i
// One segment's queries meet the keys of each segment of their chain, block by block; dq adds keys in ascending order, dk
// and dv add queries in ascending order of segments, rows and heads.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/attention.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_backward_cpu.cc"
#include "hwy/foreach_target.h"
#include "kernels/microkernel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kBlockKeys = 32;
constexpr int64_t kBlockPairs = 24;  // (row, head) pairs
// Multiply-adds in a task: some tens of microseconds.
constexpr int64_t kTaskWork = 1'000'000;

struct BackwardCall {
  const float *q, *k, *v, *out, *log_sum_exp, *dout;
  const AttentionSegment* segments;
  int64_t heads, kv_heads, head_dim;
  float scale;
  int64_t window;
  float *dq, *dk, *dv;

  int64_t group() const { return heads / kv_heads; }
};

// Keys and values of one segment and what is added to their gradients. Rows are padded to `stride` floats, transposed ones
// to whole vectors.
struct Keys {
  int64_t rows = 0, columns = 0;
  std::vector<float> k, dk, dv;  // [rows, stride]
  std::vector<float> k_t, v_t;   // [head_dim, columns]
};

// One segment's queries: pairs of (row, head), row by row.
struct Queries {
  int64_t rows = 0;
  std::vector<float> q, dout, dq;         // [pairs, stride]
  std::vector<float> log_sum_exp, delta;  // [pairs]
};

// One tree and one key-value head.
class TreeGradients {
 public:
  TreeGradients(const BackwardCall& call, int64_t kv_head)
      : call_(call),
        group_(call.group()),
        head_dim_(call.head_dim),
        stride_(RoundUpToLanes(call.head_dim)),
        kv_head_(kv_head) {}

  void Run(int64_t begin, int64_t end) {
    first_segment_ = begin;
    if (static_cast<int64_t>(keys_.size()) < end - begin) keys_.resize(end - begin);
    for (int64_t segment = begin; segment < end; ++segment) LoadKeys(segment);
    for (int64_t segment = begin; segment < end; ++segment) {
      if (call_.segments[segment].rows == 0) continue;
      LoadQueries(segment);
      AttendChain(segment);
      StoreQueries(segment);
    }
    for (int64_t segment = begin; segment < end; ++segment) StoreKeys(segment);
  }

 private:
  Keys& KeysOf(int64_t segment) { return keys_[segment - first_segment_]; }
  // Offsets of a segment's row in k and v, and of its first (row, head) pair.
  int64_t KeyRow(int64_t segment, int64_t row) const {
    return (call_.segments[segment].first_row + row) * call_.kv_heads + kv_head_;
  }
  int64_t Pair(int64_t segment, int64_t row) const {
    return (call_.segments[segment].first_row + row) * call_.heads + kv_head_ * group_;
  }

  void LoadKeys(int64_t segment) {
    Keys& keys = KeysOf(segment);
    keys.rows = call_.segments[segment].rows;
    keys.columns = RoundUpToLanes(keys.rows);
    for (std::vector<float>* buffer : {&keys.k, &keys.dk, &keys.dv}) buffer->assign(keys.rows * stride_, 0.0f);
    for (std::vector<float>* buffer : {&keys.k_t, &keys.v_t}) buffer->assign(keys.columns * head_dim_, 0.0f);
    for (int64_t row = 0; row < keys.rows; ++row) {
      const float* k = call_.k + KeyRow(segment, row) * head_dim_;
      const float* v = call_.v + KeyRow(segment, row) * head_dim_;
      std::memcpy(keys.k.data() + row * stride_, k, head_dim_ * sizeof(float));
      for (int64_t d = 0; d < head_dim_; ++d) {
        keys.k_t[d * keys.columns + row] = k[d];
        keys.v_t[d * keys.columns + row] = v[d];
      }
    }
  }

  void StoreKeys(int64_t segment) {
    const Keys& keys = KeysOf(segment);
    for (int64_t row = 0; row < keys.rows; ++row) {
      const int64_t to = KeyRow(segment, row) * head_dim_;
      std::memcpy(call_.dk + to, keys.dk.data() + row * stride_, head_dim_ * sizeof(float));
      std::memcpy(call_.dv + to, keys.dv.data() + row * stride_, head_dim_ * sizeof(float));
    }
  }

  void LoadQueries(int64_t segment) {
    queries_.rows = call_.segments[segment].rows;
    const int64_t pairs = queries_.rows * group_;
    for (std::vector<float>* buffer : {&queries_.q, &queries_.dout, &queries_.dq})
      buffer->assign(pairs * stride_, 0.0f);
    queries_.log_sum_exp.resize(pairs);
    queries_.delta.resize(pairs);
    for (int64_t i = 0; i < pairs; ++i) {
      const int64_t pair = Pair(segment, i / group_) + i % group_;
      const float *dout = call_.dout + pair * head_dim_, *out = call_.out + pair * head_dim_;
      std::memcpy(queries_.q.data() + i * stride_, call_.q + pair * head_dim_, head_dim_ * sizeof(float));
      std::memcpy(queries_.dout.data() + i * stride_, dout, head_dim_ * sizeof(float));
      queries_.log_sum_exp[i] = call_.log_sum_exp[pair];
      queries_.delta[i] = SumLanes(head_dim_, [=](auto d, int64_t j, auto sum) HWY_ATTR {
        return hn::MulAdd(hn::LoadU(d, dout + j), hn::LoadU(d, out + j), sum);
      });
    }
  }

  void StoreQueries(int64_t segment) {
    for (int64_t i = 0; i < queries_.rows * group_; ++i) {
      const int64_t pair = Pair(segment, i / group_) + i % group_;
      std::memcpy(call_.dq + pair * head_dim_, queries_.dq.data() + i * stride_, head_dim_ * sizeof(float));
    }
  }

  // The loaded queries of `segment` against the keys of its ancestors, from the root on, and its own.
  void AttendChain(int64_t segment) {
    chain_.clear();
    int64_t distance = -queries_.rows;  // of the first query from the chain's present key, in positions
    for (int64_t s = segment; s >= 0; s = call_.segments[s].parent) {
      chain_.push_back(s);
      distance += call_.segments[s].rows;
    }
    const int64_t block_rows = std::max<int64_t>(1, kBlockPairs / group_);
    for (auto s = chain_.rbegin(); s != chain_.rend(); ++s) {
      Keys& keys = KeysOf(*s);
      for (int64_t key = 0; key < keys.rows; key += kBlockKeys) {
        // Rows before the block's first key see none of it, nor do those whose windows begin after its last.
        const int64_t last_key = std::min(key + kBlockKeys, keys.rows) - 1;
        const int64_t end = std::min(queries_.rows, last_key - distance + call_.window);
        for (int64_t row = std::max<int64_t>(0, key - distance); row < end; row += block_rows) {
          AttendBlock(keys, key, row, std::min(block_rows, end - row), distance - key);
        }
      }
      distance -= keys.rows;
    }
  }

  // The segment's first query is `distance` positions after key `key`.
  void AttendBlock(Keys& keys, int64_t key, int64_t row, int64_t rows, int64_t distance) {
    const int64_t key_count = std::min(kBlockKeys, keys.rows - key), pairs = rows * group_;
    const int64_t columns = std::min(kBlockKeys, keys.columns - key), query = row * group_ * stride_;
    weights_.resize(std::max<int64_t>(weights_.size(), pairs * kBlockKeys));
    slopes_.resize(std::max<int64_t>(slopes_.size(), pairs * kBlockKeys));
    const auto inner = [&](const std::vector<float>& a, const std::vector<float>& b, std::vector<float>& c) {
      Product<> product;
      product.a = a.data() + query, product.a_row = stride_;
      product.k = head_dim_;
      product.b = b.data() + key, product.b_row = keys.columns;
      product.c = c.data(), product.c_row = kBlockKeys;
      Multiply(product, pairs, columns);
    };
    inner(queries_.q, keys.k_t, weights_);
    inner(queries_.dout, keys.v_t, slopes_);
    for (int64_t i = 0; i < pairs; ++i) {
      const int64_t end = distance + row + i / group_ + 1;
      WeighPair(i, row * group_ + i, columns, std::clamp<int64_t>(end - call_.window, 0, columns),
                std::clamp<int64_t>(end, 0, key_count));
    }
    Product<> product;
    product.accumulate = true;
    product.k = key_count;
    product.a = slopes_.data(), product.a_row = kBlockKeys;
    product.b = keys.k.data() + key * stride_, product.b_row = stride_;
    product.c = queries_.dq.data() + query, product.c_row = stride_;
    Multiply(product, pairs, stride_);
    const auto outer = [&](const std::vector<float>& a, const std::vector<float>& b, std::vector<float>& c) {
      product.k = pairs;
      product.a = a.data(), product.a_row = 1, product.a_column = kBlockKeys;
      product.b = b.data() + query;
      product.c = c.data() + key * stride_;
      Multiply(product, key_count, stride_);
    };
    outer(slopes_, queries_.q, keys.dk);
    outer(weights_, queries_.dout, keys.dv);
  }

  // Inner products in line `line` of the block -> p in weights_, ds in slopes_; 0 for keys outside begin .. end-1.
  void WeighPair(int64_t line, int64_t pair, int64_t columns, int64_t begin, int64_t end) {
    float *weights = weights_.data() + line * kBlockKeys, *slopes = slopes_.data() + line * kBlockKeys;
    const float scale = call_.scale, log_sum_exp = queries_.log_sum_exp[pair], delta = queries_.delta[pair];
    ForEach(columns, [=](auto d, int64_t j) HWY_ATTR {
      const auto score = hn::Mul(hn::LoadU(d, weights + j), hn::Set(d, scale));
      const auto weight = Exp(d, hn::Sub(score, hn::Set(d, log_sum_exp)));
      const auto slope = hn::Sub(hn::LoadU(d, slopes + j), hn::Set(d, delta));
      hn::StoreU(weight, d, weights + j);
      hn::StoreU(hn::Mul(hn::Mul(weight, slope), hn::Set(d, scale)), d, slopes + j);
    });
    for (float* outside : {weights, slopes}) {
      std::fill(outside, outside + begin, 0.0f);
      std::fill(outside + end, outside + columns, 0.0f);
    }
  }

  const BackwardCall& call_;
  const int64_t group_, head_dim_, stride_, kv_head_;
  int64_t first_segment_ = 0;
  std::vector<Keys> keys_;  // of the tree's segments
  Queries queries_;
  std::vector<int64_t> chain_;
  std::vector<float> weights_, slopes_;  // [pairs of a block, kBlockKeys]
};

// Gathers whole trees into tasks of about equal work -> first segment of each tree, first tree of each task.
void Plan(const BackwardCall& call, int64_t segment_count, std::vector<int64_t>& trees, std::vector<int64_t>& tasks) {
  std::vector<int64_t> length(segment_count);  // of the sequence that ends with a segment
  int64_t work = kTaskWork;
  for (int64_t i = 0; i < segment_count; ++i) {
    const AttentionSegment& segment = call.segments[i];
    length[i] = segment.rows + (segment.parent < 0 ? 0 : length[segment.parent]);
    if (segment.parent < 0) {
      if (work >= kTaskWork) {
        tasks.push_back(static_cast<int64_t>(trees.size()));
        work = 0;
      }
      trees.push_back(i);
    }
    work += segment.rows * std::min(RoundUpToLanes(length[i]), call.window) * call.group() * call.head_dim * 5;
  }
  tasks.push_back(static_cast<int64_t>(trees.size()));
  trees.push_back(segment_count);
}

void AttentionBackwardTarget(ThreadPool& pool, const float* q, const float* k, const float* v, const float* out,
                             const float* log_sum_exp, const float* dout, const AttentionSegment* segments,
                             int64_t segment_count, int64_t heads, int64_t kv_heads, int64_t head_dim, float scale,
                             int32_t window, float* dq, float* dk, float* dv) {
  const BackwardCall call{q,        k,        v,     out,    log_sum_exp, dout, segments, heads,
                          kv_heads, head_dim, scale, window, dq,          dk,   dv};
  std::vector<int64_t> trees, tasks;
  Plan(call, segment_count, trees, tasks);
  const auto ranges = static_cast<int64_t>(tasks.size()) - 1;
  pool.Run(ranges * kv_heads, [&](int64_t task) {
    TreeGradients gradients(call, task % kv_heads);
    const int64_t range = task / kv_heads;
    for (int64_t tree = tasks[range]; tree < tasks[range + 1]; ++tree) gradients.Run(trees[tree], trees[tree + 1]);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::kernels {

HWY_EXPORT(AttentionBackwardTarget);

void AttentionBackward(ThreadPool& pool, const float* q, const float* k, const float* v, const float* out,
                       const float* log_sum_exp, const float* dout, const AttentionSegment* segments,
                       int64_t segment_count, int64_t heads, int64_t kv_heads, int64_t head_dim, float scale,
                       int32_t window, float* dq, float* dk, float* dv) {
  if (segment_count <= 0) return;
  HWY_DYNAMIC_DISPATCH(AttentionBackwardTarget)
  (pool, q, k, v, out, log_sum_exp, dout, segments, segment_count, heads, kv_heads, head_dim, scale, window, dq, dk,
   dv);
}

}  // namespace hone::kernels
#endif  // HWY_ONCE
