// Activation checkpointing, https://arxiv.org/abs/1604.06174: the forward keeps a step's input alone, the backward computes the step again.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/ops.h"
#include "engine/ops_tensor.h"

namespace hone::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// A step that lives as long as the graph.
struct KeptStep : torch::CustomClassHolder {
  explicit KeptStep(Step step) : step(std::move(step)) {}
  Step step;
};

struct RecomputeFunction : Function<RecomputeFunction> {
  // Autograd is off in here, so nothing inside is kept. `anchor` requires a gradient where x may not: what a step trains hangs on no input.
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& /*anchor*/, const Step* step) {
    context->save_for_backward({x});
    context->saved_data["step"] = c10::IValue::make_capsule(c10::make_intrusive<KeptStep>(*step));
    return (*step)(x);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto kept = c10::static_intrusive_pointer_cast<KeptStep>(context->saved_data["step"].toCapsule());
    const bool wants_gradient = context->needs_input_grad(0);
    Tensor x = saved[0].detach();
    x.set_requires_grad(wants_gradient);
    Tensor y;
    {
      const at::AutoGradMode records(true);
      y = kept->step(x);
    }
    // Gradients of the step's weights go where they always go, to the weights.
    torch::autograd::backward({y}, {gradients[0]});
    return {wants_gradient ? x.grad() : Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor Recompute(const Tensor& x, const Step& step) {
  if (!at::GradMode::is_enabled()) return step(x);
  Tensor anchor = at::empty({0}, at::kFloat);
  anchor.set_requires_grad(true);
  return RecomputeFunction::apply(x, anchor, &step);
}

}  // namespace hone::ops
