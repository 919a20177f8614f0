// The door to Oniguruma (https://github.com/kkos/oniguruma), the regular expressions that Hugging Face's tokenizers are written in.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

// Thread-safe after construction.
class Regex {
 public:
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // Oniguruma's own syntax, UTF-8. The error says what is wrong with the pattern, without naming its place.
  static absl::StatusOr<std::unique_ptr<Regex>> Compile(absl::string_view pattern);

  // All matches in `text` (UTF-8), from the left, none overlapping another; replaces `matches`. An empty match right behind a match is
  // none. An input error when the pattern needs too many tries for the text, as hostile ones do.
  absl::Status FindAll(absl::string_view text, std::vector<TextRange>& matches) const;

 private:
  struct Compiled;
  explicit Regex(std::unique_ptr<Compiled> compiled);

  std::unique_ptr<Compiled> compiled_;
};

}  // namespace hone
