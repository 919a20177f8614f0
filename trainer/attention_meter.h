// Forward context influence, AttnRL, https://arxiv.org/abs/2509.26628, eq. 5 and 6: how much the later steps of an answer attend to each step.
//
//   a[l, h](j, q)   attention of layer l and head h, mean over the tokens of step j that ask and of step q that are asked
//   influence(q) =  max over l, h of   sum over j >= q + distance of a[l, h](j, q)
//
// A step ends behind a token with an empty line in it, else with a line break, and in an answer with neither every token is a step. The prompt counts as a
// step before the first.
#pragma once

#include <memory>

#include "engine/model/model.h"
#include "engine/tokenizer.h"
#include "rollout/curriculum.h"

namespace hone {

// One pass of the policy for each answer, and [tokens, tokens] numbers for each head in turn. Both outlive it.
std::unique_ptr<AttentionMeter> NewAttentionMeter(Model* policy, const Tokenizer* tokenizer);

}  // namespace hone
