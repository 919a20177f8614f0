// The distiller against its formula, with probabilities that come token by token out of ScoreGroups, and finite differences.
#include "trainer/distiller.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "engine/ops.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/finite_differences.h"
#include "trainer/student.h"

namespace hone {
namespace {

constexpr int32_t kVocabulary = 23;

ModelConfig SmallConfig(bool tied) {
  ModelConfig config = TwoLayerConfig(tied);
  config.vocab_size = kVocabulary;
  config.layers = 4;
  return config;
}

// A teacher, its student of two layers, and answers of 1 .. 9 tokens to prompts around a page of 16.
struct World {
  explicit World(bool tied = true) : pool(2), teacher(RandomModel(SmallConfig(tied), &pool, 3)), student(Student()) {
    // As in the binary; OpenMP's threads wait by spinning, which on a busy machine takes seconds.
    ops::UseOneTensorThread();
    RandomSequence random(5, RandomStream::kTask, 1);
    for (const uint32_t length : {3u, 16u, 21u}) {
      prompts.push_back(Tokens(random, length));
      for (int j = 0; j < 3; ++j) answers.push_back(Tokens(random, 1 + random.Below(9)));
    }
  }

  std::unique_ptr<Model> Student() { return std::move(NewStudent(*teacher, 2, &pool)).value(); }

  static std::vector<TokenId> Tokens(RandomSequence& random, uint32_t length) {
    std::vector<TokenId> list;
    for (uint32_t i = 0; i < length; ++i) list.push_back(static_cast<TokenId>(random.Below(kVocabulary)));
    return list;
  }

  // Weights 0.5, 1, 1.5, ...
  std::vector<TrainGroup> Groups() const {
    std::vector<TrainGroup> groups;
    for (size_t i = 0; i < prompts.size(); ++i) {
      groups.push_back({&prompts[i], {}});
      for (size_t j = 3 * i; j < 3 * i + 3; ++j)
        groups.back().samples.push_back({.tokens = &answers[j], .weight = 0.5f * static_cast<float>(j + 1)});
    }
    return groups;
  }

