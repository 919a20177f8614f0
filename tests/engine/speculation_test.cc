// Speculation changes times and nothing else: tokens, log-probabilities and finish reasons equal plain decoding to the byte, for
// every drafter, one that proposes garbage and one that knows the truth included. And the planner: drafts where they pay, none where
// they do not. The planner's decisions follow measured times; the drafts that must be checked are forced by Insistent.
//
// HONE_SPECULATION_MODEL=DIR runs on a model folder as well: tests/peers/smollm2_test.py has ADraftModel... run so; all of it takes 7 minutes
// with SmolLM2-135M.
#include "engine/speculation.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "engine/base/random.h"
#include "engine/checkpoint.h"
#include "engine/generator.h"
#include "tests/engine/small_model.h"

namespace hone {
namespace {

using Samples = std::map<std::pair<uint64_t, int32_t>, Sample>;

std::vector<Prompt> RandomPrompts(int count, int longest, int32_t vocab) {
  std::vector<Prompt> prompts(count);
  for (int i = 0; i < count; ++i) {
    RandomSequence random(3, RandomStream::kTask, i);
    prompts[i].key = i;
    const uint32_t length = 1 + random.Below(longest);
    for (uint32_t t = 0; t < length; ++t) prompts[i].tokens.push_back(static_cast<TokenId>(random.Below(vocab)));
  }
  return prompts;
}

// Any tokens, all with full confidence.
class Garbage : public Drafter {
 public:
  explicit Garbage(int32_t vocab) : vocab_(vocab) {}
  void Propose(std::span<DraftRequest*> requests) override {
    for (DraftRequest* request : requests) {
      for (int32_t i = 0; i < std::min(request->most, 5); ++i) {
        request->draft.push_back({static_cast<TokenId>(random_.Below(vocab_)), 1});
      }
    }
  }

 private:
  RandomSequence random_{5, RandomStream::kTask, 0};
  int32_t vocab_;
};

// The plain run's tokens, some of them replaced: every length of acceptance occurs.
class Truth : public Drafter {
 public:
  Truth(const Samples& samples, int wrong_every) : samples_(samples), wrong_every_(wrong_every) {}
  void Propose(std::span<DraftRequest*> requests) override {
    for (DraftRequest* request : requests) {
      const auto& truth = samples_.at({request->prompt->key, static_cast<int32_t>(request->key.sample)}).tokens;
      for (size_t i = request->tokens->size();
           i < truth.size() && static_cast<int32_t>(request->draft.size()) < std::min(request->most, 9); ++i) {
        const bool wrong = wrong_every_ > 0 && ++count_ % wrong_every_ == 0;
        request->draft.push_back({wrong ? (truth[i] + 1) % 41 : truth[i], 1});
      }
    }
  }

 private:
  const Samples& samples_;
  int wrong_every_, count_ = 0;
};

struct Outcome {
  Samples samples;
  GenerationStats stats;
};

// How the planner's view of times is made: by measurement, or such that every draft is checked.
enum class Planning { kMeasured, kCheckAll };

Outcome Generate(const Model& model, const std::vector<Prompt>& prompts, int32_t n, const GenerationOptions& options,
                 const GeneratorLimits& limits, Drafter* drafter, Planning planning = Planning::kCheckAll) {
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, n});
  Outcome outcome;
  Generator generator(&model, nullptr, limits);
  EXPECT_TRUE(generator.UseDrafter(drafter).ok());
  if (drafter != nullptr && planning == Planning::kCheckAll) generator.CheckEveryDraft();
  const absl::Status status = generator.Run(requests, options, [&](size_t request, Sample sample) {
    EXPECT_TRUE(outcome.samples.emplace(std::pair{prompts[request].key, sample.index}, std::move(sample)).second);
  });
  EXPECT_TRUE(status.ok()) << status;
  outcome.stats = generator.stats();
  return outcome;
}

