// Products with packed weights: y = x W^T; dx = dy W, dW = dy^T x. A weight's gradient is float32 in the weight's layout, however the
// weight is stored.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/base/check.h"
#include "engine/ops.h"
#include "engine/ops_tensor.h"

namespace hone::ops {
namespace {

using kernels::Accumulate;
using kernels::kPanel;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// y [rows, n] = or += x W^T.
void Multiply(ThreadPool& pool, const Tensor& x, const Tensor& packed, const Tensor& y, Accumulate accumulate) {
  const int64_t rows = x.size(0), k = x.size(1), n = y.size(1);
  HONE_CHECK(packed.numel() == kernels::PackedSize(n, k));
  kernels::Gemm(pool, {ConstData(x), k, 1}, rows, k, Weight(packed), n, {Data(y), n, kPanel}, accumulate);
}

Tensor LinearForward(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n) {
  Tensor y = at::empty({x.size(0), n}, x.options().requires_grad(false));
  Multiply(pool, x, packed, y, Accumulate::kNo);
  return y;
}

// dx [rows, k] = or += dy W. That needs W with k as the output: the other packing, rebuilt per call; its cost is 1 / rows of the product's.
void AddInputGradient(ThreadPool& pool, const Tensor& dy, const Tensor& packed, const Tensor& dx,
                      Accumulate accumulate) {
  const int64_t rows = dy.size(0), n = dy.size(1), k = dx.size(1);
  Tensor transposed = at::empty({kernels::PackedSize(k, n)}, packed.options().requires_grad(false));
  kernels::TransposePacked(pool, Weight(packed), n, k, transposed.mutable_data_ptr());
  kernels::Gemm(pool, {ConstData(dy), n, 1}, rows, n, Weight(transposed), k, {Data(dx), k, kPanel}, accumulate);
}

Tensor InputGradient(ThreadPool& pool, const Tensor& dy, const Tensor& packed, int64_t k) {
  Tensor dx = at::empty({dy.size(0), k}, dy.options());
  AddInputGradient(pool, dy, packed, dx, Accumulate::kNo);
  return dx;
}

// Computed as x^T dy so that it comes out in the weight's own layout.
Tensor WeightGradient(ThreadPool& pool, const Tensor& x, const Tensor& dy) {
  const int64_t rows = x.size(0), k = x.size(1), n = dy.size(1);
  Tensor panels = at::empty({kernels::PackedSize(n, rows)}, dy.options());
  kernels::Pack(pool, {ConstData(dy), 1, n}, n, rows, Data(panels));
  Tensor dweight = at::zeros({kernels::PackedSize(n, k)}, dy.options());
  kernels::Gemm(pool, {ConstData(x), 1, k}, k, rows, ConstData(panels), n, {Data(dweight), kPanel, k * kPanel},
                Accumulate::kNo);
  return dweight;
}

// Without a gradient to record the operators skip autograd, whose calls cost as much as small kernels.
bool Records() { return at::GradMode::is_enabled(); }

struct LinearFunction : Function<LinearFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& packed, int64_t n, ThreadPool* pool) {
    context->save_for_backward({x, packed});
    Keep(context, "pool", *pool);
    return LinearForward(*pool, x, packed, n);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &packed = saved[1], &dy = gradients[0];
    ThreadPool& pool = KeptPool(context);
    // What is frozen, or computed from what is, wants none; each gradient costs as much as the product.
    const Tensor dx = context->needs_input_grad(0) ? InputGradient(pool, dy, packed, x.size(1)) : Tensor();
    const Tensor dweight = context->needs_input_grad(1) ? WeightGradient(pool, x, dy) : Tensor();
    return {dx, dweight, Tensor(), Tensor()};
  }
};

// ---- AdaptedLinear: y = x W^T + t B^T, t = scale x A^T.

// The sum over rank goes on in the chain that the sum over k began.
Tensor AdaptedForward(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n, const LowRank& low_rank,
                      Tensor& t) {
  Tensor y = LinearForward(pool, x, packed, n);
  t = LinearForward(pool, x, *low_rank.a, low_rank.rank).mul_(low_rank.scale);
  Multiply(pool, t, *low_rank.b, y, Accumulate::kYes);
  return y;
}

struct AdaptedLinearFunction : Function<AdaptedLinearFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& packed, const Tensor& a,
                        const Tensor& b, int64_t n, int64_t rank, double scale, ThreadPool* pool) {
    Tensor t;
    Tensor y = AdaptedForward(*pool, x, packed, n, {&a, &b, rank, static_cast<float>(scale)}, t);
    context->save_for_backward({x, packed, a, b, t});
    context->saved_data["scale"] = scale;
    Keep(context, "pool", *pool);
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &packed = saved[1], &a = saved[2], &b = saved[3], &t = saved[4], &dy = gradients[0];
    ThreadPool& pool = KeptPool(context);
    const Tensor dt = InputGradient(pool, dy, b, t.size(1)).mul_(context->saved_data["scale"].toDouble());
    Tensor dx, dweight;
    if (context->needs_input_grad(0)) {
      dx = InputGradient(pool, dy, packed, x.size(1));
      AddInputGradient(pool, dt, a, dx, Accumulate::kYes);
    }
    if (context->needs_input_grad(1)) dweight = WeightGradient(pool, x, dy);
    return {dx,       dweight, WeightGradient(pool, x, dt), WeightGradient(pool, t, dy), Tensor(), Tensor(),
            Tensor(), Tensor()};
  }
};

}  // namespace

Tensor Linear(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n) {
  return Records() ? LinearFunction::apply(x, packed, n, &pool) : LinearForward(pool, x, packed, n);
}

Tensor AdaptedLinear(ThreadPool& pool, const Tensor& x, const Tensor& packed, int64_t n, const LowRank& low_rank) {
  if (Records()) {
    return AdaptedLinearFunction::apply(x, packed, *low_rank.a, *low_rank.b, n, low_rank.rank, double{low_rank.scale},
                                        &pool);
  }
  Tensor t;
  return AdaptedForward(pool, x, packed, n, low_rank, t);
}

Tensor Logits(ThreadPool& pool, const Tensor& hidden, const Tensor& packed, int64_t vocab) {
  return LinearForward(pool, hidden, packed, vocab);
}

}  // namespace hone::ops
