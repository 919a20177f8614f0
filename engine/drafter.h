// SLOT: proposes tokens that a sample may go on with, so that one pass through the model can check several at a time
// (speculative decoding, https://arxiv.org/abs/2211.17192). A draft is accepted where it is the token that plain decoding
// draws there, with that position's random number: whatever a drafter proposes, tokens and log-probabilities stay what they
// are without it, bit for bit. A drafter changes times only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/spec.h"
#include "engine/base/types.h"
#include "kernels/logprob.h"

namespace hone {

class Model;
class Tokenizer;

struct DraftedToken {
  TokenId token;
  float confidence;  // the drafter's estimate, 0..1, that the token is drawn if those before it are
};

// One sample in flight that wants a draft. Pointers are valid for the length of the call.
struct DraftRequest {
  uint64_t sequence;  // names the sample within a Run
  const Prompt* prompt;
  const std::vector<TokenId>* tokens;  // the sample's so far, at least one
  SamplingKey key;                     // what draws the sample's next token: SamplingUniform(key, tokens->size() + i)
  int32_t most;                        // tokens wanted at most, at least 1
  std::vector<DraftedToken> draft;     // Written by the Drafter: at most `most`
  int64_t read = 0;                    // Written by the Drafter: tokens of the text that it had to read first
};

// What a draft token costs.
enum class DraftCost {
  kNothing,    // next to a pass through the model
  kModelPass,  // a pass through a model of the drafter's own for each token
};

// What is to be trained beside the policy so that drafts keep up with it.
struct DraftTarget {
  Model* model = nullptr;                // null: nothing
  std::span<const TokenId> head_tokens;  // what it may propose; empty: everything
  bool reward_weighted = false;
};

// Not thread-safe. The order of calls: Attach once, then for each Run of the Generator Begin, then Propose and Finish as
// often as they come. Finish ends a sample; of one that a cancellation ended nothing is said.
class Drafter {
 public:
  virtual ~Drafter() = default;

  virtual DraftCost cost() const { return DraftCost::kNothing; }
  // Of a drafted token, as a share of a pass through the Generator's model: a guess until it is measured.
  virtual double relative_cost() const { return 0; }

  // `model` and `tokenizer` (null where there is none) are those of the Generator and outlive the drafter. Input errors: a
  // draft model that does not fit them.
  virtual absl::Status Attach(const Model& /*model*/, const Tokenizer* /*tokenizer*/) { return absl::OkStatus(); }
  virtual void Begin(const kernels::SamplingFilter& /*filter*/) {}
  virtual void Propose(std::span<DraftRequest*> requests) = 0;
  virtual void Finish(uint64_t /*sequence*/) {}
  // A finished sample, for those that learn from them. Where drafts have not paid for long, only some are shown.
  virtual void Learn(const Prompt& /*prompt*/, const Sample& /*sample*/) {}

  virtual DraftTarget upkeep() { return {}; }

  // What the drafter wants said once to the user; empty where there is nothing. Cleared by the call.
  virtual std::string TakeWarning() { return ""; }
};

// Factories, one per file in engine/drafter/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Drafter>> NewNgramDrafter(Spec& spec);
absl::StatusOr<std::unique_ptr<Drafter>> NewHistoryDrafter(Spec& spec);
absl::StatusOr<std::unique_ptr<Drafter>> NewDraftModelDrafter(Spec& spec);
absl::StatusOr<std::unique_ptr<Drafter>> NewAutoDrafter(Spec& spec);

}  // namespace hone
