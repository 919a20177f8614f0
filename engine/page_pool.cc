#include "engine/page_pool.h"

#include "engine/base/check.h"

namespace hone {

int64_t PagePool::free_pages() const {
  return page_count_ - static_cast<int64_t>(pages_.size()) + static_cast<int64_t>(free_.size() + unused_.size());
}

int32_t PagePool::Take() {
  int32_t page;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (static_cast<int64_t>(pages_.size()) < page_count_) {
    page = static_cast<int32_t>(pages_.size());
    pages_.emplace_back();
  } else {
    HONE_CHECK(!unused_.empty());
    page = unused_.front();
    unused_.pop_front();
    found_.erase(pages_[page].key);
    pages_[page].prefix = kNoTokens;
  }
  pages_[page].references = 1;
  return page;
}

void PagePool::Share(int32_t number) {
  Page& page = pages_[number];
  if (page.references == 0) unused_.erase(page.unused);
  ++page.references;
}

void PagePool::Release(int32_t number) {
  Page& page = pages_[number];
  HONE_CHECK(page.references > 0);
  if (--page.references > 0) return;
  if (page.prefix == kNoTokens) {
    free_.push_back(number);
  } else {
    page.unused = unused_.insert(unused_.end(), number);
  }
}

PrefixId PagePool::Publish(int32_t number, PrefixId before, const PageTokens& tokens) {
  Page& page = pages_[number];
  HONE_CHECK(page.references > 0);
  const auto [entry, is_new] = found_.try_emplace(Key(before, tokens), number);
  if (!is_new) return pages_[entry->second].prefix;
  HONE_CHECK(page.prefix == kNoTokens);
  page.key = entry->first;
  page.prefix = ++last_prefix_;
  return page.prefix;
}

PagePool::Found PagePool::Find(PrefixId before, const PageTokens& tokens) const {
  const auto entry = found_.find(Key(before, tokens));
  if (entry == found_.end()) return {-1, kNoTokens};
  return {entry->second, pages_[entry->second].prefix};
}

}  // namespace hone
