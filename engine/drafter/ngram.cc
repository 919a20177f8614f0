// Prompt look-up: what followed the last few tokens when they stood in the prompt or the answer before, as in "Prompt Lookup
// Decoding" (https://github.com/apoorvumang/prompt-lookup-decoding). Pays where answers copy: summaries, edits, code, quotes.
#include <algorithm>

#include "engine/drafter.h"

namespace hone {
namespace {

// Tokens looked back at; a bound on the work of a step.
constexpr int64_t kWindow = 8192;

class NgramDrafter : public Drafter {
 public:
  NgramDrafter(int32_t max_tokens, int32_t longest, int32_t shortest)
      : max_tokens_(max_tokens), longest_(longest), shortest_(shortest) {}

  void Propose(std::span<DraftRequest*> requests) override {
    for (DraftRequest* request : requests) ProposeOne(*request);
  }

 private:
  void ProposeOne(DraftRequest& request) {
    text_.assign(request.prompt->tokens.begin(), request.prompt->tokens.end());
    text_.insert(text_.end(), request.tokens->begin(), request.tokens->end());
    const auto length = static_cast<int64_t>(text_.size());
    // The place whose last `matched` tokens are the text's own, the longest match; the latest among equals.
    int64_t place = -1, matched = shortest_ - 1;
    for (int64_t end = length - 1; end > std::max<int64_t>(0, length - kWindow); --end) {
      int64_t match = 0;
      while (match < longest_ && match < end && text_[end - 1 - match] == text_[length - 1 - match]) ++match;
      if (match > matched) place = end, matched = match;
      if (matched == longest_) break;
    }
    if (place < 0) return;
    const int64_t count = std::min<int64_t>({max_tokens_, request.most, length - place});
    // A longer match is a surer one: 1 - 1/2, 1 - 1/3, ... The planner measures what that is worth.
    const auto confidence = static_cast<float>(matched) / static_cast<float>(matched + 1);
    for (int64_t i = 0; i < count; ++i) request.draft.push_back({text_[place + i], confidence});
  }

  const int32_t max_tokens_, longest_, shortest_;
  std::vector<TokenId> text_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Drafter>> NewNgramDrafter(Spec& spec) {
  // 16: a copy goes on for long, and a pass costs little more for it where the machine waits for memory.
  const auto max_tokens = static_cast<int32_t>(spec.Int("max_tokens", 16, 1, 64));
  const auto longest = static_cast<int32_t>(spec.Int("longest", 8, 1, 64));
  // Two tokens in a row recur by chance far less than one.
  const auto shortest = static_cast<int32_t>(spec.Int("shortest", 2, 1, 64));
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (shortest > longest) {
    return InputError("ngram: option 'shortest' is ", shortest, ", wanted at most 'longest', which is ", longest);
  }
  return std::make_unique<NgramDrafter>(max_tokens, longest, shortest);
}

}  // namespace hone