void ExpectSame(const Samples& a, const Samples& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [key, sample] : a) {
    const Sample& other = b.at(key);
    ASSERT_EQ(sample.tokens, other.tokens) << key.first << " " << key.second;
    EXPECT_EQ(sample.finish_reason, other.finish_reason);
    ASSERT_EQ(std::memcmp(sample.logprobs.data(), other.logprobs.data(), sample.logprobs.size() * sizeof(float)), 0);
  }
}

std::unique_ptr<Drafter> Make(absl::StatusOr<std::unique_ptr<Drafter>> (*factory)(Spec&), const std::string& text) {
  auto spec = Spec::Parse(text);
  EXPECT_TRUE(spec.ok());
  auto drafter = factory(*spec);
  EXPECT_TRUE(drafter.ok()) << drafter.status();
  return std::move(*drafter);
}

// Every drafter x temperature x batch, at least 200 samples each; pages enough, and so few that samples are preempted.
void CompareAll(const Model& model, int prompt_count, int32_t n, int32_t new_tokens, int64_t few_pages) {
  const int32_t vocab = model.config().vocab_size;
  const std::vector<Prompt> prompts = RandomPrompts(prompt_count, 40, vocab);
  int64_t preemptions = 0;
  for (const float temperature : {0.0f, 0.7f, 1.0f}) {
    GenerationOptions options;
    options.max_new_tokens = new_tokens;
    options.temperature = temperature;
    options.top_p = temperature == 0.7f ? 0.9f : 1;
    options.top_k = temperature == 0.7f ? 20 : 0;
    options.seed = 11;
    const Outcome plain = Generate(model, prompts, n, options, {int64_t{1} << 30, 64, 1024}, nullptr);
    ASSERT_GE(plain.samples.size(), 200u);
    for (const int32_t batch : {1, 8, 64}) {
      std::map<std::string, std::unique_ptr<Drafter>> drafters;
      drafters["garbage"] = std::make_unique<Garbage>(vocab);
      drafters["truth"] = std::make_unique<Truth>(plain.samples, 0);
      drafters["half-truth"] = std::make_unique<Truth>(plain.samples, 3);
      drafters["ngram"] = Make(NewNgramDrafter, "ngram(shortest=1)");
      drafters["history"] = Make(NewHistoryDrafter, "history");
      drafters["auto"] = Make(NewAutoDrafter, "auto");
      for (const auto& [name, drafter] : drafters) {
        SCOPED_TRACE(absl::StrCat(name, ", temperature ", temperature, ", batch ", batch));
        const bool few = batch == 8 && few_pages > 0;
        const int64_t bytes = few ? few_pages * model.config().kv_page_bytes() : int64_t{1} << 30;
        for (int epoch = 0; epoch < (name == "history" ? 2 : 1); ++epoch) {
          const Outcome outcome = Generate(model, prompts, n, options, {bytes, batch, 300}, drafter.get());
          ExpectSame(plain.samples, outcome.samples);
          preemptions += outcome.stats.preemptions;
          const SpeculationStats& stats = outcome.stats.speculation;
          EXPECT_EQ(outcome.stats.tokens, plain.stats.tokens);
          // Three tokens on a folder may repeat nothing.
          const bool knows = name == "garbage" || name == "truth" || name == "half-truth";
          if (knows || (few_pages > 0 && (name != "ngram" || temperature == 0))) {
            EXPECT_GT(stats.drafted, 0);
          }
          if (name == "truth") {
            EXPECT_EQ(stats.accepted, stats.drafted);
            EXPECT_LT(outcome.stats.passes, batch == 1 ? plain.stats.tokens : INT64_MAX);
          }
          if (name == "garbage" || name == "half-truth") {
            EXPECT_LT(stats.accepted, stats.drafted);
          }
        }
      }
    }
  }
  if (few_pages > 0) {
    EXPECT_GT(preemptions, 0);
  }
}

