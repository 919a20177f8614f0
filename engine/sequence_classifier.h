// Reward models in the form that most are trained in: a language model's body, and instead of its head over the vocabulary one
// vector, whose product with the final hidden state of a text's last token is the reward. "Learning to summarize from human
// feedback", https://arxiv.org/abs/2009.01325; transformers' XForSequenceClassification with one label.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/checkpoint.h"

namespace hone {

class SequenceClassifier {
 public:
  // Matrices take the least memory that gives exact results. The pool outlives the object.
  static absl::StatusOr<std::unique_ptr<SequenceClassifier>> Load(const std::string& folder, ThreadPool* pool);

  // The logit, in transformers' arithmetic: taken at the last token that is not the pad_token_id of config.json, even where a text
  // ends with that token by itself. Calls at a time: as the pool allows. The result is a function of the tokens alone.
  // Input errors: no tokens, one outside the vocabulary, more of them than the model has positions.
  absl::StatusOr<double> Score(const std::vector<TokenId>& tokens) const;

  const ModelConfig& config() const { return model_.body->config(); }

 private:
  explicit SequenceClassifier(ScoreModel model) : model_(std::move(model)) {}

  const ScoreModel model_;
};

}  // namespace hone
