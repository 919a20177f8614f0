// Who takes part in the next pass through the model. Sequences have one order, that of the requests and of the samples
// within them: what runs is a beginning of it, what waits the rest. When memory runs out the youngest that runs goes
// back to wait and is computed again later (preemption); so the oldest always gets on, and everything ends. Bookkeeping
// only: no model, no tensors.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "engine/base/types.h"
#include "engine/page_pool.h"
#include "engine/stop_text.h"

namespace hone {

// One place in the order: a sample, or a prompt with the samples that have not begun. A prompt is read once for its
// group.
struct Sequence {
  size_t request = 0;
  const Prompt* prompt = nullptr;
  int32_t unstarted = 0;  // 0: a sample. Else so many samples begin here, the next one with sample.index
  Sample sample;
  std::optional<StopText> stop_text;  // the Generator's
  bool finished = false;

  // The Generator's: tokens after the last one that the planned pass checks, and how its drafts fared so far.
  std::vector<TokenId> draft;
  double drafts_expected = 0, drafts_drawn = 0;

  int32_t computed = 0;         // tokens whose keys and values are on the pages, the planned pass included
  std::vector<int32_t> pages;   // in the order of positions; shared ones first
  PrefixId prefix = kNoTokens;  // that of the first `prefix_pages` pages
  int32_t prefix_pages = 0;

  int32_t prompt_length() const { return static_cast<int32_t>(prompt->tokens.size()); }
  int32_t length() const { return prompt_length() + static_cast<int32_t>(sample.tokens.size()); }
  TokenId token(int32_t position) const {
    if (position < prompt_length()) return prompt->tokens[position];
    return position < length() ? sample.tokens[position - prompt_length()] : draft[position - length()];
  }
};

// Tokens first .. first + count - 1 of a sequence go through the model.
struct Chunk {
  Sequence* sequence;
  int32_t first;
  int32_t count;
};

// A sample that begins. Where slots > 0, that many tokens of page `from` have to be copied to page `to` before any page
// is taken again: the prompt's last page, which is not full, becomes the sample's own.
struct Start {
  Sequence* sample;
  int32_t from = 0, to = 0, slots = 0;
};

struct SchedulerLimits {
  int64_t pages;      // at least what the largest sequence needs alone
  int32_t sequences;  // samples in flight, at least 1
  int32_t rows;       // tokens in a pass. Samples that want one token always take part, and count
};

// The order of calls: Add all, then in a loop Plan, the pass, StartSamples, the draws, Finish for what ended.
// Pointers to sequences stay valid until the Plan after their Finish.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits) : limits_(limits), pool_(limits.pages) {}

  // samples >= 1, numbered from first_sample on.
  void Add(size_t request, const Prompt* prompt, int32_t samples, int32_t first_sample = 0);
  bool done() const;

  // The rows of the next pass, oldest sequence first; their pages are there. Running sequences first, then waiting ones
  // while rows, places and pages last. Valid until the next Plan.
  const std::vector<Chunk>& Plan();
  // Before the pass: how many of `most` drafted tokens after the sequence's last one find memory that nobody needs.
  int32_t ReserveDraft(Sequence& sequence, int32_t most);
  // After the pass: the samples that begin now at prompts that are read. May preempt, which sets `computed` to 0.
  std::vector<Start> StartSamples();
  // The sample ended: its place and pages are free.
  void Finish(Sequence& sample);

  // `drawn` of the drafted tokens became the sample's own: their keys and values are on the pages already.
  void AcceptDraft(Sequence& sample, int32_t drawn) { sample.computed += drawn; }

  int64_t preemptions() const { return preemptions_; }
  int64_t shared_tokens() const { return shared_tokens_; }  // found on pages instead of computed, across sequences

 private:
  int64_t watermark() const;
  int32_t PlacesTaken() const;
  bool PlanChunk(Sequence& sequence, int32_t most);
  bool FitsBesideTheOthers(Sequence& sequence);
  void FindPrefix(Sequence& sequence);
  void PublishPages(Sequence& sequence, int32_t end);
  bool MakeRoom(const Sequence& sequence);
  void Preempt(Sequence& youngest);
  void ReleasePages(Sequence& sequence);
  bool StartNext(std::list<Sequence>::iterator reader, std::vector<Start>& starts);

  SchedulerLimits limits_;
  PagePool pool_;
  std::list<Sequence> running_, waiting_;  // both in order; all that runs comes before all that waits
  std::vector<Chunk> chunks_;
  int64_t preemptions_ = 0, shared_tokens_ = 0;
};

}  // namespace hone