TEST(Speculation, ChangesNoByte) {
  ThreadPool pool(2);
  CompareAll(*SmallModel(&pool), 52, 4, 30, 12);
}

TEST(Speculation, ChangesNoByteOnAFolder) {
  const char* folder = std::getenv("HONE_SPECULATION_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "HONE_SPECULATION_MODEL names no model folder";
  ThreadPool pool(2);
  auto model = LoadModel(folder, &pool);
  ASSERT_TRUE(model.ok()) << model.status();
  CompareAll(**model, 50, 4, 3, 0);
}

// The policy as its own draft model: at temperature 0 and 1 alike every token is accepted, as both draw with the same number from the
// same distribution.
TEST(Speculation, ADraftModelDrawsWithThePolicysNumbers) {
  const char* folder = std::getenv("HONE_SPECULATION_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "HONE_SPECULATION_MODEL names no model folder";
  ThreadPool pool(2);
  auto model = LoadModel(folder, &pool);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<Prompt> prompts = RandomPrompts(8, 40, (*model)->config().vocab_size);
  for (const float temperature : {0.0f, 1.0f}) {
    GenerationOptions options;
    options.max_new_tokens = 10;
    options.temperature = temperature;
    const GeneratorLimits limits{int64_t{1} << 30, 8, 1024};
    const Outcome plain = Generate(**model, prompts, 1, options, limits, nullptr);
    const auto drafter = Make(NewDraftModelDrafter, absl::StrCat("draft_model(path=\"", folder, "\", distill=true)"));
    const Outcome outcome = Generate(**model, prompts, 1, options, limits, drafter.get());
    ExpectSame(plain.samples, outcome.samples);
    EXPECT_GT(outcome.stats.speculation.drafted, 0);
    EXPECT_EQ(outcome.stats.speculation.accepted, outcome.stats.speculation.drafted);
  }
}

TEST(Speculation, AStopEndsASampleInsideADraft) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  const std::vector<Prompt> prompts = RandomPrompts(60, 10, 41);
  GenerationOptions options;
  options.max_new_tokens = 60;
  const GeneratorLimits limits{int64_t{1} << 30, 64, 1024};
  const Outcome plain = Generate(*model, prompts, 1, options, limits, nullptr);
  int stopped = 0;
  for (const auto& [key, sample] : plain.samples) stopped += sample.finish_reason == FinishReason::kStop;
  ASSERT_GT(stopped, 10);
  Garbage garbage(3);  // proposes the end token often
  ExpectSame(plain.samples, Generate(*model, prompts, 1, options, limits, &garbage).samples);
  Truth truth(plain.samples, 0);
  ExpectSame(plain.samples, Generate(*model, prompts, 1, options, limits, &truth, Planning::kMeasured).samples);
}

// ---- The planner: times are given, not measured.

PlannedDraft Draft(int length, float confidence) {
  PlannedDraft draft;
  draft.request.draft.assign(length, {1, confidence});
  return draft;
}

TEST(Planner, ChecksManyTokensWhereRowsAreFree) {
  Garbage drafter(41);
  SpeculationPlanner planner(drafter);
  EXPECT_EQ(planner.MostToAsk(1), 0);  // nothing is known of the machine yet
  for (const int64_t rows : {1, 2, 4, 8, 16}) planner.cost().Observe(rows, 0.030 + 0.0001 * rows);
  EXPECT_GT(planner.MostToAsk(1), 0);
  std::vector<PlannedDraft> drafts = {Draft(8, 0.9f)};
  planner.Choose(1, 100, drafts, 0);
  EXPECT_EQ(drafts[0].length, 8);
  planner.Choose(1, 3, drafts, 0);
  EXPECT_EQ(drafts[0].length, 3);  // room
}

TEST(Planner, ChecksNothingWhereARowCostsAToken) {
  Garbage drafter(41);
  SpeculationPlanner planner(drafter);
  for (const int64_t rows : {32, 64, 128, 256}) planner.cost().Observe(rows, 0.001 * rows);
  EXPECT_GT(planner.MostToAsk(32), 0);
  std::vector<PlannedDraft> drafts(32, Draft(4, 0.9f));
  planner.Choose(32, 1000, drafts, 0.001);
  for (const PlannedDraft& draft : drafts) EXPECT_EQ(draft.length, 0);
  EXPECT_EQ(planner.MostToAsk(32), 0);  // a pause
  planner.cost().Observe(20, 0.020);
  EXPECT_GT(planner.MostToAsk(20), 0);  // a smaller batch is another matter
}

// Garbage, as if a model had made it.
class Slow : public Garbage {
 public:
  using Garbage::Garbage;
  DraftCost cost() const override { return DraftCost::kModelPass; }
  double relative_cost() const override { return 0.05; }
};

TEST(Planner, ReadingAPromptIsNotThePriceOfAToken) {
  Slow drafter(41);
  SpeculationPlanner planner(drafter);
  for (const int64_t rows : {1, 2, 4, 8, 16}) planner.cost().Observe(rows, 0.030 + 0.0001 * rows);
  ASSERT_GT(planner.MostToAsk(1), 0);
  std::vector<PlannedDraft> drafts = {Draft(2, 0.9f)};
  drafts[0].request.read = 300;
  planner.Choose(1, 100, drafts, 0.200);
  int paused = 0;
  while (planner.MostToAsk(1) == 0) ASSERT_LT(++paused, 4);  // a first loss is a pause, and no verdict
  drafts[0].request.read = 1;
  planner.Choose(1, 100, drafts, 0.200);  // now it is the price
  for (int pass = 0; pass < 10; ++pass) EXPECT_EQ(planner.MostToAsk(1), 0);
}

TEST(Planner, LearnsThatADrafterIsOftenWrong) {
  Garbage drafter(41);
  SpeculationPlanner planner(drafter);
  for (const int64_t rows : {1, 2, 4, 8, 16}) planner.cost().Observe(rows, 0.030 + 0.001 * rows);
  for (int i = 0; i < 200; ++i) planner.acceptance().Observe(0.9f, i % 50 == 0);
  std::vector<PlannedDraft> drafts = {Draft(8, 0.9f)};
  planner.Choose(1, 100, drafts, 0);
  EXPECT_EQ(drafts[0].length, 0);
}

TEST(Planner, ASamplesOwnRecordCounts) {
  Garbage drafter(41);
  SpeculationPlanner planner(drafter);
  for (const int64_t rows : {1, 2, 4, 8, 16}) planner.cost().Observe(rows, 0.030 + 0.004 * rows);
  std::vector<PlannedDraft> drafts = {Draft(4, 0.9f), Draft(4, 0.9f)};
  drafts[1].trust = 0.2;
  planner.Choose(2, 100, drafts, 0);
  EXPECT_GT(drafts[0].length, drafts[1].length);
}

TEST(PassCost, StraightLinesBetweenWhatWasSeen) {
  PassCost cost;
  EXPECT_EQ(cost.Seconds(4), 0);
  cost.Observe(8, 0.010);
  EXPECT_DOUBLE_EQ(cost.Seconds(16), 0.015);  // half of what is in proportion, until more is known
  cost.ObservePrompts(100, 0.050);            // 0.5 ms a row
  EXPECT_DOUBLE_EQ(cost.Seconds(16), 0.010 + 8 * 0.00025);
  cost.Observe(24, 0.018);
  EXPECT_DOUBLE_EQ(cost.Seconds(16), 0.014);
  EXPECT_TRUE(cost.Knows(9));
  EXPECT_FALSE(cost.Knows(12));
  cost.Observe(24, 1.0);  // someone else's work
  EXPECT_DOUBLE_EQ(cost.Seconds(24), 0.018 + 0.25 * 0.018);
}

}  // namespace
}  // namespace hone
