// What Hone and a verifier outside it say to each other: one JSON object a line (https://jsonlines.org).
//
//   to it    {"id":1009,"prompt":"...","completion":"...","answer":"...","metadata":{...}}      members in this order, no spaces between
//   from it  {"id": 1009, "score": 0.5, "reason": "optional", "parts": {"format": 1}}           or {"id": 1009, "error": "why no verdict"}
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/types.h"

namespace hone {

// A line for a sample without its beginning, {"id":N. Broken UTF-8 becomes the replacement character; metadata that is no JSON object
// becomes {}.
std::string RequestTail(const Prompt& prompt, const std::string& completion);

struct Answer {
  bool has_id = false;  // else the line is no answer at all, and verdict.reason says why
  uint64_t id = 0;
  Verdict verdict;  // no score where the answer gives an error or a score that is no finite number
};

// Reads one line without its end. Anything may come; nothing but what the protocol says counts.
Answer ReadAnswer(absl::string_view line);

}  // namespace hone
