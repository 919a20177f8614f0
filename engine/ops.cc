#include "engine/ops.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "engine/ops_tensor.h"
#include "kernels/elementwise.h"
#include "kernels/logprob.h"

namespace hone::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

const int32_t* Indices(const Tensor& tensor) { return tensor.const_data_ptr<int32_t>(); }

Tensor FromVector(const std::vector<int32_t>& values) { return at::tensor(at::ArrayRef<int32_t>(values), at::kInt); }

// ---- AddBias

struct AddBiasFunction : Function<AddBiasFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& bias, ThreadPool* pool) {
    Keep(context, "pool", *pool);
    Tensor y = at::empty_like(x);
    kernels::AddBias(*pool, ConstData(x), ConstData(bias), x.size(0), x.size(1), Data(y));
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor& dy = gradients[0];
    Tensor dbias = at::empty({dy.size(1)}, dy.options());
    kernels::AddBiasBackward(KeptPool(context), ConstData(dy), dy.size(0), dy.size(1), Data(dbias));
    return {dy, dbias, Tensor()};
  }
};

// ---- RmsNorm

Tensor RmsNormForward(ThreadPool& pool, const Tensor& x, const Tensor& weight, float epsilon, float* inverse_rms) {
  const int64_t width = weight.size(0);
  Tensor y = at::empty_like(x);
  kernels::RmsNorm(pool, ConstData(x), ConstData(weight), x.numel() / width, width, epsilon, Data(y), inverse_rms);
  return y;
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double epsilon,
                        ThreadPool* pool) {
    HONE_CHECK(x.size(1) % weight.size(0) == 0);
    Tensor inverse_rms = at::empty({x.numel() / weight.size(0)}, x.options());
    Tensor y = RmsNormForward(*pool, x, weight, static_cast<float>(epsilon), Data(inverse_rms));
    context->save_for_backward({x, weight, inverse_rms});
    Keep(context, "pool", *pool);
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
    Tensor dx = at::empty_like(x), dweight = at::empty_like(weight);
    kernels::RmsNormBackward(KeptPool(context), ConstData(x), ConstData(weight), ConstData(inverse_rms),
                             ConstData(gradients[0]), inverse_rms.size(0), weight.size(0), Data(dx), Data(dweight));
    return {dx, dweight, Tensor(), Tensor()};
  }
};

// ---- Rope: a rotation, so its gradient is the rotation back.

Tensor Rotate(ThreadPool& pool, const Tensor& x, const Tensor& cosine, const Tensor& sine, int64_t head_dim,
              kernels::RopeDirection direction) {
  Tensor y = at::empty_like(x);
  kernels::Rope(pool, ConstData(x), ConstData(cosine), ConstData(sine), x.size(0), x.size(1) / head_dim, head_dim,
                direction, Data(y));
  return y;
}

struct RopeFunction : Function<RopeFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cosine, const Tensor& sine,
                        int64_t head_dim, ThreadPool* pool) {
    context->save_for_backward({cosine, sine});
    context->saved_data["head_dim"] = head_dim;
    Keep(context, "pool", *pool);
    return Rotate(*pool, x, cosine, sine, head_dim, kernels::RopeDirection::kForward);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    Tensor dx = Rotate(KeptPool(context), gradients[0], saved[0], saved[1], context->saved_data["head_dim"].toInt(),
                       kernels::RopeDirection::kBackward);
    return {dx, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- SwiGlu

Tensor SwiGluForward(ThreadPool& pool, const Tensor& gate, const Tensor& up) {
  Tensor y = at::empty_like(gate);
  kernels::SwiGlu(pool, ConstData(gate), ConstData(up), gate.numel(), Data(y));
  return y;
}

struct SwiGluFunction : Function<SwiGluFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up, ThreadPool* pool) {
    context->save_for_backward({gate, up});
    Keep(context, "pool", *pool);
    return SwiGluForward(*pool, gate, up);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1];
    Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
    kernels::SwiGluBackward(KeptPool(context), ConstData(gate), ConstData(up), ConstData(gradients[0]), gate.numel(),
                            Data(dgate), Data(dup));
    return {dgate, dup, Tensor()};
  }
};

// ---- Add

