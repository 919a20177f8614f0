// What every curriculum, shaper, gate and composer of the menu keeps to, with default options: twice the same, the same after a checkpoint at any
// step, and no harm from empty groups, equal rewards, or a single group. A new component is tested here by being on the menu.
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "recipes/build.h"

namespace hone {
namespace {

constexpr int64_t kSteps = 12;

enum class Kind { kMixed, kEqual, kNoVerdicts, kEmpty };

// What a step brings: groups of a few prompts that come again, with answers of various lengths.
std::vector<Group> StepGroups(int64_t step, size_t count, Kind kind) {
  std::vector<Group> groups;
  RandomSequence random(7, RandomStream::kTask, static_cast<uint64_t>(step));
  for (size_t i = 0; i < count; ++i) {
    Group& group = groups.emplace_back();
    group.step = step;
    group.prompt.key = (static_cast<uint64_t>(step) * count + i) % 10;
    group.prompt.tokens = {1, static_cast<TokenId>(2 + group.prompt.key)};
    if (kind == Kind::kEmpty) continue;
    for (int32_t index = 0; index < 8; ++index) {
      Sample& sample = group.samples.emplace_back();
      sample.index = index;
      sample.tokens.resize(1 + random.Below(15));
      for (TokenId& token : sample.tokens) token = static_cast<TokenId>(random.Below(20));
      sample.logprobs.assign(sample.tokens.size(), -0.5f);
      sample.advantages.assign(sample.tokens.size(), index % 2 == 0 ? 0.5f : -0.5f);
      sample.finish_reason = sample.tokens.size() == 15 ? FinishReason::kLength : FinishReason::kStop;
      sample.policy_version = step;
      if (kind == Kind::kNoVerdicts) continue;
      sample.verdict.score = kind == Kind::kEqual ? 1 : random.Below(3) == 0 ? 1 : 0;
    }
  }
  return groups;
}

std::string Describe(const std::vector<Group>& groups) {
  std::string text;
  for (const Group& group : groups) {
    absl::StrAppend(&text, group.prompt.key, ":");
    for (const Sample& sample : group.samples)
      absl::StrAppend(&text, " ", sample.tokens.size(), "/", sample.reward().value_or(-9), "/", sample.policy_version);
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::vector<std::string> NamesOf(const std::string& slot) {
  std::vector<std::string> names;
  const auto components = ListComponents(slot).value();
  for (const ComponentInfo& component : components) {
    EXPECT_NE(component.paper, "") << slot << " " << component.name << " names no paper";
    names.push_back(component.name);
  }
  return names;
}

std::string CheckpointOf(const std::string& name) { return absl::StrCat(testing::TempDir(), "/", name, ".state"); }

// The predictor of a test: how right a prompt's answers are is a function of its key, and nothing is learnt.
class KnownRates : public PassRatePredictor {
 public:
  std::vector<double> Predict(std::span<const Prompt> prompts) override {
    std::vector<double> rates;
    for (const Prompt& prompt : prompts) rates.push_back(static_cast<double>(prompt.key % 11) / 10);
    return rates;
  }
  absl::Status Learn(std::span<const Group> /*groups*/, Metrics& /*metrics*/) override { return absl::OkStatus(); }
};

// A meter that finds more influence the later a step begins.
class KnownInfluence : public AttentionMeter {
 public:
  std::vector<AnswerStep> Measure(const Prompt& /*prompt*/, const Sample& sample, int32_t /*distance*/) override {
    std::vector<AnswerStep> steps;
    for (int32_t begin = 0; begin < static_cast<int32_t>(sample.tokens.size()); begin += 2)
      steps.push_back({begin, static_cast<double>(begin)});
    return steps;
  }
};

// ---- Curricula ---------------------------------------------------------------------------------------------------

class CurriculumRun {
 public:
  explicit CurriculumRun(const std::string& name) : curriculum_(BuildCurriculum(name).value()) {
    if (curriculum_->predictor_options()) curriculum_->UsePredictor(&predictor_);
    if (curriculum_->wants_attention()) curriculum_->UseAttention(&meter_);
  }

  std::string Step(int64_t step, Kind kind, size_t wanted = 4) {
    std::vector<Prompt> candidates;
    const size_t offered = wanted * static_cast<size_t>(curriculum_->candidates_per_prompt());
    for (size_t i = 0; i < offered; ++i) {
      Prompt& prompt = candidates.emplace_back();
      prompt.key = (static_cast<uint64_t>(step) * 7 + i) % 31;
      prompt.tokens = {1, 2};
    }
    RandomSequence random(1, RandomStream::kOrder, static_cast<uint64_t>(step));
    const std::vector<size_t> chosen = curriculum_->Choose(candidates, wanted, random);
    EXPECT_EQ(chosen.size(), wanted);
    EXPECT_EQ(std::set<size_t>(chosen.begin(), chosen.end()).size(), wanted) << "a candidate was chosen twice";
    std::string text;
    for (const size_t index : chosen) {
      EXPECT_LT(index, candidates.size());
      absl::StrAppend(&text, candidates[index].key, " ");
    }
    std::vector<Group> groups = StepGroups(step, wanted, kind);
    for (const Group& group : groups) {
      int rounds = 0;
      for (int stage = 0; curriculum_->MoreSamples(group, stage) > 0; ++stage)
        ++rounds, absl::StrAppend(&text, "+", curriculum_->MoreSamples(group, stage));
      EXPECT_LT(rounds, 100) << "asks for more without end";
      for (const Branch& branch : curriculum_->Branches(group)) {
        EXPECT_LT(static_cast<size_t>(branch.sample), group.samples.size());
        EXPECT_GT(branch.at, 0);
        EXPECT_LT(static_cast<size_t>(branch.at), group.samples[branch.sample].tokens.size());
        EXPECT_GT(branch.count, 0);
        absl::StrAppend(&text, " ", branch.sample, "@", branch.at, "x", branch.count);
      }
    }
    EXPECT_TRUE(curriculum_->Learn(groups, metrics_).ok());
    return text;
  }

  Curriculum& curriculum() { return *curriculum_; }

 private:
  KnownRates predictor_;
  KnownInfluence meter_;
  std::unique_ptr<Curriculum> curriculum_;
  Metrics metrics_;
};

TEST(ConformanceTest, Curricula) {
  for (const std::string& name : NamesOf("curriculum")) {
    SCOPED_TRACE(name);
    std::vector<std::string> whole;
    CurriculumRun first(name);
    for (int64_t step = 0; step < kSteps; ++step) whole.push_back(first.Step(step, Kind::kMixed));
    for (const int64_t stop : {0, 1, 5}) {
      CurriculumRun before(name), after(name);
      for (int64_t step = 0; step < stop; ++step) EXPECT_EQ(before.Step(step, Kind::kMixed), whole[step]);
      ASSERT_TRUE(before.curriculum().Save(CheckpointOf(name)).ok());
      ASSERT_TRUE(after.curriculum().Load(CheckpointOf(name)).ok());
      for (int64_t step = stop; step < kSteps; ++step) EXPECT_EQ(after.Step(step, Kind::kMixed), whole[step]);
    }
    CurriculumRun odd(name);
    for (const Kind kind : {Kind::kEqual, Kind::kNoVerdicts, Kind::kEmpty}) odd.Step(0, kind), odd.Step(1, kind, 1);
  }
}

// ---- Shapers and gates -------------------------------------------------------------------------------------------

TEST(ConformanceTest, Shapers) {
  for (const std::string& name : NamesOf("shaper")) {
    SCOPED_TRACE(name);
    const auto shaper = BuildShaper(name).value();
    if (shaper == nullptr) continue;
    for (const Kind kind : {Kind::kMixed, Kind::kEqual, Kind::kNoVerdicts, Kind::kEmpty}) {
      std::vector<Group> once = StepGroups(1, 4, kind), twice = StepGroups(1, 4, kind);
      for (Group& group : once) shaper->Shape(15, group);
      for (Group& group : twice) shaper->Shape(15, group);
      EXPECT_EQ(Describe(once), Describe(twice));
      for (const Group& group : once) {
        for (const Sample& sample : group.samples) {
          EXPECT_TRUE(std::isfinite(sample.shaping));
          EXPECT_EQ(sample.reward().has_value(), sample.verdict.score.has_value());
        }
      }
    }
  }
}

TEST(ConformanceTest, Gates) {
  for (const std::string& name : NamesOf("gate")) {
    SCOPED_TRACE(name);
    const auto gate = BuildGate(name).value();
    if (gate == nullptr) continue;
    EXPECT_GE(gate->max_rounds(), 1);
    for (const Kind kind : {Kind::kMixed, Kind::kEqual, Kind::kNoVerdicts, Kind::kEmpty}) {
      const std::vector<Group> groups = StepGroups(1, 4, kind);
      for (const Group& group : groups) {
        EXPECT_EQ(gate->Keeps(group), gate->Keeps(group));
        if (kind == Kind::kNoVerdicts || kind == Kind::kEmpty) {
          EXPECT_FALSE(gate->Keeps(group)) << "keeps what has no verdict";
        }
      }
    }
  }
}

// ---- Composers ---------------------------------------------------------------------------------------------------

class ComposerRun {
 public:
  explicit ComposerRun(const std::string& name) : composer_(BuildComposer(name).value()) {}

  std::string Step(int64_t step, Kind kind, size_t count = 4) {
    std::vector<Group> groups = StepGroups(step, count, kind);
    const ComposerStep composing{1, step};
    composer_->Blend(composing, groups, metrics_);
    std::string text = Describe(groups);
    std::vector<TrainGroup> offered;
    for (Group& group : groups) {
      TrainGroup& train = offered.emplace_back(TrainGroup{&group.prompt.tokens, {}});
      for (Sample& sample : group.samples) {
        if (!sample.verdict.score) continue;
        EXPECT_EQ(sample.tokens.size(), sample.logprobs.size());
        EXPECT_LE(sample.policy_version, step);
        sample.advantages.assign(sample.tokens.size(), *sample.verdict.score > 0 ? 1 : -0.25);
        train.samples.push_back({.tokens = &sample.tokens,
                                 .logprobs = &sample.logprobs,
                                 .advantages = &sample.advantages,
                                 .policy_version = sample.policy_version,
                                 .is_correct = *sample.verdict.score >= kCorrectScore});
      }
      if (train.samples.empty()) offered.pop_back();
    }
    const auto batches = composer_->Compose(composing, std::move(offered), metrics_);
    EXPECT_GE(batches.size(), 1u);
    EXPECT_LE(batches.size(), static_cast<size_t>(composer_->max_batches()));
    for (const std::vector<TrainGroup>& batch : batches) {
      for (const TrainGroup& group : batch) {
        EXPECT_FALSE(group.samples.empty());
        absl::StrAppend(&text, group.prompt->back(), ">");
        for (const TrainSample& sample : group.samples)
          absl::StrAppend(&text, " ", sample.tokens->size(), "/", sample.advantages->front());
        absl::StrAppend(&text, "\n");
      }
      absl::StrAppend(&text, "--\n");
    }
    return text;
  }

  Composer& composer() { return *composer_; }

 private:
  std::unique_ptr<Composer> composer_;
  Metrics metrics_;
};

TEST(ConformanceTest, Composers) {
  for (const std::string& name : NamesOf("composer")) {
    SCOPED_TRACE(name);
    if (BuildComposer(name).value() == nullptr) continue;
    std::vector<std::string> whole;
    ComposerRun first(name);
    for (int64_t step = 0; step < kSteps; ++step) whole.push_back(first.Step(step, Kind::kMixed));
    for (const int64_t stop : {0, 1, 5}) {
      ComposerRun before(name), after(name);
      for (int64_t step = 0; step < stop; ++step) EXPECT_EQ(before.Step(step, Kind::kMixed), whole[step]);
      ASSERT_TRUE(before.composer().Save(CheckpointOf(name)).ok());
      ASSERT_TRUE(after.composer().Load(CheckpointOf(name)).ok());
      for (int64_t step = stop; step < kSteps; ++step) EXPECT_EQ(after.Step(step, Kind::kMixed), whole[step]);
    }
    ComposerRun odd(name);
    for (const Kind kind : {Kind::kEqual, Kind::kNoVerdicts, Kind::kEmpty}) odd.Step(0, kind), odd.Step(1, kind, 1);
    odd.Step(2, Kind::kMixed, 0);
  }
}

}  // namespace
}  // namespace hone
