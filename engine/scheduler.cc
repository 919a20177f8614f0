#include "engine/scheduler.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/kv_cache.h"

namespace hone {
namespace {

using kernels::kPageTokens;

PageTokens TokensOfPage(const Sequence& sequence, int32_t page) {
  PageTokens tokens;
  for (int32_t i = 0; i < kPageTokens; ++i) tokens[i] = sequence.token(page * kPageTokens + i);
  return tokens;
}

bool IsRead(const Sequence& sequence) { return sequence.computed == sequence.length(); }
bool Decodes(const Sequence& sequence) { return sequence.unstarted == 0 && sequence.length() - sequence.computed == 1; }

}  // namespace

void Scheduler::Add(size_t request, const Prompt* prompt, int32_t samples, int32_t first_sample) {
  Sequence& reader = waiting_.emplace_back();
  reader.request = request;
  reader.prompt = prompt;
  reader.unstarted = samples;
  reader.sample.index = first_sample;
}

bool Scheduler::done() const {
  return waiting_.empty() &&
         std::all_of(running_.begin(), running_.end(), [](const Sequence& sequence) { return sequence.finished; });
}

// Pages that new work leaves to what runs, so that it is not preempted at once.
int64_t Scheduler::watermark() const { return running_.empty() ? 0 : 1 + pool_.page_count() / 100; }

int32_t Scheduler::PlacesTaken() const {
  int32_t places = 0;
  for (const Sequence& sequence : running_) places += std::max(1, sequence.unstarted);
  return places;
}

const std::vector<Chunk>& Scheduler::Plan() {
  chunks_.clear();
  running_.remove_if([](const Sequence& sequence) { return sequence.finished; });
  const auto decoding = static_cast<int32_t>(std::count_if(running_.begin(), running_.end(), Decodes));
  int32_t room = std::max(limits_.rows - decoding, decoding == 0 ? 1 : 0);
  // Oldest first, so whoever is preempted for a page has no rows in this pass yet.
  for (auto sequence = running_.begin(); sequence != running_.end(); ++sequence) {
    if (IsRead(*sequence)) continue;
    if (Decodes(*sequence)) {
      if (!PlanChunk(*sequence, 1)) break;
    } else if (room > 0) {
      if (!PlanChunk(*sequence, room)) break;
      room -= chunks_.back().count;
    }
  }
  while (!waiting_.empty() && room > 0 && PlacesTaken() < limits_.sequences && FitsBesideTheOthers(waiting_.front())) {
    running_.splice(running_.end(), waiting_, waiting_.begin());
    shared_tokens_ += running_.back().computed;
    HONE_CHECK(PlanChunk(running_.back(), room));
    room -= chunks_.back().count;
  }
  return chunks_;
}

// Whether the pages for all its tokens are there; then those of its known beginning are its own already.
bool Scheduler::FitsBesideTheOthers(Sequence& sequence) {
  if (pool_.free_pages() <= watermark()) return false;
  FindPrefix(sequence);
  const int64_t missing = PagesFor(sequence.length()) - static_cast<int64_t>(sequence.pages.size());
  if (pool_.free_pages() >= missing + watermark()) return true;
  ReleasePages(sequence);
  return false;
}

// Plans up to `most` >= 1 tokens. False: there was no page, the sequence was the youngest and waits again.
bool Scheduler::PlanChunk(Sequence& sequence, int32_t most) {
  const int32_t before = sequence.computed;
  FindPrefix(sequence);
  shared_tokens_ += sequence.computed - before;
  const int32_t first = sequence.computed, end = std::min(sequence.length(), first + most);
  while (static_cast<int64_t>(sequence.pages.size()) < PagesFor(end)) {
    if (!MakeRoom(sequence)) {
      Preempt(sequence);
      return false;
    }
    sequence.pages.push_back(pool_.Take());
  }
  chunks_.push_back({&sequence, first, end - first});
  sequence.computed = end;
  // Answers differ: their pages are worth finding only when they are computed again.
  PublishPages(sequence, end - first > 1 ? end : std::min(end, sequence.prompt_length()));
  return true;
}

// Takes over pages that others have written. The last token is computed in any case: its logits are wanted.
void Scheduler::FindPrefix(Sequence& sequence) {
  while (sequence.computed == sequence.prefix_pages * kPageTokens &&
         static_cast<int32_t>(sequence.pages.size()) == sequence.prefix_pages &&
         sequence.computed + kPageTokens < sequence.length()) {
    const PagePool::Found found = pool_.Find(sequence.prefix, TokensOfPage(sequence, sequence.prefix_pages));
    if (found.page < 0) return;
    pool_.Share(found.page);
    sequence.pages.push_back(found.page);
    sequence.prefix = found.prefix;
    ++sequence.prefix_pages;
    sequence.computed += kPageTokens;
  }
}

void Scheduler::PublishPages(Sequence& sequence, int32_t end) {
  for (; (sequence.prefix_pages + 1) * kPageTokens <= end; ++sequence.prefix_pages) {
    sequence.prefix = pool_.Publish(sequence.pages[sequence.prefix_pages], sequence.prefix,
                                    TokensOfPage(sequence, sequence.prefix_pages));
  }
}

// Makes a page free by preempting what is younger. False: nothing is.
bool Scheduler::MakeRoom(const Sequence& sequence) {
  while (pool_.free_pages() == 0) {
    if (&running_.back() == &sequence) return false;
    Preempt(running_.back());
  }
  return true;
}

int32_t Scheduler::ReserveDraft(Sequence& sequence, int32_t most) {
  while (static_cast<int64_t>(sequence.pages.size()) < PagesFor(sequence.length() + most) &&
         pool_.free_pages() > watermark()) {
    sequence.pages.push_back(pool_.Take());
  }
  return std::min(most, static_cast<int32_t>(sequence.pages.size()) * kPageTokens - sequence.length());
}

void Scheduler::Preempt(Sequence& youngest) {
  HONE_CHECK(&youngest == &running_.back());
  PublishPages(youngest, youngest.computed);
  ReleasePages(youngest);
  waiting_.splice(waiting_.begin(), running_, std::prev(running_.end()));
  ++preemptions_;
}

void Scheduler::ReleasePages(Sequence& sequence) {
  for (; !sequence.pages.empty(); sequence.pages.pop_back()) pool_.Release(sequence.pages.back());
  sequence.computed = sequence.prefix_pages = 0;
  sequence.prefix = kNoTokens;
}

std::vector<Start> Scheduler::StartSamples() {
  std::vector<Start> starts;
  int32_t samples = 0;
  for (const Sequence& sequence : running_) samples += sequence.unstarted == 0;
  for (auto reader = running_.begin(); reader != running_.end(); ++reader) {
    if (reader->unstarted == 0 || !IsRead(*reader)) continue;
    while (samples < limits_.sequences && reader->unstarted > 0 && StartNext(reader, starts)) ++samples;
  }
  return starts;
}

// One sample of a prompt that is read. The last one takes over what the prompt has. So does one that finds no page for
// itself while nothing else runs: the prompt is then read again for the others.
bool Scheduler::StartNext(std::list<Sequence>::iterator reader, std::vector<Start>& starts) {
  const bool oldest = reader == running_.begin();
  const bool page = reader->unstarted > 1 && (pool_.free_pages() > watermark() || (oldest && MakeRoom(*reader)));
  if (reader->unstarted > 1 && !page) {
    if (!oldest) return false;
    Sequence& rest = waiting_.emplace_front();
    rest.request = reader->request;
    rest.prompt = reader->prompt;
    rest.unstarted = reader->unstarted - 1;
    rest.sample.index = reader->sample.index + 1;
    ++preemptions_;
    reader->unstarted = 1;
  }
  if (reader->unstarted == 1) {
    reader->unstarted = 0;
    starts.push_back({&*reader});
    return true;
  }
  const auto sample = running_.emplace(reader, *reader);
  sample->unstarted = 0;
  --reader->unstarted;
  ++reader->sample.index;
  Start start{&*sample};
  const int32_t full = sample->prompt_length() / kPageTokens;
  for (int32_t i = 0; i < full; ++i) pool_.Share(sample->pages[i]);
  if (full < static_cast<int32_t>(sample->pages.size())) {
    start.from = sample->pages[full];
    start.to = sample->pages[full] = pool_.Take();
    start.slots = sample->prompt_length() % kPageTokens;
  }
  starts.push_back(start);
  return true;
}

void Scheduler::Finish(Sequence& sample) {
  ReleasePages(sample);
  sample.finished = true;
}

}  // namespace hone