Tensor AddForward(ThreadPool& pool, const Tensor& a, const Tensor& b) {
  Tensor y = at::empty_like(a);
  kernels::Add(pool, ConstData(a), ConstData(b), a.numel(), Data(y));
  return y;
}

struct AddFunction : Function<AddFunction> {
  static Tensor forward(AutogradContext*, const Tensor& a, const Tensor& b, ThreadPool* pool) {
    return AddForward(*pool, a, b);
  }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {gradients[0], gradients[0], Tensor()};
  }
};

// ---- Embedding

struct EmbeddingFunction : Function<EmbeddingFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& packed, const Tensor& tokens, int64_t width,
                        ThreadPool* pool) {
    context->save_for_backward({packed, tokens});
    Keep(context, "pool", *pool);
    Tensor y = at::empty({tokens.size(0), width}, packed.options().dtype(at::kFloat));
    kernels::EmbeddingPacked(*pool, Weight(packed), Indices(tokens), tokens.size(0), width, Data(y));
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &packed = saved[0], &tokens = saved[1], &dy = gradients[0];
    Tensor dpacked = at::zeros(packed.sizes(), dy.options());
    kernels::EmbeddingPackedBackwardAccumulate(KeptPool(context), ConstData(dy), Indices(tokens), tokens.size(0),
                                               dy.size(1), Data(dpacked));
    return {dpacked, Tensor(), Tensor(), Tensor()};
  }
};

// ---- Attention

Tensor AttentionValue(ThreadPool& pool, const Tensor& q, const Tensor& k, const Tensor& v, const AttentionRows& rows,
                      int64_t heads, int32_t window, const kernels::KvPages& pages, float* log_sum_exp) {
  HONE_CHECK(static_cast<int64_t>(rows.rows.size()) == q.size(0));
  kernels::WriteKv(pool, ConstData(k), ConstData(v), rows.writes.data(), static_cast<int64_t>(rows.writes.size()),
                   pages);
  Tensor out = at::empty_like(q);
  const float scale = 1.0f / std::sqrt(static_cast<float>(pages.head_dim));
  kernels::AttentionForward(pool, ConstData(q), rows.rows.data(), q.size(0), heads, scale, window, pages, Data(out),
                            log_sum_exp);
  return out;
}

struct AttentionFunction : Function<AttentionFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionRows* rows, int64_t heads, int64_t window, const kernels::KvPages* pages,
                        ThreadPool* pool) {
    Tensor log_sum_exp = at::empty({q.size(0), heads}, q.options());
    Tensor out = AttentionValue(*pool, q, k, v, *rows, heads, static_cast<int32_t>(window), *pages, Data(log_sum_exp));
    context->save_for_backward({q, k, v, out, log_sum_exp});
    context->saved_data["heads"] = heads;
    context->saved_data["window"] = window;
    context->saved_data["kv_heads"] = static_cast<int64_t>(pages->kv_heads);
    Keep(context, "rows", *rows);
    Keep(context, "pool", *pool);
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &log_sum_exp = saved[4];
    const auto& segments = Kept<const AttentionRows>(context, "rows").segments;
    const int64_t heads = context->saved_data["heads"].toInt(), kv_heads = context->saved_data["kv_heads"].toInt();
    const int64_t head_dim = q.size(1) / heads;
    Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    kernels::AttentionBackward(
        KeptPool(context), ConstData(q), ConstData(k), ConstData(v), ConstData(out), ConstData(log_sum_exp),
        ConstData(gradients[0]), segments.data(), static_cast<int64_t>(segments.size()), heads, kv_heads, head_dim,
        1.0f / std::sqrt(static_cast<float>(head_dim)), static_cast<int32_t>(context->saved_data["window"].toInt()),
        Data(dq), Data(dk), Data(dv));
    return {dq, dk, dv, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- TokenLogprob

// logprob, entropy, log_sum_exp.
variable_list HeadForward(ThreadPool& pool, const Tensor& hidden, const Tensor& packed, int64_t vocab,
                          const Tensor& targets) {
  const int64_t rows = hidden.size(0);
  const auto options = hidden.options().requires_grad(false);
  variable_list outputs = {at::empty({rows}, options), at::empty({rows}, options), at::empty({rows}, options)};
  kernels::TokenLogprob(pool, ConstData(hidden), Weight(packed), Indices(targets), rows, hidden.size(1), vocab,
                        Data(outputs[0]), Data(outputs[1]), Data(outputs[2]));
  return outputs;
}

struct TokenLogprobFunction : Function<TokenLogprobFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& hidden, const Tensor& packed,
                               const Tensor& targets, int64_t vocab, ThreadPool* pool) {
    variable_list outputs = HeadForward(*pool, hidden, packed, vocab, targets);
    context->save_for_backward({hidden, packed, targets, outputs[1], outputs[2]});
    context->saved_data["vocab"] = vocab;
    context->set_materialize_grads(false);
    Keep(context, "pool", *pool);
    return outputs;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &hidden = saved[0], &packed = saved[1];
    for (Tensor& gradient : gradients) {
      if (gradient.defined()) gradient = gradient.contiguous();
    }
    const auto data = [&](size_t i) { return gradients[i].defined() ? ConstData(gradients[i]) : nullptr; };
    Tensor dhidden = at::empty_like(hidden), dpacked;
    if (context->needs_input_grad(1)) dpacked = at::zeros(packed.sizes(), hidden.options().requires_grad(false));
    kernels::TokenLogprobBackward(
        KeptPool(context),
        {ConstData(hidden), Weight(packed), Indices(saved[2]), ConstData(saved[4]), ConstData(saved[3])},
        {data(0), data(1), data(2)}, hidden.size(0), hidden.size(1), context->saved_data["vocab"].toInt(),
        Data(dhidden), dpacked.defined() ? Data(dpacked) : nullptr);
    return {dhidden, dpacked, Tensor(), Tensor(), Tensor()};
  }
};

