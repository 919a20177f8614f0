// hone score: a verifier over a file of answers, with what one wants to know about a new verifier: how fast, where it fails, what is slow.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "recipes/build.h"
#include "rewards/verify_pool.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/progress.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxOpenLines = 8192;  // read, but not written yet
constexpr size_t kShownBytes = 200;

struct ScoreOptions {
  std::string verifier, input, output;
  int64_t workers = 0, deadline_ms = 0;
};

// A line of the input on its way to the output.
struct OpenLine {
  uint64_t number = 0;
  std::string text;  // as it was read, or with its verdict
  Prompt prompt;
  Verdict verdict;
  std::atomic<bool> done{false};
};

// `spec` with deadline_ms where its verifier knows that option and the spec does not give it.
absl::StatusOr<std::string> WithDeadline(const std::string& spec, int64_t deadline_ms) {
  HONE_ASSIGN_OR_RETURN(const Spec parsed, Spec::Parse(spec));
  HONE_ASSIGN_OR_RETURN(const std::vector<ComponentInfo> verifiers, ListComponents("verifier"));
  const auto known =
      std::find_if(verifiers.begin(), verifiers.end(), [&](auto& each) { return each.name == parsed.name(); });
  if (known == verifiers.end() || !absl::StrContains(known->spec, "deadline_ms=")) return spec;
  absl::string_view head = absl::StripTrailingAsciiWhitespace(spec);
  const bool had_options = absl::ConsumeSuffix(&head, ")");
  const bool first = !had_options || absl::EndsWith(absl::StripTrailingAsciiWhitespace(head), "(");
  const std::string with =
      absl::StrCat(head, had_options ? "" : "(", first ? "" : ", ", "deadline_ms=", deadline_ms, ")");
  return Spec::Parse(with).ok() ? with : spec;  // given twice: the spec's own holds
}

absl::Status ReadPrompt(const InputLine& line, Prompt& prompt) {
  for (const auto& [key, target] : {std::pair{"prompt", &prompt.text}, std::pair{"answer", &prompt.answer}}) {
    if (!line.json.contains(key)) continue;
    HONE_ASSIGN_OR_RETURN(*target, line.Text(key));
  }
  if (line.json.contains("metadata")) prompt.metadata = Dump(line.json["metadata"]);
  return absl::OkStatus();
}

// The object's text, without what a verdict adds, up to its closing brace.
std::string OpenText(InputLine& line) {
  size_t found = 0;
  for (const char* key : {"score", "reason", "parts"}) found += line.json.erase(key);
  std::string text = found > 0 ? Dump(line.json) : std::move(line.text);
  text.resize(text.rfind('}'));
  return text;
}

// The line holds "completion", so that a comma is right.
void AddVerdict(const Verdict& verdict, std::string& text) {
  Json parts = Json::object();
  for (const auto& [name, value] : verdict.parts) parts[name] = value;
  absl::StrAppend(&text, ",\"score\":", verdict.score ? Dump(Json(*verdict.score)) : "null",
                  ",\"reason\":", Dump(Json(verdict.reason)), ",\"parts\":", Dump(parts), "}");
}

class Scorer {
 public:
  Scorer(const Verifier* verifier, int workers, LineReader* reader, LineWriter* writer)
      : reader_(reader), writer_(writer), pool_(verifier, VerifyPoolOptions{.workers = workers}) {}

  // Until the end of the input, every line written; or until an interrupt, the lines written whose verdicts were there, without a gap.
  absl::Status Run() {
    for (int64_t number = 1; !Interrupted(); ++number) {
      HONE_ASSIGN_OR_RETURN(std::optional<InputLine> line, reader_->Next());
      if (!line) break;
      HONE_RETURN_IF_ERROR(Submit(*std::move(line)));
      do {
        HONE_RETURN_IF_ERROR(WriteDone());
      } while (open_.size() >= kMaxOpenLines && WaitForFirst());
      ShowProgress();
    }
    while (!open_.empty() && WaitForFirst()) {
      HONE_RETURN_IF_ERROR(WriteDone());
      ShowProgress();
    }
    if (Interrupted()) pool_.Cancel();
    return WriteDone();
  }

  void PrintSummary() {
    progress_.Clear();
    const PoolStats stats = pool_.stats();
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const std::string mean =
        scored_ == 0 ? "" : absl::StrFormat(", mean score %.4f", sum_ / static_cast<double>(scored_));
    std::fprintf(stderr, "%d lines, %d scored%s, %.0f verdicts/s; latency p50 %.3g ms, p99 %.3g ms\n",
                 static_cast<int>(written_), static_cast<int>(scored_), mean.c_str(),
                 static_cast<double>(written_) / seconds, 1e3 * stats.latency.Quantile(0.5),
                 1e3 * stats.latency.Quantile(0.99));
    if (stats.reused > 0) {
      std::fprintf(stderr, "%d lines took the verdict of an equal one\n", static_cast<int>(stats.reused));
    }
    for (const auto& [name, value] : stats.verifier) {
      if (value != 0 && name != "starts") std::fprintf(stderr, "%s: %.0f\n", name.c_str(), value);
    }
    for (const auto& [reason, count] : stats.no_verdict_by_reason) {
      std::fprintf(stderr, "no verdict, %d lines: %s; the first: %s\n", static_cast<int>(count), reason.c_str(),
                   first_with_[reason].c_str());
    }
    for (const PoolStats::Slow& slow : stats.slowest) {
      std::fprintf(stderr, "slow: line %d, %.3g ms: %s\n", static_cast<int>(slow.tag), 1e3 * slow.seconds,
                   Visible(slow.reason, kShownBytes).c_str());
    }
  }

