// VERIFIER reward_model: a trained model judges answers that no program can check. It lies here and not in rewards/ because it runs
// on our own engine.
//
//   mode=classifier   a folder of XForSequenceClassification with one label. The score is its logit for the conversation of a user who
//                     says the prompt (or of the prompt's own messages) and an assistant who says the completion, as TRL and verl take it,
//                     or with normalise=sigmoid the probability of the Bradley-Terry model that such models are trained with, against
//                     an answer of reward 0.
//   mode=judge        a folder of XForCausalLM, asked in words (rollout/judge.h). Its greedy answer ends with "Score: N"; the score is
//                     N / scale. "Judging LLM-as-a-Judge", https://arxiv.org/abs/2306.05685.
//   mode=auto         what config.json says the folder is.
//
// Texts go through the folder's own chat template. Without one a classifier reads prompt + completion, and a judge its instructions,
// each after the tokenizer's begin token, as transformers' tokenizer(text) has it. A completion cannot end its turn or begin another:
// the texts of special tokens in it ("<|im_end|>") get a space after their first character.
// What is longer than max_tokens or the model's positions, no UTF-8, refused by the template, or answered without a number has no
// verdict. Scores do not depend on `threads` or on calls at a time.
#pragma once

#include <memory>

#include "rewards/verifier.h"

namespace hone {

absl::StatusOr<std::unique_ptr<Verifier>> NewRewardModelVerifier(Spec& spec);

}  // namespace hone