// Without a gradient to record the operators skip autograd, whose calls cost as much as small kernels.
bool Records() { return at::GradMode::is_enabled(); }

}  // namespace

void UseOneTensorThread() { at::set_num_threads(1); }

Tensor Embedding(ThreadPool& pool, const Tensor& packed, int64_t width, const std::vector<TokenId>& tokens) {
  return EmbeddingFunction::apply(packed, FromVector(tokens), width, &pool);
}

Tensor AddBias(ThreadPool& pool, const Tensor& x, const Tensor& bias) { return AddBiasFunction::apply(x, bias, &pool); }

Tensor RmsNorm(ThreadPool& pool, const Tensor& x, const Tensor& weight, float epsilon) {
  if (!Records()) return RmsNormForward(pool, x, weight, epsilon, nullptr);
  return RmsNormFunction::apply(x, weight, static_cast<double>(epsilon), &pool);
}

Tensor Rope(ThreadPool& pool, const Tensor& x, const Tensor& cosine, const Tensor& sine, int64_t head_dim) {
  if (!Records()) return Rotate(pool, x, cosine, sine, head_dim, kernels::RopeDirection::kForward);
  return RopeFunction::apply(x, cosine, sine, head_dim, &pool);
}

Tensor SwiGlu(ThreadPool& pool, const Tensor& gate, const Tensor& up) {
  return Records() ? SwiGluFunction::apply(gate, up, &pool) : SwiGluForward(pool, gate, up);
}

Tensor Add(ThreadPool& pool, const Tensor& a, const Tensor& b) {
  return Records() ? AddFunction::apply(a, b, &pool) : AddForward(pool, a, b);
}

Tensor Attention(ThreadPool& pool, const Tensor& q, const Tensor& k, const Tensor& v, const AttentionRows& rows,
                 int64_t heads, int32_t window, const kernels::KvPages& pages) {
  if (!Records()) return AttentionValue(pool, q, k, v, rows, heads, window, pages, nullptr);
  return AttentionFunction::apply(q, k, v, &rows, heads, int64_t{window}, &pages, &pool);
}

Tensor SelectRows(const Tensor& x, const std::vector<int64_t>& indices) {
  return at::index_select(x, 0, at::tensor(at::ArrayRef<int64_t>(indices), at::kLong));
}

Tensor TokenLogprob(ThreadPool& pool, const Tensor& hidden, const Tensor& packed, int64_t vocab,
                    const std::vector<TokenId>& targets, Tensor& entropy, Tensor& log_sum_exp) {
  const variable_list outputs = TokenLogprobFunction::apply(hidden, packed, FromVector(targets), vocab, &pool);
  entropy = outputs[1];
  log_sum_exp = outputs[2];
  return outputs[0];
}

}  // namespace hone::ops
