// What the interpreter calls besides the tables of filters and methods.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/jinja/interpreter.h"

namespace hone::jinja {

// map, select, reject, selectattr, rejectattr: filters that name another filter or test.
absl::StatusOr<Value> LazyFilter(Interpreter& interpreter, const std::string& name, const Value& input,
                                 const Arguments& arguments);
// loop.cycle(...) and loop.changed(...).
absl::StatusOr<Value> CallLoopMethod(const std::weak_ptr<Loop>& loop, const std::string& name,
                                     const Arguments& arguments, Budget& budget);
// str.format() with {}, {0} and {name}.
absl::StatusOr<Value> FormatText(const std::string& format, const Arguments& arguments, Budget& budget);

enum class LineEnds { kKept, kDropped };
// str.splitlines().
std::vector<std::string> SplitLines(absl::string_view text, LineEnds ends);
// str.replace(); a negative count replaces all.
absl::StatusOr<Value> ReplaceText(absl::string_view text, const std::string& from, const std::string& to, int64_t count,
                                  Budget& budget);

}  // namespace hone::jinja
