// A depth-first search for a countdown's solution, written down with its dead ends, as "Stream of Search" (https://arxiv.org/abs/2404.03683) and "To
// Backtrack or Not to Backtrack" (https://arxiv.org/abs/2504.07052) train on it, in few tokens. For 47 from 42, 61 and 66:
//
//   66-42=24:61 24;61-24=37<61-42=19:66 19;66-19=47=>66-(61-42)
//
// A step takes two numbers to one. "66-42=24:61 24;" leaves the numbers behind the colon and goes on from them, until "<" gives them up and goes
// back to before that step. Of the steps to a single number only the nearest to the target is written, because where it is wrong the others are
// too. Behind "=>" stands the answer.
//
// Steps are those of the papers: a+b, a*b, the larger less the smaller, and the larger by the smaller where it divides. Tried first is what
// leaves the numbers nearest to the target in the mean (sum_heuristic of github.com/kanishkg/stream-of-search).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hone {

inline constexpr char kAnswerMark[] = "=>";

// From the step after `max_steps` on the trace takes only steps that lead to a solution, so it ends rightly, however short it must be; 0: after as
// many as it takes. Nothing where no such steps reach the target; some targets need fractions.
std::optional<std::string> SearchTrace(const std::vector<int>& numbers, int target, int max_steps);

}  // namespace hone
