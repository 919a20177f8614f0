// Format reward of DeepSeek-R1 (https://arxiv.org/abs/2501.12948, section 2.2.2): a completion is <think>...</think><answer>...</answer>,
// each tag opened and closed once and in that order, with nothing but white-space outside.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kMaxTags = 16;
constexpr size_t kShownBytes = 40;

// <think> or </think> in a completion.
struct Mark {
  int tag = 0;
  bool closes = false;
  size_t begin = 0, end = 0;
};

// How often a tag has been opened and closed so far.
struct Uses {
  int opened = 0, closed = 0;
  bool closed_first = false;
};

class FormatVerifier : public Verifier {
 public:
  FormatVerifier(std::vector<std::string> tags, bool prefilled) : tags_(std::move(tags)), prefilled_(prefilled) {}

  // Parts: one for each tag, 1 where it is opened once and then closed once, wherever that is.
  Verdict Verify(const Prompt&, const std::string& completion) const override {
    std::vector<Uses> uses(tags_.size());
    if (prefilled_) uses[0].opened = 1;
    std::string fault;
    size_t next = prefilled_ ? 1 : 0;  // of the marks as they must come: open 0, close 0, open 1, ...
    size_t outside = 0;                // where the text outside of tags goes on
    for (size_t at = 0; at < completion.size();) {
      const std::optional<Mark> mark = NextMark(completion, at);
      if (!mark) break;
      at = mark->end;
      Count(*mark, uses[mark->tag]);
      if (!fault.empty()) continue;
      fault = Fault(completion, *mark, next, outside);
      ++next;
      outside = mark->end;
    }
    if (fault.empty() && next < 2 * tags_.size()) fault = absl::StrCat("no ", MarkText(next));
    if (fault.empty()) fault = TextOutside(completion, outside, completion.size());

    Verdict verdict{fault.empty() ? 1.0 : 0.0, fault.empty() ? "correct" : fault, {}};
    for (size_t tag = 0; tag < tags_.size(); ++tag) {
      const bool whole = uses[tag].opened == 1 && uses[tag].closed == 1 && !uses[tag].closed_first;
      verdict.parts.emplace_back(tags_[tag], whole ? 1 : 0);
    }
    return verdict;
  }

 private:
  std::optional<Mark> NextMark(absl::string_view text, size_t at) const {
    for (at = text.find('<', at); at != absl::string_view::npos; at = text.find('<', at + 1)) {
      absl::string_view rest = text.substr(at + 1);
      const bool closes = absl::ConsumePrefix(&rest, "/");
      for (size_t tag = 0; tag < tags_.size(); ++tag) {
        const size_t length = tags_[tag].size();
        if (!absl::StartsWith(rest, tags_[tag]) || rest.size() == length || rest[length] != '>') continue;
        return Mark{static_cast<int>(tag), closes, at, at + length + (closes ? 3 : 2)};
      }
    }
    return std::nullopt;
  }

  static void Count(const Mark& mark, Uses& uses) {
    if (mark.closes && uses.opened == 0) uses.closed_first = true;
    ++(mark.closes ? uses.closed : uses.opened);
  }

  // The mark that stands at `index` of a right completion.
  std::string MarkText(size_t index) const { return absl::StrCat(index % 2 == 0 ? "<" : "</", tags_[index / 2], ">"); }

  // Why `mark` may not stand where mark `next` is due, or "".
  std::string Fault(absl::string_view text, const Mark& mark, size_t next, size_t outside) const {
    const size_t index = 2 * static_cast<size_t>(mark.tag) + (mark.closes ? 1 : 0);
    const std::string found = MarkText(index);
    if (index == next) return next % 2 == 0 ? TextOutside(text, outside, mark.begin) : "";
    if (index < next) return absl::StrCat(found, " stands again at byte ", mark.begin + 1);
    return absl::StrCat(found, " at byte ", mark.begin + 1, ", wanted ", MarkText(next), " before it");
  }

  static std::string TextOutside(absl::string_view text, size_t begin, size_t end) {
    const absl::string_view outside = absl::StripAsciiWhitespace(text.substr(begin, end - begin));
    return outside.empty() ? "" : absl::StrCat("text outside of the tags: '", Visible(outside, kShownBytes), "'");
  }

  const std::vector<std::string> tags_;
  const bool prefilled_;
};

bool IsTagName(absl::string_view name) {
  const auto is_tag_byte = [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), is_tag_byte);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewFormatVerifier(Spec& spec) {
  const std::string list = spec.Text("tags", "think,answer");
  const std::string prefilled = spec.Text("prefilled", "");  // the first tag, where the prompt ends with it
  HONE_RETURN_IF_ERROR(spec.Finish());
  std::vector<std::string> tags;
  for (absl::string_view tag : absl::StrSplit(list, ',')) {
    tag = absl::StripAsciiWhitespace(tag);
    const bool is_new = std::find(tags.begin(), tags.end(), tag) == tags.end();
    if (!IsTagName(tag) || !is_new || tags.size() == kMaxTags) {
      return InputError("format: option 'tags' is '", Visible(list, kShownBytes), "', wanted up to ", kMaxTags,
                        " different names like think,answer");
    }
    tags.emplace_back(tag);
  }
  if (!prefilled.empty() && prefilled != tags[0]) {
    return InputError("format: option 'prefilled' is '", Visible(prefilled, kShownBytes), "', but the first tag is '",
                      tags[0], "'");
  }
  return std::make_unique<FormatVerifier>(std::move(tags), !prefilled.empty());
}

}  // namespace hone
