// The optimizer against its formula, and what happens where a gradient is not finite.
#include "trainer/adamw.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "trainer/gradient_guard.h"
#include "trainer/learner.h"

namespace hone {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Parameter Vector(const std::string& name, const std::vector<float>& values) {
  Parameter parameter{name,
                      {static_cast<int64_t>(values.size())},
                      WeightLayout::kPlain,
                      at::tensor(at::ArrayRef<float>(values), at::kFloat)};
  parameter.value.set_requires_grad(true);
  return parameter;
}

TEST(AdamW, ThreeStepsAreTheFormula) {
  ThreadPool pool(1);
  Parameter parameter = Vector("w", {1, -2, 0.5});
  AdamW optimizer(&pool, {&parameter});
  const AdamWOptions options{0.9, 0.95, 1e-8, 0.1};
  double w[3] = {1, -2, 0.5}, m[3] = {}, v[3] = {};
  const float gradients[3][3] = {{1, -0.5, 3}, {0.25, 2, -1}, {-4, 0, 0.125}};
  for (int step = 1; step <= 3; ++step) {
    const std::vector<float> gradient(gradients[step - 1], gradients[step - 1] + 3);
    parameter.value.mutable_grad() = at::tensor(at::ArrayRef<float>(gradient), at::kFloat);
    if (step == 1) EXPECT_NEAR(optimizer.GradientNorm(), std::sqrt(1 + 0.25 + 9), 1e-6);
    optimizer.Step(options, 0.01, /*gradient_scale=*/0.5);
    for (int i = 0; i < 3; ++i) {
      const double g = gradient[i] * 0.5;
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.95 * v[i] + 0.05 * g * g;
      w[i] -= 0.01 * 0.1 * w[i];
      w[i] -= 0.01 * m[i] / (1 - std::pow(0.9, step)) / (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + 1e-8);
      EXPECT_NEAR(parameter.value.const_data_ptr<float>()[i], w[i], 1e-6) << step << " " << i;
    }
  }
  EXPECT_EQ(optimizer.steps(), 3);
}

TEST(AdamW, SavedAveragesGoOnToTheSameBits) {
  ThreadPool pool(1);
  Parameter one = Vector("w", {1, -2, 0.5}), other = Vector("w", {1, -2, 0.5});
  AdamW optimizer(&pool, {&one}), resumed(&pool, {&other});
  const auto step = [](Parameter& parameter, AdamW& adamw, float gradient) {
    parameter.value.mutable_grad() = at::full({3}, gradient, at::kFloat);
    adamw.Step({}, 0.01, 1);
  };
  step(one, optimizer, 0.3f);
  ASSERT_TRUE(optimizer.Save("adamw.safetensors").ok());
  AssignPlainWeights(other, one.value.const_data_ptr<float>(), other.value);
  ASSERT_TRUE(resumed.Load("adamw.safetensors", optimizer.steps()).ok());
  step(one, optimizer, -0.7f);
  step(other, resumed, -0.7f);
  EXPECT_EQ(PlainWeights(one, one.value), PlainWeights(other, other.value));
  Parameter stranger = Vector("v", {1, 2, 3});
  EXPECT_NE(AdamW(&pool, {&stranger}).Load("adamw.safetensors", 1).message().find("exp_avg.v"), std::string::npos);
}

TEST(AdamW, ParametersWithoutGradientStay) {
  ThreadPool pool(1);
  Parameter moved = Vector("a", {1, 1}), still = Vector("b", {1, 1});
  AdamW optimizer(&pool, {&moved, &still});
  moved.value.mutable_grad() = at::full({2}, 1.0, at::kFloat);
  optimizer.Step({}, 0.1, 1);
  EXPECT_LT(PlainWeights(moved, moved.value)[0], 1);
  EXPECT_EQ(PlainWeights(still, still.value), (std::vector<float>{1, 1}));
}

// A model, three answers to learn from, and a way to spoil it.
class NotFinite : public testing::Test {
 protected:
  NotFinite() : pool_(1) {
    ModelConfig config = TwoLayerConfig();
    config.layers = 3;
    model_ = RandomModel(config, &pool_, 3);
    stage_.loss = *BuildLoss("sft");
    stage_.schedule.peak = 0.01;
    learner_ = std::make_unique<Learner>(model_.get(), stage_);
  }

  Parameter& Named(const std::string& name) {
    for (Parameter& parameter : model_->parameters()) {
      if (parameter.name == name) return parameter;
    }
    throw std::runtime_error("no parameter " + name);
  }
  UpdateStats Update() {
    const TrainGroup group{&prompt_, {{.tokens = &answer_}}};
    return learner_->Update({&group, 1}, 0);
  }
  std::vector<std::vector<float>> Weights() const {
    std::vector<std::vector<float>> weights;
    for (const Parameter& parameter : model_->parameters()) weights.push_back(PlainWeights(parameter, parameter.value));
    return weights;
  }

  ThreadPool pool_;
  std::unique_ptr<Model> model_;
  Stage stage_;
  std::unique_ptr<Learner> learner_;
  std::vector<TokenId> prompt_ = {1, 2, 3}, answer_ = {4, 5, 6, 7};
};

TEST_F(NotFinite, OnePoisonedWeightIsNamedAndNothingMoves) {
  const std::string name = "model.layers.1.self_attn.k_proj.weight";
  Named(name).value.register_hook([](const Tensor& gradient) {
    Tensor poisoned = gradient.clone();
    poisoned.mutable_data_ptr<float>()[7] = kNaN;
    return poisoned;
  });
  const auto before = Weights();
  GradientGuard guard;
  for (int i = 1; i <= GradientGuard::kMaxSkipped; ++i) {
    const UpdateStats stats = Update();
    EXPECT_FALSE(stats.applied);
    EXPECT_TRUE(std::isfinite(stats.loss));
    EXPECT_EQ(stats.not_finite, name);
    const absl::Status status = guard.Note(stats, "rl");
    EXPECT_EQ(guard.in_a_row(), i);
    if (i < GradientGuard::kMaxSkipped) {
      EXPECT_TRUE(status.ok());
    } else {
      EXPECT_EQ(status.message(),
                "the gradient was not finite 5 times in a row; on its way back from the loss it first went wrong at "
                "'model.layers.1.self_attn.k_proj.weight'; lower stage 'rl' learning_rate or max_grad_norm");
    }
  }
  EXPECT_EQ(Weights(), before);
  EXPECT_EQ(learner_->optimizer_steps(), 0);
}

// Every gradient is poisoned then, and the first on the way back is the last weight's.
TEST_F(NotFinite, ALossThatIsNotFiniteIsSaidToBe) {
  Parameter& up = Named("model.layers.1.mlp.up_proj.weight");
  up.value.mutable_data_ptr<float>()[0] = std::numeric_limits<float>::infinity();
  const UpdateStats stats = Update();
  EXPECT_FALSE(stats.applied);
  EXPECT_FALSE(std::isfinite(stats.loss));
  EXPECT_EQ(stats.not_finite, "model.norm.weight");
  GradientGuard guard(GradientGuard::kMaxSkipped - 1);
  EXPECT_NE(guard.Note(stats, "rl").message().find("the loss, which is not finite either, it"), std::string::npos);
}

TEST_F(NotFinite, OneGoodUpdateIsEnoughToGoOn) {
  GradientGuard guard(GradientGuard::kMaxSkipped - 1);
  EXPECT_TRUE(guard.Note(Update(), "rl").ok());
  EXPECT_EQ(guard.in_a_row(), 0);
}

}  // namespace
}  // namespace hone