 private:
  absl::Status Submit(InputLine line) {
    HONE_ASSIGN_OR_RETURN(std::string completion, line.Text("completion"));
    auto open = std::make_shared<OpenLine>();
    HONE_RETURN_IF_ERROR(ReadPrompt(line, open->prompt));
    open->number = line.number;
    open->text = OpenText(line);
    open_.push_back(open);
    pool_.Submit(&open->prompt, std::move(completion), open->number, [this, open = open.get()](const Verdict& verdict) {
      open->verdict = verdict;
      AddVerdict(verdict, open->text);
      open->done.store(true, std::memory_order_release);
      std::lock_guard lock(mutex_);
      changed_.notify_one();
    });
    return absl::OkStatus();
  }

  // The beginning of the open lines, as far as verdicts are there.
  absl::Status WriteDone() {
    for (; !open_.empty() && open_.front()->done.load(std::memory_order_acquire); open_.pop_front()) {
      OpenLine& open = *open_.front();
      ++written_;
      if (open.verdict.score) {
        ++scored_;
        sum_ += *open.verdict.score;
      } else if (first_with_.size() < 1000) {
        first_with_.try_emplace(ReasonClass(open.verdict.reason),
                                absl::StrCat("line ", open.number, ": ", Visible(open.verdict.reason, kShownBytes)));
      }
      HONE_RETURN_IF_ERROR(writer_->Write(open.text));
    }
    return absl::OkStatus();
  }

  // True when the first open line has its verdict, false after an interrupt.
  bool WaitForFirst() {
    std::unique_lock lock(mutex_);
    while (!open_.front()->done.load(std::memory_order_acquire)) {
      if (Interrupted()) return false;
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      ShowProgress();
    }
    return true;
  }

  void ShowProgress() {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    if (seconds < next_progress_s_) return;
    next_progress_s_ = seconds + 0.1;
    const double share =
        std::min(1.0, static_cast<double>(reader_->bytes_read()) / std::max<double>(1, reader_->bytes_total()));
    progress_.Show(absl::StrFormat("%d lines, %.0f%% read, %.0f verdicts/s, %s gone", written_, 100 * share,
                                   static_cast<double>(written_) / seconds, ClockText(seconds)),
                   ProgressLine::Urgency::kWhenDue);
  }

  LineReader* reader_;
  LineWriter* writer_;
  ProgressLine progress_;
  const Clock::time_point start_ = Clock::now();
  double next_progress_s_ = 0, sum_ = 0;
  int64_t written_ = 0, scored_ = 0;
  std::map<std::string, std::string> first_with_;  // class of reasons -> its first line
  std::deque<std::shared_ptr<OpenLine>> open_;
  std::mutex mutex_;
  std::condition_variable changed_;  // a line is done
  VerifyPool pool_;                  // ends first: its threads write to what stands above
};

absl::Status RunScore(const ScoreOptions& options) {
  std::string spec = options.verifier;
  if (options.deadline_ms > 0) {
    HONE_ASSIGN_OR_RETURN(spec, WithDeadline(spec, options.deadline_ms));
  }
  CatchInterrupts();
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Verifier> verifier, BuildVerifier(spec));
  HONE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(options.input));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(options.output));
  Scorer scorer(verifier.get(), static_cast<int>(options.workers), &reader, &writer);
  HONE_RETURN_IF_ERROR(scorer.Run());
  HONE_RETURN_IF_ERROR(writer.Close());
  scorer.PrintSummary();
  return Interrupted() ? absl::CancelledError("interrupted; the lines scored until then were written")
                       : absl::OkStatus();
}

}  // namespace

int ScoreCommand(int argc, char** argv) {
  ScoreOptions options;
  Arguments arguments("score", "Adds score, reason and parts to every line.");
  arguments.Text("verifier", "SPEC", "a verifier of 'hone list verifier'", &options.verifier);
  arguments.Text("input", "FILE",
                 "one JSON object a line with 'completion', and 'prompt', 'answer', 'metadata' as the verifier wants",
                 &options.input);
  arguments.Text("output", "FILE", "instead of standard output", &options.output);
  arguments.Int("workers", "lines verified at a time; 0: as many as the verifier has use for", &options.workers, 0,
                1024);
  arguments.Int("deadline_ms",
                "for a verdict, where the verifier has a deadline and its spec does not give it; 0: the verifier's own",
                &options.deadline_ms, 0, 86400000);
  arguments.Require("verifier");
  arguments.Require("input");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunScore(options));
}

}  // namespace hone
