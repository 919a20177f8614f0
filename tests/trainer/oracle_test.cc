// Cases worked out elsewhere, in float64 (shared/oracles/README.md), against the components that train. Every *.json of the folder
// named by HONE_ORACLES, else of ../shared/oracles beside the checkout, is read; cases of components that Hone does not have are
// counted and named.
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/file.h"
#include "engine/base/tensor.h"
#include "recipes/build.h"
#include "rollout/evaluation.h"
#include "tests/trainer/tensors.h"
#include "trainer/advantage.h"
#include "trainer/kl.h"
#include "trainer/loss.h"
#include "trainer/noise_scale.h"

namespace hone {
namespace {

using Json = nlohmann::json;

struct Tolerance {
  double rtol = 0, atol = 0;

  void Check(double got, double want, const std::string& what) const {
    EXPECT_LE(std::abs(got - want), atol + rtol * std::abs(want)) << what << ": got " << got << ", want " << want;
  }
};

std::set<std::string> Names(const std::string& slot) {
  std::set<std::string> names;
  const std::vector<ComponentInfo> components = ListComponents(slot).value();
  for (const ComponentInfo& component : components) names.insert(component.name);
  return names;
}

// Values of tokens in, advantages and returns of tokens out.
std::string RunGae(const Json& oracle, const Tolerance& tolerance) {
  const auto advantage =
      BuildAdvantage(absl::StrCat("gae(gamma=", oracle.at("gamma").dump(), ", lam=", oracle.at("lam").dump(),
                                  ", whiten=", oracle.at("whiten").dump(), ")"));
  EXPECT_TRUE(advantage.ok()) << advantage.status();
  if (!advantage.ok()) return "";
  const std::vector<std::vector<float>> values = oracle.at("values");
  std::vector<RewardedSample> samples;
  for (size_t i = 0; i < values.size(); ++i) {
    const Json& reward = oracle.at("rewards")[i];
    samples.push_back({std::nullopt, oracle.at("group")[i], oracle.at("lengths")[i]});
    samples.back().values = values[i];
    if (!reward.is_null()) samples.back().reward = reward.get<double>();
  }
  const Estimate got = (*advantage)->Compute(samples);
  const std::vector<std::vector<double>> advantages = oracle.at("expect").at("per_token"),
                                         returns = oracle.at("expect").at("returns");
  EXPECT_EQ(got.advantages.size(), advantages.size());
  EXPECT_EQ(got.returns.size(), returns.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(got.advantages[i].size(), values[i].size());
    EXPECT_EQ(got.returns[i].size(), values[i].size());
    for (size_t t = 0; t < values[i].size(); ++t) {
      tolerance.Check(got.advantages[i][t], advantages[i][t], absl::StrCat("advantage ", i, ", token ", t));
      if (samples[i].reward)
        tolerance.Check(got.returns[i][t], returns[i][t], absl::StrCat("return ", i, ", token ", t));
    }
  }
  return "";
}

// A case either runs, and returns "", or returns the name of what Hone does not have.
std::string RunAdvantage(const Json& oracle, const Tolerance& tolerance) {
  const std::string estimator = oracle.at("estimator");
  static const std::set<std::string> known = Names("advantage");
  if (!known.contains(estimator)) return absl::StrCat("advantage ", estimator);

  if (estimator == "gae") return RunGae(oracle, tolerance);
  std::string spec = estimator;
  if (estimator == "grpo") spec = absl::StrCat("grpo(epsilon=", oracle.at("epsilon").dump(), ")");
  if (estimator == "reinforce_plus_plus") {
    spec = absl::StrCat("reinforce_plus_plus(gamma=", oracle.at("gamma").dump(), ")");
  }
  const auto advantage = BuildAdvantage(spec);
  EXPECT_TRUE(advantage.ok()) << advantage.status();
  if (!advantage.ok()) return "";
  std::vector<RewardedSample> samples;
  for (size_t i = 0; i < oracle.at("rewards").size(); ++i) {
    const Json& reward = oracle.at("rewards")[i];
    samples.push_back({std::nullopt, oracle.at("group")[i], oracle.at("lengths")[i]});
    if (!reward.is_null()) samples.back().reward = reward.get<double>();
    if (oracle.contains("greedy_rewards"))
      samples.back().greedy_reward = oracle.at("greedy_rewards").at(samples.back().group).get<double>();
  }
  const std::vector<std::vector<float>> got = (*advantage)->Compute(samples).advantages;
  const Json& expect = oracle.at("expect");
  const bool per_token = expect.contains("per_token");
  const Json& want = expect.at(per_token ? "per_token" : "per_sequence");
  EXPECT_EQ(got.size(), want.size());
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    EXPECT_EQ(got[i].size(), oracle.at("lengths")[i].get<size_t>());
    EXPECT_TRUE(!per_token || got[i].size() == want[i].size());
    for (size_t t = 0; t < got[i].size(); ++t) {
      tolerance.Check(got[i][t], per_token ? want[i].at(t) : want[i], absl::StrCat("advantage ", i, ", token ", t));
    }
  }
  return "";
}

// Masked-in tokens, sequence after sequence, as the learner lays them out.
struct Tokens {
  std::vector<float> logprobs, old, rollout, reference, advantages;
  std::vector<double> want_gradient;
  std::vector<int32_t> lengths;
};

Tokens MaskedIn(const Json& oracle) {
  Tokens tokens;
  for (size_t s = 0; s < oracle.at("logp").size(); ++s) {
    int32_t length = 0;
    for (size_t t = 0; t < oracle.at("logp")[s].size(); ++t) {
      const double want = oracle.at("expect").at("grad")[s][t];
      if (oracle.at("mask")[s][t] == 0) {
        EXPECT_EQ(want, 0) << "a masked-out token has a gradient";
        continue;
      }
      tokens.logprobs.push_back(oracle.at("logp")[s][t]);
      tokens.old.push_back(oracle.at("old_logp")[s][t]);
      tokens.rollout.push_back(oracle.at("rollout_logp")[s][t]);
      tokens.reference.push_back(oracle.at("ref_logp")[s][t]);
      tokens.advantages.push_back(oracle.at("advantages")[s]);
      tokens.want_gradient.push_back(want);
      ++length;
    }
    tokens.lengths.push_back(length);
  }
  return tokens;
}

std::string LossSpec(const Json& oracle) {
  std::vector<std::string> options = {absl::StrCat("aggregation=", oracle.at("aggregation").get<std::string>())};
  if (oracle.at("aggregation") == "seq_mean_token_sum_norm") {
    options.push_back(absl::StrCat("norm_length=", oracle.at("norm_length").dump()));
  }
  for (const auto& [name, value] : oracle.at("params").items())
    options.push_back(absl::StrCat(name, "=", value.dump()));
  return absl::StrCat(oracle.at("loss").get<std::string>(), "(", absl::StrJoin(options, ", "), ")");
}

std::string RunPolicyLoss(const Json& oracle, const Tolerance& tolerance) {
  static const std::set<std::string> known = Names("loss");
  const std::string name = oracle.at("loss");
  if (!known.contains(name)) return absl::StrCat("policy_loss ", name);
  const auto loss = BuildLoss(LossSpec(oracle));
  EXPECT_TRUE(loss.ok()) << loss.status();
  if (!loss.ok()) return "";
  const Tokens tokens = MaskedIn(oracle);
  const Tensor logprobs = ToTensor(tokens.logprobs).requires_grad_(true);
  const Tensor old = ToTensor(tokens.old), rollout = ToTensor(tokens.rollout), reference = ToTensor(tokens.reference);
  Tensor values, clipped;
  (*loss)->Compute({logprobs, old, rollout, reference, Tensor(), ToTensor(tokens.advantages), tokens.lengths},
                   {values, clipped});
  if (const std::string kl = oracle.at("kl"); kl != "none") {
    const KlEstimator estimator = kl == "k1" ? KlEstimator::kK1 : kl == "k2" ? KlEstimator::kK2 : KlEstimator::kK3;
    values = values + KlPerToken(estimator, logprobs, reference) * oracle.at("kl_coef").get<double>();
  }
  const Tensor weights = ToTensor(LossWeights((*loss)->aggregation(), tokens.lengths, (*loss)->norm_length()));
  const Tensor total = at::dot(values, weights);
  total.backward();

  tolerance.Check(total.item<double>(), oracle.at("expect").at("loss"), "loss");
  const float* gradient = logprobs.grad().const_data_ptr<float>();
  for (size_t i = 0; i < tokens.want_gradient.size(); ++i) {
    tolerance.Check(gradient[i], tokens.want_gradient[i], absl::StrCat("gradient ", i));
  }
  if (oracle.at("expect").contains("clip_fraction")) {
    EXPECT_TRUE(clipped.defined());
    if (!clipped.defined()) return "";
    const double share = clipped.sum().item<double>() / static_cast<double>(tokens.logprobs.size());
    tolerance.Check(share, oracle.at("expect").at("clip_fraction"), "clip_fraction");
  }
  return "";
}

// The oracle knows an answer's log-probability and length; here it is spread over its tokens, later ones with more.
void SpreadOverTokens(double logprob, int32_t length, std::vector<float>& tokens) {
  const double shares = 0.5 * length * (length + 1);
  for (int32_t i = 1; i <= length; ++i) tokens.push_back(static_cast<float>(logprob * i / shares));
}

std::string RunPreferenceLoss(const Json& oracle, const Tolerance& tolerance) {
  static const std::set<std::string> known = Names("loss");
  const std::string name = oracle.at("loss");
  if (!known.contains(name)) return absl::StrCat("preference_loss ", name);
  std::vector<std::string> options;
  for (const auto& [option, value] : oracle.at("params").items())
    options.push_back(absl::StrCat(option, "=", value.dump()));
  const auto loss = BuildLoss(absl::StrCat(name, "(", absl::StrJoin(options, ", "), ")"));
  EXPECT_TRUE(loss.ok()) << loss.status();
  if (!loss.ok()) return "";

  std::vector<float> logprobs_of_tokens, reference_of_tokens;
  std::vector<int32_t> lengths;
  for (size_t i = 0; i < oracle.at("chosen_logp").size(); ++i) {
    for (const std::string side : {"chosen", "rejected"}) {
      lengths.push_back(oracle.at(side + "_length")[i]);
      SpreadOverTokens(oracle.at(side + "_logp")[i], lengths.back(), logprobs_of_tokens);
      SpreadOverTokens(oracle.at("ref_" + side + "_logp")[i], lengths.back(), reference_of_tokens);
    }
  }
  const Tensor logprobs = ToTensor(logprobs_of_tokens).requires_grad_(true), reference = ToTensor(reference_of_tokens);
  const Tensor constant = logprobs.detach();
  Tensor values, clipped, rewards;
  (*loss)->Compute({logprobs, constant, constant, reference, Tensor(), constant, lengths}, {values, clipped, &rewards});
  const Tensor total = at::dot(values, ToTensor(LossWeights((*loss)->aggregation(), lengths, 1)));
  total.backward();

  tolerance.Check(total.item<double>(), oracle.at("expect").at("loss"), "loss");
  const float* gradient = logprobs.grad().const_data_ptr<float>();
  for (size_t sample = 0; sample < lengths.size(); ++sample) {
    const char* side = sample % 2 == 0 ? "grad_chosen" : "grad_rejected";
    const double want = oracle.at("expect").at(side)[sample / 2];
    for (int32_t i = 0; i < lengths[sample]; ++i) {
      tolerance.Check(*gradient++, want, absl::StrCat(side, " ", sample / 2, ", token ", i));
    }
  }
  EXPECT_EQ(rewards.numel(), static_cast<int64_t>(lengths.size()));
  return "";
}

std::string RunPassAtK(const Json& oracle, const Tolerance& tolerance) {
  tolerance.Check(PassAtK(oracle.at("n"), oracle.at("correct"), oracle.at("k")), oracle.at("expect").at("value"),
                  "pass@k");
  return "";
}

std::string RunGradientNoiseScale(const Json& oracle, const Tolerance& tolerance) {
  const NoiseEstimate got = EstimateNoise({.small_batch = oracle.at("batch_small"),
                                           .big_batch = oracle.at("batch_big"),
                                           .small_sq = oracle.at("grad_sq_small"),
                                           .big_sq = oracle.at("grad_sq_big")});
  tolerance.Check(got.grad_sq, oracle.at("expect").at("grad_sq"), "grad_sq");
  tolerance.Check(got.trace, oracle.at("expect").at("trace"), "trace");
  return "";
}

std::string RunOverlongPenalty(const Json& oracle, const Tolerance& tolerance) {
  const auto shaper =
      BuildShaper(absl::StrCat("overlong(max_length=", oracle.at("max_length").dump(),
                               ", buffer=", oracle.at("buffer").dump(), ", factor=", oracle.at("factor").dump(), ")"));
  EXPECT_TRUE(shaper.ok()) << shaper.status();
  if (!shaper.ok()) return "";
  Group group;
  for (const Json& length : oracle.at("lengths")) {
    Sample& sample = group.samples.emplace_back();
    sample.tokens.resize(length.get<size_t>());
    sample.verdict.score = 0.5;
  }
  (*shaper)->Shape(/*max_new_tokens=*/1, group);
  for (size_t i = 0; i < group.samples.size(); ++i) {
    tolerance.Check(group.samples[i].shaping, oracle.at("expect").at("penalty")[i], absl::StrCat("penalty ", i));
  }
  return "";
}

using Runner = std::function<std::string(const Json&, const Tolerance&)>;

const std::map<std::string, Runner>& Runners() {
  static const std::map<std::string, Runner> runners = {{"advantage", RunAdvantage},
                                                        {"policy_loss", RunPolicyLoss},
                                                        {"preference_loss", RunPreferenceLoss},
                                                        {"overlong_penalty", RunOverlongPenalty},
                                                        {"pass_at_k", RunPassAtK},
                                                        {"gradient_noise_scale", RunGradientNoiseScale}};
  return runners;
}

std::string OracleFolder() {
  if (const char* folder = std::getenv("HONE_ORACLES")) return folder;
  const char* source = std::getenv("HONE_SOURCE");
  return absl::StrCat(source != nullptr ? source : ".", "/../shared/oracles");
}

TEST(Oracle, TheFormulasGiveTheSameNumbers) {
  const std::string folder = OracleFolder();
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no folder " << folder << "; HONE_ORACLES names another";

  std::map<std::string, int> ran, not_built;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    const auto text = ReadFile(file.string());
    ASSERT_TRUE(text.ok()) << text.status();
    const Json oracles = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(oracles.is_object() && oracles.contains("cases")) << file << " holds no cases";
    const Tolerance tolerance{oracles.at("rtol"), oracles.at("atol")};
    for (const Json& oracle : oracles.at("cases")) {
      const std::string kind = oracle.at("kind");
      SCOPED_TRACE(absl::StrCat(file.filename().string(), ", case ", oracle.at("name").dump()));
      const auto runner = Runners().find(kind);
      const std::string missing = runner == Runners().end() ? kind : runner->second(oracle, tolerance);
      ++(missing.empty() ? ran[kind] : not_built[missing]);
    }
  }

  int total = 0;
  for (const auto& [kind, count] : ran) total += count;
  std::cout << "oracles: ran " << total << " cases (" << absl::StrJoin(ran, ", ", absl::PairFormatter(" "))
            << "); not built: " << absl::StrJoin(not_built, ", ", absl::PairFormatter(" ")) << "\n";
  EXPECT_GT(total, 0) << "no case of " << folder << " ran";
}

}  // namespace
}  // namespace hone
