// Who uses which page of the KvCache: counted references, and prefixes that are found again. A full page is known by
// what it holds and all that stands before it, so sequences that begin alike share the pages of their common beginning.
// A page that nobody refers to any more keeps its prefix until its memory is needed; the one unused for longest goes
// first.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/base/types.h"
#include "kernels/attention.h"

namespace hone {

// The tokens of a full page.
using PageTokens = std::array<TokenId, kernels::kPageTokens>;

// Names a beginning of whole pages. Never given twice, so that a name outlives its page without harm: nothing is found
// under it.
using PrefixId = uint64_t;
inline constexpr PrefixId kNoTokens = 0;  // the empty beginning

// Pages 0 .. page_count-1; bookkeeping grows with the pages that were ever used. Not thread-safe.
class PagePool {
 public:
  explicit PagePool(int64_t page_count) : page_count_(page_count) {}

  int64_t page_count() const { return page_count_; }
  // What Take can hand out, pages kept for their prefix included.
  int64_t free_pages() const;

  // A page with one reference and nothing of meaning on it. free_pages() must not be 0. Prefers pages that were in use
  // before (warm, and memory that is touched already), then new ones, and forgets a prefix only when there is no other.
  int32_t Take();
  void Share(int32_t page);
  // A sequence gives its pages back last page first, so that of an unused prefix the end is forgotten before the
  // beginning.
  void Release(int32_t page);

  // Makes `page`, which holds `tokens` after `before`, findable, and names the prefix that it ends. Where another page
  // is known for the same prefix, that one stays and its name is given. The page must be written before anyone reads
  // it: in the same pass through the model is early enough, as attention writes all rows before it reads.
  PrefixId Publish(int32_t page, PrefixId before, const PageTokens& tokens);

  struct Found {
    int32_t page;  // -1: none
    PrefixId prefix;
  };
  // The page that holds `tokens` after `before`. Share it before the next Take.
  Found Find(PrefixId before, const PageTokens& tokens) const;

 private:
  using Key = std::pair<PrefixId, PageTokens>;
  struct Page {
    int32_t references = 0;
    PrefixId prefix = kNoTokens;          // kNoTokens: cannot be found
    Key key;                              // what it is found under
    std::list<int32_t>::iterator unused;  // its place in unused_, where it is in there
  };

  int64_t page_count_;
  std::vector<Page> pages_;    // those ever taken
  std::vector<int32_t> free_;  // without a prefix; a stack
  std::list<int32_t> unused_;  // without references, with a prefix; longest unused first
  absl::flat_hash_map<Key, int32_t> found_;
  PrefixId last_prefix_ = kNoTokens;
};

}  // namespace hone