  ThreadPool pool;
  std::unique_ptr<Model> teacher, student;
  std::vector<std::vector<TokenId>> prompts, answers;
};

std::vector<std::vector<float>> Weights(const Model& model) {
  std::vector<std::vector<float>> weights;
  for (const Parameter& parameter : model.parameters()) weights.push_back(PlainWeights(parameter, parameter.value));
  return weights;
}

// Distribution over `tokens` after the prompt and `count` tokens of the answer.
std::vector<double> Distribution(const Model& model, const std::vector<TokenId>& prompt,
                                 const std::vector<TokenId>& answer, size_t count, const std::vector<TokenId>& tokens) {
  std::vector<double> probabilities;
  double sum = 0;
  for (const TokenId token : tokens) {
    std::vector<TokenId> begun(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(count));
    begun.push_back(token);
    const std::vector<TrainGroup> groups = {{&prompt, {{.tokens = &begun}}}};
    probabilities.push_back(std::exp(double{ScoreGroups(model, groups, 256).back()}));
    sum += probabilities.back();
  }
  for (double& probability : probabilities) probability /= sum;
  return probabilities;
}

size_t Likeliest(const std::vector<double>& p) { return std::max_element(p.begin(), p.end()) - p.begin(); }

// The header's formula.
DistillStats Plain(const World& world, const std::vector<TokenId>& tokens) {
  DistillStats stats;
  double weights = 0;
  for (const TrainGroup& group : world.Groups()) {
    for (const TrainSample& sample : group.samples) {
      for (size_t t = 0; t < sample.tokens->size(); ++t) {
        const std::vector<double> p = Distribution(*world.teacher, *group.prompt, *sample.tokens, t, tokens);
        const std::vector<double> q = Distribution(*world.student, *group.prompt, *sample.tokens, t, tokens);
        for (size_t v = 0; v < p.size(); ++v) stats.loss -= sample.weight * p[v] * std::log(q[v]);
        weights += sample.weight;
        stats.agreement += Likeliest(p) == Likeliest(q) ? 1 : 0;
        ++stats.tokens;
      }
    }
  }
  stats.loss /= weights;
  stats.agreement /= static_cast<double>(stats.tokens);
  return stats;
}

std::vector<TokenId> AllTokens() {
  std::vector<TokenId> tokens(kVocabulary);
  for (TokenId token = 0; token < kVocabulary; ++token) tokens[token] = token;
  return tokens;
}

TEST(Distiller, LossAndAgreementAreTheFormula) {
  const std::vector<TokenId> some = {7, 2, 19, 11, 0};
  for (const std::vector<TokenId>& head_tokens : {std::vector<TokenId>(), some}) {
    World world;
    const DistillStats expected = Plain(world, head_tokens.empty() ? AllTokens() : head_tokens);
    Distiller distiller(world.student.get(), world.teacher.get(),
                        {.microbatch_tokens = 20, .head_tokens = head_tokens});
    const DistillStats measured = distiller.Measure(world.Groups()), updated = distiller.Update(world.Groups());
    EXPECT_NEAR(updated.loss, expected.loss, 1e-5);
    EXPECT_NEAR(measured.loss, expected.loss, 1e-5);
    EXPECT_DOUBLE_EQ(updated.agreement, expected.agreement);
    EXPECT_EQ(updated.tokens, expected.tokens);
    EXPECT_GT(updated.grad_norm, 0);
    // Of the whole vocabulary's likeliest tokens some are outside the five.
    if (head_tokens.empty()) {
      EXPECT_DOUBLE_EQ(measured.agreement, expected.agreement);
    } else {
      EXPECT_LT(measured.agreement, expected.agreement);
    }
  }
}

TEST(Distiller, AllTokensAsHeadAreTheWholeVocabulary) {
  World world;
  const std::unique_ptr<Model> other = world.Student();
  Distiller whole(world.student.get(), world.teacher.get(), {});
  Distiller head(other.get(), world.teacher.get(), {.head_tokens = AllTokens()});
  for (int step = 0; step < 3; ++step) {
    const DistillStats a = whole.Update(world.Groups()), b = head.Update(world.Groups());
    EXPECT_NEAR(a.loss, b.loss, 1e-5);
    EXPECT_EQ(a.agreement, b.agreement);
  }
}

// Every trained parameter's gradient along a random direction; what is frozen has none.
void ExpectDifferences(bool tied, const DistillOptions& wanted) {
  World world(tied);
  DistillOptions options = wanted;
  // The gradient stays as it comes, and the weights too.
  options.max_grad_norm = options.learning_rate = 0;
  Distiller distiller(world.student.get(), world.teacher.get(), options);
  distiller.Update(world.Groups());
  RandomSequence random(9, RandomStream::kOrder, 0);
  for (Parameter& parameter : world.student->parameters()) {
    const bool is_end = absl::StrContains(parameter.name, "embed") || absl::StrContains(parameter.name, "lm_head");
    ASSERT_EQ(parameter.value.grad().defined(), !is_end || options.parts == DistilledParts::kEverything);
    if (!parameter.value.grad().defined()) continue;
    const std::vector<float> gradient = PlainWeights(parameter, parameter.value.grad());
    const DirectionalSlope slope =
        SlopeAlong(parameter, gradient, 2e-3, random, [&] { return distiller.Measure(world.Groups()).loss; });
    EXPECT_NEAR(slope.measured, slope.expected, 0.02 * std::abs(slope.expected) + 4e-7 / slope.h) << parameter.name;
  }
}

TEST(Distiller, GradientMatchesFiniteDifferences) {
  for (const bool tied : {true, false}) {
    ExpectDifferences(tied, {});
    ExpectDifferences(tied, {.head_tokens = {7, 2, 19, 11, 0}});
    ExpectDifferences(tied, {.parts = DistilledParts::kEverything});
  }
}

TEST(Distiller, FrozenWeightsStayAndLearnAgainAfterwards) {
  World world(/*tied=*/false);
  const auto before = Weights(*world.student);
  Distiller(world.student.get(), world.teacher.get(), {.head_tokens = {7, 2, 19}}).Update(world.Groups());
  const auto after = Weights(*world.student);
  for (size_t p = 0; p < after.size(); ++p) {
    const Parameter& parameter = world.student->parameters()[p];
    const bool is_end = absl::StrContains(parameter.name, "embed") || absl::StrContains(parameter.name, "lm_head");
    EXPECT_EQ(after[p] == before[p], is_end) << parameter.name;
    EXPECT_TRUE(parameter.value.requires_grad());
  }
}

TEST(Distiller, WeightZeroChangesNoByte) {
  World world;
  std::vector<TrainGroup> groups = world.Groups(), without = groups;
  groups[0].samples[1].weight = 0;
  for (TrainSample& sample : groups[2].samples) sample.weight = 0;
  without[0].samples.erase(without[0].samples.begin() + 1);
  without.pop_back();
  const std::unique_ptr<Model> other = world.Student();
  Distiller a(world.student.get(), world.teacher.get(), {}), b(other.get(), world.teacher.get(), {});
  EXPECT_EQ(a.Update(groups).tokens, b.Update(without).tokens);
  EXPECT_EQ(Weights(*world.student), Weights(*other));
  // Nothing at all to learn from.
  for (TrainGroup& group : groups) {
    for (TrainSample& sample : group.samples) sample.weight = 0;
  }
  EXPECT_EQ(a.Update(groups).tokens, 0);
  EXPECT_EQ(Weights(*world.student), Weights(*other));
}

TEST(Distiller, FiftyUpdatesRaiseAgreementToTheSameBytes) {
  World world;
  const std::unique_ptr<Model> other = world.Student();
  Distiller a(world.student.get(), world.teacher.get(), {.learning_rate = 3e-3}),
      b(other.get(), world.teacher.get(), {.learning_rate = 3e-3});
  const DistillStats before = a.Measure(world.Groups());
  for (int step = 0; step < 50; ++step) {
    const DistillStats first = a.Update(world.Groups()), second = b.Update(world.Groups());
    ASSERT_EQ(first.loss, second.loss);
    ASSERT_EQ(first.agreement, second.agreement);
  }
  const DistillStats after = a.Measure(world.Groups());
  EXPECT_LT(after.loss, before.loss - 0.1);
  EXPECT_GT(after.agreement, before.agreement + 0.2);
  EXPECT_EQ(Weights(*world.student), Weights(*other));
}

// Kept states are those that would be computed, also where a batch packs kept answers with new ones, or memory ends.
TEST(Distiller, KeptTeacherStatesGiveTheSameBytes) {
  World world;
  const std::vector<TrainGroup> groups = world.Groups();
  ASSERT_GT(groups.size(), 1u);
  const int64_t all = 1 << 20, first_answer = static_cast<int64_t>(groups[0].samples[0].tokens->size()) * 4 *
                                              world.teacher->config().hidden_size;
  const std::unique_ptr<Model> plain = world.Student();
  Distiller computes(plain.get(), world.teacher.get(), {});
  const auto one_then_all_twice = [&](Distiller& distiller) {
    distiller.Update(std::span(groups).first(1));
    distiller.Update(groups);
    distiller.Update(groups);
  };
  one_then_all_twice(computes);
  for (const int64_t bytes : {first_answer, all}) {
    const std::unique_ptr<Model> student = world.Student();
    Distiller keeps(student.get(), world.teacher.get(), {.kept_teacher_bytes = bytes});
    one_then_all_twice(keeps);
    EXPECT_EQ(Weights(*student), Weights(*plain)) << bytes;
  }
}

// The teacher with its matrices rounded, kept as bfloat16 or as float32.
TEST(Distiller, TeacherInBfloat16GivesTheSameBytes) {
  World world;
  ModelConfig halves = SmallConfig(true);
  halves.weight_type = kernels::WeightType::kBfloat16;
  const std::unique_ptr<Model> stored = std::move(NewModel(halves, &world.pool)).value();
  for (size_t p = 0; p < stored->parameters().size(); ++p) {
    Parameter& from = world.teacher->parameters()[p];
    Parameter& to = stored->parameters()[p];
    AssignPlainWeights(to, PlainWeights(from, from.value).data(), to.value);
    const Tensor floats = to.value.detach().to(at::kFloat);
    Tensor value = from.value.detach();
    AssignPlainWeights(from, PlainWeights(to, floats).data(), value);
  }
  world.student = world.Student();
  const std::unique_ptr<Model> other = std::move(NewStudent(*stored, 2, &world.pool)).value();
  ASSERT_EQ(Weights(*world.student), Weights(*other));
  const DistillOptions options = {.head_tokens = {7, 2, 19, 11, 0}};
  Distiller(world.student.get(), world.teacher.get(), options).Update(world.Groups());
  Distiller(other.get(), stored.get(), options).Update(world.Groups());
  EXPECT_EQ(Weights(*world.student), Weights(*other));
}

TEST(Student, LayersAreSpreadEvenly) {
  // 29 / 2 = 14.5 goes up.
  const std::vector<std::vector<int32_t>> expected = {{0}, {0, 29}, {0, 15, 29}, {0, 10, 19, 29}};
  for (const std::vector<int32_t>& sources : expected) {
    const auto layers = static_cast<int32_t>(sources.size());
    for (int32_t layer = 0; layer < layers; ++layer) EXPECT_EQ(SourceLayer(layer, layers, 30), sources[layer]);
  }
}

TEST(Student, CopiesTheChosenLayersOfEveryFamily) {
  ThreadPool pool(1);
  for (const auto& [name, config] : EveryFamily(SmallConfig(false))) {
    SCOPED_TRACE(name);
    const std::unique_ptr<Model> policy = RandomModel(config, &pool, 3);
    const std::unique_ptr<Model> student = std::move(NewStudent(*policy, 2, &pool)).value();
    ASSERT_EQ(student->config().layers, 2);
    EXPECT_EQ(student->config().window(1), config.window(3));
    for (const Parameter& parameter : student->parameters()) {
      std::string source = parameter.name;
      if (absl::StartsWith(source, "model.layers.1.")) source.replace(13, 1, "3");
      const auto found = std::find_if(policy->parameters().begin(), policy->parameters().end(),
                                      [&](const Parameter& other) { return other.name == source; });
      ASSERT_NE(found, policy->parameters().end());
      EXPECT_EQ(PlainWeights(parameter, parameter.value), PlainWeights(*found, found->value)) << parameter.name;
    }
  }
}

TEST(Student, ConfigTextKeepsEachLayersWindow) {
  ThreadPool pool(1);
  ModelConfig config = SmallConfig(true);
  config.family = "qwen2";
  config.windows = {kernels::kWholeSequence, kernels::kWholeSequence, 17, 17};
  config.config_text =
      R"({"num_hidden_layers": 4, "use_sliding_window": true, "sliding_window": 17, "max_window_layers": 2, "x": 1})";
  const auto text = [&](int32_t layers) {
    return nlohmann::json::parse(
        (*NewStudent(*std::move(NewModel(config, &pool)).value(), layers, &pool))->config().config_text);
  };
  EXPECT_EQ(text(3).dump(),
            R"({"max_window_layers":1,"num_hidden_layers":3,"sliding_window":17,"use_sliding_window":true,"x":1})");
  config.config_text = R"({"num_hidden_layers": 4, "layer_types": ["full", "full", "sliding", "sliding"]})";
  EXPECT_EQ(text(2).dump(), R"({"layer_types":["full","sliding"],"num_hidden_layers":2})");
}

TEST(Student, WrongLayersAreRefused) {
  ThreadPool pool(1);
  const std::unique_ptr<Model> policy = RandomModel(SmallConfig(true), &pool, 3);
  for (const int32_t layers : {-1, 0, 4, 9}) {
    const auto student = NewStudent(*policy, layers, &pool);
    ASSERT_FALSE(student.ok());
    EXPECT_EQ(student.status().message(),
              absl::StrCat("a student of ", layers, " layers, the model has 4; wanted 1 to 3"));
  }
}

}  // namespace
}  // namespace hone
