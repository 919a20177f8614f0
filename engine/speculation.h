// How many drafted tokens a pass checks. Measured while generating: what a pass costs for its number of rows, what drafting
// costs, and how often drafted tokens are accepted. From them follows the number that gives most tokens per second, from 0
// upward (ReSpec's adaptive configuration; at large batches it is 0). Decisions change times
// only, never results.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>

#include "engine/drafter.h"

namespace hone {

// Seconds of a pass by its rows. Learns from every pass; between two row counts that were seen lies a straight line.
class PassCost {
 public:
  void Observe(int64_t rows, double seconds);
  // A pass that reads prompts: the price of a row where arithmetic is the limit, for row counts beyond those seen.
  void ObservePrompts(int64_t rows, double seconds);
  // 0 while nothing is known.
  double Seconds(int64_t rows) const;
  // Whether a pass of about as many rows was seen.
  bool Knows(int64_t rows) const;

 private:
  std::map<int64_t, double> seconds_;  // by rows, larger counts rounded
  double row_seconds_ = 0;
};

// Acceptance of drafted tokens by the confidence that the drafter gave them; newer observations count more.
class Acceptance {
 public:
  void Observe(float confidence, bool accepted);
  // Halves the weight of what was seen: the drafter has changed, and is worth another try.
  void Fade();
  // Chance that a token of this confidence is drawn if those before it are.
  double Chance(float confidence) const;
  double Mean() const;  // over all confidences

 private:
  struct Tally {
    double tried = 0, accepted = 0;
  };
  std::array<Tally, 16> tallies_;  // by confidence
  Tally all_;
};

struct SpeculationStats {
  int64_t passes = 0;    // that checked drafts
  int64_t drafted = 0;   // tokens checked by the model
  int64_t accepted = 0;  // of them, drawn
  double propose_s = 0;  // the drafter's time
  double saved_s =
      0;  // estimate: what plain decoding would have taken for the same tokens, less what these passes took

  void Add(const SpeculationStats& more) {
    passes += more.passes;
    drafted += more.drafted;
    accepted += more.accepted;
    propose_s += more.propose_s;
    saved_s += more.saved_s;
  }
};

// A sample's draft, and what the planner makes of it.
struct PlannedDraft {
  DraftRequest request;
  double trust = 1;    // the sample's own acceptance over what was expected of its drafts
  int32_t length = 0;  // Written by the planner: tokens of request.draft to check
};

// One for each drafter and model; outlives the Runs. Not thread-safe.
class SpeculationPlanner {
 public:
  explicit SpeculationPlanner(Drafter& drafter) : drafter_(drafter) {}

  // The longest draft worth asking for in a pass in which `samples` draw a token each; 0 for plain decoding.
  int32_t MostToAsk(int64_t samples);
  // Sets the lengths: of all drafted tokens those whose chance is worth their row. `rows`: the pass without drafts;
  // `rows_left`: drafted tokens that it has room for. `propose_s`: what the drafts took.
  void Choose(int64_t rows, int64_t rows_left, std::span<PlannedDraft> drafts, double propose_s);

  // Whether the drafter is to learn from a group's sample of this index.
  bool ShowsSample(int32_t index) const;
  // From now on everything is asked for and checked, to see what a drafter is worth.
  void CheckEveryDraft() { check_every_draft_ = true; }

  PassCost& cost() { return cost_; }
  Acceptance& acceptance() { return acceptance_; }

 private:
  // Seconds to give each of `samples` one drafted token.
  double DraftingSeconds(int64_t samples) const;
  void Pause(int64_t samples);

  Drafter& drafter_;
  bool check_every_draft_ = false;
  PassCost cost_;
  Acceptance acceptance_;
  PassCost drafting_;             // seconds of a drafted token by samples, where a model drafts
  double reading_debt_s_ = 0;     // what reading texts took and later passes have not paid yet
  double worth_s_ = 0;            // running mean of what asking for drafts promised to save, less what it took
  int64_t since_plain_ = 0;       // passes with drafts in a row
  int64_t wait_ = 0, pause_ = 1;  // passes until drafts are asked for again, and how many the next time
  int64_t paused_samples_ = 0;    // how many samples there were when they did not pay
};

}  // namespace hone
