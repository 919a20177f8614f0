// The scheduler without a model: who runs, whose pages are whose, and that everything ends.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/kv_cache.h"

namespace hone {
namespace {

Prompt PromptOf(uint64_t key, std::vector<TokenId> tokens) {
  Prompt prompt;
  prompt.key = key;
  prompt.tokens = std::move(tokens);
  return prompt;
}

// `length` tokens that count up from `first`.
std::vector<TokenId> Counting(int length, TokenId first = 0) {
  std::vector<TokenId> tokens(length);
  for (int i = 0; i < length; ++i) tokens[i] = first + i;
  return tokens;
}

PageTokens PageOf(TokenId first) {
  PageTokens tokens;
  for (int i = 0; i < kernels::kPageTokens; ++i) tokens[i] = first + i;
  return tokens;
}

TEST(PagePool, FindsWhatIsPublishedUntilItsMemoryIsNeeded) {
  PagePool pool(3);
  const int32_t a = pool.Take(), b = pool.Take();
  const PrefixId first = pool.Publish(a, kNoTokens, PageOf(0));
  const PrefixId second = pool.Publish(b, first, PageOf(16));
  EXPECT_EQ(pool.Find(kNoTokens, PageOf(0)).page, a);
  EXPECT_EQ(pool.Find(first, PageOf(16)).page, b);
  EXPECT_EQ(pool.Find(kNoTokens, PageOf(16)).page, -1) << "the same tokens at another place";
  EXPECT_EQ(pool.Find(second, PageOf(0)).page, -1);
  pool.Release(b);
  pool.Release(a);
  EXPECT_EQ(pool.free_pages(), 3);
  EXPECT_EQ(pool.Find(first, PageOf(16)).page, b) << "unused, and still known";
  // The page never used goes first, then the end of the prefix, then its beginning.
  const int32_t c = pool.Take();
  EXPECT_TRUE(c != a && c != b);
  EXPECT_EQ(pool.Take(), b);
  EXPECT_EQ(pool.Find(first, PageOf(16)).page, -1);
  EXPECT_EQ(pool.Find(kNoTokens, PageOf(0)).page, a);
  pool.Share(a);
  EXPECT_EQ(pool.free_pages(), 0);
}

// A page that comes back with other tokens must not lend its old name to what followed the old ones.
TEST(PagePool, AReusedPageIsNotTheOldPrefix) {
  PagePool pool(2);
  const int32_t a = pool.Take(), b = pool.Take();
  const PrefixId old = pool.Publish(a, kNoTokens, PageOf(0));
  pool.Publish(b, old, PageOf(16));
  pool.Release(a);
  ASSERT_EQ(pool.Take(), a);
  const PrefixId renewed = pool.Publish(a, kNoTokens, PageOf(100));
  EXPECT_NE(renewed, old);
  EXPECT_EQ(pool.Find(renewed, PageOf(16)).page, -1);
}

TEST(PagePool, TheFirstPageOfAPrefixStays) {
  PagePool pool(2);
  const int32_t a = pool.Take(), b = pool.Take();
  const PrefixId first = pool.Publish(a, kNoTokens, PageOf(0));
  EXPECT_EQ(pool.Publish(b, kNoTokens, PageOf(0)), first);
  EXPECT_EQ(pool.Find(kNoTokens, PageOf(0)).page, a);
}

TEST(Scheduler, ReadsAPromptOnceForItsGroup) {
  Scheduler scheduler({100, 8, 1000});
  const Prompt prompt = PromptOf(0, Counting(20));
  scheduler.Add(0, &prompt, 3);
  ASSERT_EQ(scheduler.Plan().size(), 1u);
  const std::vector<Start> starts = scheduler.StartSamples();
  ASSERT_EQ(starts.size(), 3u);
  // 20 tokens: page 0 is full and shared by all, page 1 holds 4 and is copied for two, the last takes the prompt's own.
  std::set<int32_t> second;
  for (const Start& start : starts) {
    EXPECT_EQ(start.sample->pages[0], starts[0].sample->pages[0]);
    second.insert(start.sample->pages[1]);
    EXPECT_EQ(start.slots, start.sample == starts[2].sample ? 0 : 4);
    if (start.slots > 0) {
      EXPECT_EQ(start.from, starts[2].sample->pages[1]);
    }
    start.sample->sample.tokens.push_back(7);
  }
  EXPECT_EQ(second.size(), 3u);
  const std::vector<Chunk>& chunks = scheduler.Plan();
  ASSERT_EQ(chunks.size(), 3u);
  for (const Chunk& chunk : chunks) EXPECT_TRUE(chunk.first == 20 && chunk.count == 1);
}

TEST(Scheduler, ChunksPromptsAndSharesTheirBeginnings) {
  Scheduler scheduler({100, 8, 24});
  std::vector<TokenId> other = Counting(40);
  other.back() = 99;
  const Prompt a = PromptOf(0, Counting(40)), b = PromptOf(1, other), c = PromptOf(2, Counting(33));
  scheduler.Add(0, &a, 1);
  scheduler.Add(1, &b, 1);
  scheduler.Add(2, &c, 1);
  ASSERT_EQ(scheduler.Plan().size(), 1u);  // 24 of the first prompt's 40
  EXPECT_TRUE(scheduler.StartSamples().empty());
  const std::vector<Chunk>& chunks = scheduler.Plan();
  // The first prompt's last 16; two pages, 32 tokens, of the second and third are the same: 8 and 1 remain, of which 7
  // do not fit any more for the third: 24 - 16 - 8 = 0.
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_TRUE(chunks[0].first == 24 && chunks[0].count == 16);
  EXPECT_TRUE(chunks[1].first == 32 && chunks[1].count == 8);
  EXPECT_EQ(chunks[0].sequence->pages[1], chunks[1].sequence->pages[1]) << "written in this very pass";
  EXPECT_NE(chunks[0].sequence->pages[2], chunks[1].sequence->pages[2]);
  EXPECT_EQ(scheduler.shared_tokens(), 32);
}

// 16 tokens that are the same: the last one is computed all the same, as its logits are wanted.
TEST(Scheduler, TheLastTokenIsAlwaysComputed) {
  Scheduler scheduler({10, 8, 100});
  const Prompt a = PromptOf(0, Counting(16)), b = PromptOf(1, Counting(16)), c = PromptOf(2, Counting(17));
  scheduler.Add(0, &a, 1);
  scheduler.Add(1, &b, 1);
  scheduler.Add(2, &c, 1);
  const std::vector<Chunk>& chunks = scheduler.Plan();
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_TRUE(chunks[1].first == 0 && chunks[1].count == 16);
  EXPECT_TRUE(chunks[2].first == 16 && chunks[2].count == 1);
}

// Two samples on three pages: where both need a second page, the younger goes back, and is computed from its beginning
// later.
TEST(Scheduler, PreemptsTheYoungest) {
  Scheduler scheduler({3, 8, 100});
  const Prompt a = PromptOf(0, Counting(15)), b = PromptOf(1, Counting(15, 50));
  scheduler.Add(0, &a, 1);
  scheduler.Plan();
  std::vector<Start> starts = scheduler.StartSamples();
  Sequence* older = starts[0].sample;
  older->sample.tokens.push_back(1);
  scheduler.Add(1, &b, 1);
  // One of three pages is taken, and the reserve of a running sample is 1: the second prompt fits.
  ASSERT_EQ(scheduler.Plan().size(), 2u);
  starts = scheduler.StartSamples();
  Sequence* younger = starts.at(0).sample;
  younger->sample.tokens.push_back(1);
  older->sample.tokens.push_back(2);
  // Both want a 2nd page when their 17th token is read; the older is one token ahead.
  ASSERT_EQ(scheduler.Plan().size(), 2u);
  older->sample.tokens.push_back(3);
  younger->sample.tokens.push_back(2);
  EXPECT_EQ(scheduler.preemptions(), 0);
  const std::vector<Chunk>& chunks = scheduler.Plan();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].sequence, older);
  EXPECT_EQ(scheduler.preemptions(), 1);
  EXPECT_EQ(younger->computed, 0);
  scheduler.Finish(*older);
  const std::vector<Chunk>& resumed = scheduler.Plan();
  ASSERT_EQ(resumed.size(), 1u);
  EXPECT_EQ(resumed[0].sequence, younger);
  EXPECT_EQ(resumed[0].first + resumed[0].count, 17);
  EXPECT_EQ(younger->sample.tokens, (std::vector<TokenId>{1, 2}));
}

