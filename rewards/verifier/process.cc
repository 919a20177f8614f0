// A verifier of the user's: any program that reads a JSON object a line and writes one back (rewards/line_protocol.h). It may die, hang or
// talk nonsense: rewards/foreign_workers.h says who then gets no verdict, and rewards/guard/main.cc how it ends with all it started.
#include <memory>
#include <string>

#include "rewards/foreign_workers.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr int64_t kMaxWorkers = 256, kMaxInFlight = 4096, kMaxMs = 86400000;

class ProcessVerifier : public Verifier {
 public:
  explicit ProcessVerifier(ForeignWorkersOptions options) : workers_(std::move(options)) {}
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    return workers_.Ask(prompt, completion);
  }
  int Concurrency() const override { return static_cast<int>(workers_.Concurrency()); }
  VerifierCounters Counters() const override { return workers_.Counters(); }

 private:
  mutable ForeignWorkers workers_;  // thread-safe
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewProcessVerifier(Spec& spec) {
  ForeignWorkersOptions options;
  const std::string command = spec.Text("command", "");
  options.name = "process";
  options.command.arguments = {"/bin/sh", "-c", command};
  options.workers = spec.Int("workers", options.workers, 1, kMaxWorkers);
  options.limits.deadline_ms = spec.Int("deadline_ms", options.limits.deadline_ms, 1, kMaxMs);
  options.limits.in_flight = spec.Int("in_flight", options.limits.in_flight, 1, kMaxInFlight);
  options.limits.start_ms = spec.Int("start_ms", options.limits.start_ms, 1, kMaxMs);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (command.find_first_not_of(" \t\n") == std::string::npos) {
    return InputError("process: needs the command that verifies: process(command=\"python3 my_verifier.py\")");
  }
  return std::make_unique<ProcessVerifier>(std::move(options));
}

}  // namespace hone
