#include "engine/tokenizer_regex.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/tokenizer_unicode.h"

namespace hone {
namespace {

// The longest pattern in use has 1.5 KB; a longer one than this is no tokenizer's, and may need much memory.
constexpr size_t kMostPatternBytes = 16384;
constexpr unsigned kMostParseDepth = 256;
// Tries within one search. A run of a million spaces needs three million; (a+)+b needs 2^n.
constexpr unsigned long kMostTries = 20'000'000;

std::string OnigurumaError(int code, OnigErrorInfo* info) {
  OnigUChar message[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = onig_error_code_to_str(message, code, info);
  return Visible(std::string(reinterpret_cast<const char*>(message), std::max(length, 0)), 120);
}

// onig_new is not thread-safe.
std::mutex& CompileMutex() {
  static std::mutex mutex;
  return mutex;
}

void Initialize() {
  static const bool initialized = [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    HONE_CHECK(onig_initialize(encodings, 1) == ONIG_NORMAL);
    onig_set_parse_depth_limit(kMostParseDepth);
    return true;
  }();
  static_cast<void>(initialized);
}

const OnigUChar* Bytes(absl::string_view text) { return reinterpret_cast<const OnigUChar*>(text.data()); }

// Where the last match was.
class Region {
 public:
  Region() : region_(onig_region_new()) { HONE_CHECK(region_ != nullptr); }
  ~Region() { onig_region_free(region_, 1); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  OnigRegion* get() { return region_; }
  TextRange match() const { return {static_cast<size_t>(region_->beg[0]), static_cast<size_t>(region_->end[0])}; }

 private:
  OnigRegion* region_;
};

class MatchLimits {
 public:
  MatchLimits() : limits_(onig_new_match_param()) {
    HONE_CHECK(limits_ != nullptr);
    onig_initialize_match_param(limits_);
    onig_set_retry_limit_in_match_of_match_param(limits_, kMostTries);
    onig_set_retry_limit_in_search_of_match_param(limits_, kMostTries);
  }
  ~MatchLimits() { onig_free_match_param(limits_); }
  MatchLimits(const MatchLimits&) = delete;
  MatchLimits& operator=(const MatchLimits&) = delete;

  OnigMatchParam* get() { return limits_; }

 private:
  OnigMatchParam* limits_;
};

}  // namespace

struct Regex::Compiled {
  OnigRegex regex = nullptr;
  ~Compiled() { onig_free(regex); }
};

Regex::Regex(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Regex::~Regex() = default;

absl::StatusOr<std::unique_ptr<Regex>> Regex::Compile(absl::string_view pattern) {
  if (pattern.size() > kMostPatternBytes)
    return InputError("has ", pattern.size(), " bytes; ", kMostPatternBytes, " are the most");
  const std::lock_guard<std::mutex> lock(CompileMutex());
  Initialize();
  auto compiled = std::make_unique<Compiled>();
  OnigErrorInfo info;
  const int code = onig_new(&compiled->regex, Bytes(pattern), Bytes(pattern) + pattern.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_ONIGURUMA, &info);
  if (code != ONIG_NORMAL) {
    compiled->regex = nullptr;
    return InputError("is no regular expression: ", OnigurumaError(code, &info));
  }
  return std::unique_ptr<Regex>(new Regex(std::move(compiled)));
}

absl::Status Regex::FindAll(absl::string_view text, std::vector<TextRange>& matches) const {
  matches.clear();
  const std::optional<std::string> stand_ins = WithStandIns(text);
  if (stand_ins) text = *stand_ins;
  thread_local Region region;
  thread_local MatchLimits limits;
  const OnigUChar *begin = Bytes(text), *end = begin + text.size();
  bool after_match = false;
  for (size_t at = 0; at <= text.size();) {
    const int found = onig_search_with_param(compiled_->regex, begin, end, begin + at, end, region.get(),
                                             ONIG_OPTION_NONE, limits.get());
    if (found == ONIG_MISMATCH) break;
    if (found < 0) {
      return InputError("the regular expression of tokenizer.json gives up on this text: ",
                        OnigurumaError(found, nullptr));
    }
    const TextRange match = region.match();
    at = match.end;
    if (match.begin == match.end) {
      at += at < text.size() ? ReadUtf8(text, at).bytes : 1;
      if (std::exchange(after_match, false)) continue;
    } else {
      after_match = true;
    }
    matches.push_back(match);
  }
  return absl::OkStatus();
}

}  // namespace hone
