// Layers that are computed again in the backward pass give the same bits, and less is kept until then.
#include <gtest/gtest.h>
#include <malloc.h>

#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "trainer/batch.h"
#include "trainer/learner.h"

namespace hone {
namespace {

ModelConfig ThreeLayerConfig() {
  ModelConfig config = TwoLayerConfig();
  config.layers = 3;
  config.max_position_embeddings = 256;
  return config;
}

struct Outcome {
  double loss, entropy, grad_norm;
  std::vector<std::vector<float>> gradients;
  bool operator==(const Outcome&) const = default;
};

Outcome Train(Model& model, const std::vector<TrainGroup>& groups, bool checkpointing, int64_t microbatch_tokens) {
  Stage stage;
  stage.loss = *BuildLoss("sft");
  stage.activation_checkpointing = checkpointing;
  stage.microbatch_tokens = microbatch_tokens;
  Learner learner(&model, stage);
  const UpdateStats stats = learner.Update(groups, 0);
  Outcome outcome{stats.loss, stats.entropy, stats.grad_norm, {}};
  for (const Parameter* parameter : model.TrainedParameters())
    outcome.gradients.push_back(PlainWeights(*parameter, parameter->value.grad()));
  return outcome;
}

TEST(ActivationCheckpointing, SameBitsInEveryFamilyWithAndWithoutAdapters) {
  ThreadPool pool(2);
  std::vector<std::vector<TokenId>> prompts, answers;
  for (int i = 0; i < 4; ++i) {
    prompts.emplace_back();
    for (int j = 0; j < 3 + 9 * i; ++j) prompts.back().push_back((5 * i + 3 * j) % 23);
  }
  for (int i = 0; i < 12; ++i) answers.emplace_back(2 + i, (7 * i) % 23);
  std::vector<TrainGroup> groups;
  for (int i = 0; i < 12; ++i) {
    if (i % 3 == 0) groups.push_back({&prompts[i / 3], {}});
    groups.back().samples.push_back({.tokens = &answers[i]});
  }
  for (const auto& [name, config] : EveryFamily(ThreeLayerConfig())) {
    for (const char* lora : {"", "lora(rank=2, targets=all-linear)", "lora(rank=2, targets=down_proj)"}) {
      SCOPED_TRACE(absl::StrCat(name, " ", lora));
      const auto model = RandomModel(config, &pool, 3);
      if (*lora != '\0') AttachLora(*model, *BuildLora(lora), "base", 1);
      for (const int64_t tokens : {1 << 20, 60}) {
        const Outcome plain = Train(*model, groups, false, tokens), again = Train(*model, groups, true, tokens);
        EXPECT_GT(plain.grad_norm, 0);
        EXPECT_TRUE(plain == again);
      }
    }
  }
}

// Sanitizers put allocators of their own in malloc's place, of which mallinfo knows nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
int64_t HeapBytes() { return static_cast<int64_t>(__sanitizer_get_current_allocated_bytes()); }
#else
int64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}
#endif

TEST(ActivationCheckpointing, ForwardKeepsOneInputALayer) {
  ThreadPool pool(1);
  ModelConfig config = ThreeLayerConfig();
  config.layers = 12;
  const auto model = RandomModel(config, &pool, 3);
  const std::vector<TokenId> prompt(8, 1), answer(240, 2);
  const TrainGroup group{&prompt, {{.tokens = &answer}}};
  const std::vector<PackedBatch> batches = PackGroups({&group, 1}, 1 << 20);
  const PackedBatch& batch = batches[0];
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
  const auto kept = [&](bool checkpointing) {
    model->set_activation_checkpointing(checkpointing);
    model->Forward(batch.rows, cache);  // warms up what is allocated once
    const int64_t before = HeapBytes();
    const Tensor hidden = model->Forward(batch.rows, cache);
    return HeapBytes() - before;
  };
  const int64_t plain = kept(false), checkpointed = kept(true);
  // Without: some 14 tensors of [rows, 24 or 40] a layer; with: one of [rows, 24], and three vectors at the end.
  const auto input = static_cast<int64_t>(batch.rows.tokens.size()) * 24 * 4;
  EXPECT_GT(plain, 10 * 12 * input);
  EXPECT_LT(checkpointed, 2 * 12 * input);
}

}  // namespace
}  // namespace hone