// Random loads on few pages. A simulated memory holds for each slot of each page the tokens that lead to it; whatever a
// chunk will read must be what its sequence says. Every sample ends with its length, and rows and places keep their
// limits.
TEST(Scheduler, RandomLoadsKeepPagesApartAndEnd) {
  int64_t preemptions = 0, shared = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](int bound) { return static_cast<int>(random() % bound); };
    std::vector<Prompt> prompts;
    const int alphabet = 1 + below(2), longest = 1 + below(60), answer = 1 + below(40);
    int64_t worst = 0;
    for (int i = 0; i < 1 + below(8); ++i) {
      prompts.push_back(PromptOf(i, std::vector<TokenId>(1 + below(longest))));
      for (TokenId& token : prompts.back().tokens) token = below(20) == 0 ? below(alphabet) : 0;
      worst = std::max(worst, PagesFor(static_cast<int64_t>(prompts.back().tokens.size()) + answer - 1));
    }
    const SchedulerLimits limits{worst + below(12), 1 + below(9), 1 + below(50)};
    Scheduler scheduler(limits);
    int expected = 0, ended = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const int samples = 1 + below(6);
      scheduler.Add(i, &prompts[i], samples);
      expected += samples;
    }
    std::vector<std::vector<std::vector<TokenId>>> memory(limits.pages,
                                                          std::vector<std::vector<TokenId>>(kernels::kPageTokens));
    const auto upto = [](const Sequence& sequence, int32_t position) {
      std::vector<TokenId> tokens;
      for (int32_t i = 0; i <= position; ++i) tokens.push_back(sequence.token(i));
      return tokens;
    };
    std::set<std::pair<size_t, int32_t>> seen;
    int in_flight = 0;
    for (int step = 0; !scheduler.done(); ++step) {
      ASSERT_LT(step, 100000) << "no progress";
      const std::vector<Chunk> chunks = scheduler.Plan();
      int rows = 0, decoding = 0;
      for (const Chunk& chunk : chunks) {
        rows += chunk.count;
        decoding += chunk.sequence->unstarted == 0;
        for (int32_t i = chunk.first; i < chunk.first + chunk.count; ++i) {
          memory[chunk.sequence->pages[i / kernels::kPageTokens]][i % kernels::kPageTokens] = upto(*chunk.sequence, i);
        }
      }
      EXPECT_LE(rows, std::max(limits.rows, decoding));
      EXPECT_LE(decoding, limits.sequences);
      for (const Chunk& chunk : chunks) {  // after all writes, as attention does
        for (int32_t i = 0; i < chunk.first + chunk.count; ++i) {
          ASSERT_EQ(memory[chunk.sequence->pages[i / kernels::kPageTokens]][i % kernels::kPageTokens],
                    upto(*chunk.sequence, i));
        }
      }
      std::vector<Sequence*> drawing;
      for (const Chunk& chunk : chunks) {
        if (chunk.sequence->unstarted == 0) drawing.push_back(chunk.sequence);
      }
      const std::vector<Start> starts = scheduler.StartSamples();
      ASSERT_TRUE(!chunks.empty() || !starts.empty());
      std::erase_if(drawing, [](Sequence* sample) { return sample->computed < sample->length(); });
      for (const Start& start : starts) {
        for (int32_t i = 0; i < start.slots; ++i) memory[start.to][i] = memory[start.from][i];
        EXPECT_TRUE(seen.insert({start.sample->request, start.sample->sample.index}).second);
        drawing.push_back(start.sample);
        ++in_flight;
      }
      for (Sequence* sample : drawing) {
        sample->sample.tokens.push_back(below(2));
        if (static_cast<int>(sample->sample.tokens.size()) < answer && below(30) > 0) continue;
        scheduler.Finish(*sample);
        ++ended;
        --in_flight;
      }
    }
    EXPECT_EQ(ended, expected);
    EXPECT_EQ(in_flight, 0);
    preemptions += scheduler.preemptions();
    shared += scheduler.shared_tokens();
  }
  EXPECT_GT(preemptions, 500);
  EXPECT_GT(shared, 1000);
}

}  // namespace
}  // namespace hone
