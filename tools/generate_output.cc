#include "tools/generate_output.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "engine/base/file.h"
#include "rollout/collector.h"
#include "tools/progress.h"

namespace hone {
namespace {

constexpr double kLongWork_s = 10;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const char* FinishText(const Sample& sample) { return sample.finish_reason == FinishReason::kStop ? "stop" : "length"; }

// The line of one sample; `id` is the prompt's own.
std::string SampleLine(const Json& id, const Prompt& prompt, const Sample& sample, bool logprobs) {
  Json json = {{"id", id},
               {"sample", sample.index},
               {"prompt_tokens", prompt.tokens},
               {"tokens", sample.tokens},
               {"text", sample.text},
               {"finish_reason", FinishText(sample)}};
  return logprobs ? LineWithLogprobs(json, sample.logprobs) : Dump(json);
}

// Writes samples in the order of the prompts, each as soon as those before it are done.
class JsonOutput : public GenerateOutput {
 public:
  JsonOutput(const GenerateJob& job, const Tokenizer& tokenizer, LineWriter& writer)
      : job_(job), tokenizer_(tokenizer), writer_(writer), waiting_(job.prompts.size() * job.n) {}

  void Receive(size_t, TokenId) override { ++tokens_; }

  void Receive(size_t request, Sample sample) override {
    ++done_;
    done_tokens_ += static_cast<int64_t>(sample.tokens.size());
    const size_t place = request * job_.n + sample.index;
    if (absl::Status status = DecodeSample(tokenizer_, job_.stop, sample); !status.ok()) status_ = status;
    waiting_[place] = SampleLine(job_.ids[request], job_.prompts[request], sample, job_.logprobs);
    while (next_ < waiting_.size() && !waiting_[next_].empty()) Write(next_++);
  }

  void Tick() override { progress_.Show(Progress(), ProgressLine::Urgency::kWhenDue); }

  const absl::Status& status() const override { return status_; }

  // What an interrupt left waiting for earlier samples is written too.
  absl::Status Finish() override {
    for (; next_ < waiting_.size(); ++next_) {
      if (!waiting_[next_].empty()) Write(next_);
    }
    progress_.Clear();
    if (SecondsSince(start_) > kLongWork_s) progress_.Print(Progress());
    HONE_RETURN_IF_ERROR(status_);
    return writer_.Close();
  }

 private:
  // Takes unfinished samples to become as long as the finished ones.
  std::string Progress() const {
    const double rate = static_cast<double>(tokens_) / std::max(SecondsSince(start_), 1e-3);
    const double length = done_ > 0 ? static_cast<double>(done_tokens_) / static_cast<double>(done_)
                                    : static_cast<double>(job_.max_new_tokens);
    const double left = std::max(0.0, length * static_cast<double>(waiting_.size()) - static_cast<double>(tokens_));
    const bool goes_on = rate > 0 && done_ < static_cast<int64_t>(waiting_.size());
    return absl::StrFormat("%d of %d samples, %d tokens, %.1f tokens/s%s", done_, waiting_.size(), tokens_, rate,
                           goes_on ? absl::StrCat(", about ", ClockText(left / rate), " left") : "");
  }

  void Write(size_t place) {
    if (!status_.ok()) return;
    progress_.Clear();
    status_ = writer_.Write(waiting_[place]);
    waiting_[place] = std::string();
  }

  const GenerateJob& job_;
  const Tokenizer& tokenizer_;
  LineWriter& writer_;
  std::vector<std::string> waiting_;
  size_t next_ = 0;
  int64_t done_ = 0, done_tokens_ = 0, tokens_ = 0;
  absl::Status status_;
  ProgressLine progress_;
  const Clock::time_point start_ = Clock::now();
};

// Control characters would move the cursor or worse; a terminal gets line ends and tabs only.
std::string ForTerminal(absl::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      shown += "\xef\xbf\xbd";
    } else {
      shown += c;
    }
  }
  return shown;
}

class TextOutput : public GenerateOutput {
 public:
  TextOutput(const GenerateJob& job, const Tokenizer& tokenizer) : job_(job), decoder_(tokenizer.texts()) {}

  void Receive(size_t, TokenId token) override {
    ++tokens_;
    decoder_.Push(token, held_);
    Show(SafeBytes());
  }

  void Receive(size_t, Sample sample) override {
    decoder_.Finish(held_);
    size_t end = held_.size();
    for (const std::string& stop : job_.stop) end = std::min(end, held_.find(stop));
    Show(end);
    held_.clear();
    finish_ = FinishText(sample);
  }

  void Tick() override {}
  const absl::Status& status() const override { return status_; }

  absl::Status Finish() override {
    Show(held_.size());
    if (status_.ok()) Print("\n");
    const double seconds = std::max(SecondsSince(start_), 1e-3);
    std::fprintf(
        stderr, "%s\n",
        absl::StrFormat("%d tokens, %.1f tokens/s, %s", tokens_, static_cast<double>(tokens_) / seconds, finish_)
            .c_str());
    return status_;
  }

 private:
  // How much of the held text is in no stop text, whatever comes next.
  size_t SafeBytes() const {
    size_t safe = held_.size();
    for (const std::string& stop : job_.stop) {
      safe = std::min(safe, held_.find(stop));
      for (size_t begin = held_.size() - std::min(held_.size(), stop.size()); begin < safe; ++begin) {
        if (absl::StartsWith(stop, absl::string_view(held_).substr(begin))) safe = begin;
      }
    }
    return safe;
  }

  void Show(size_t bytes) {
    if (bytes == 0) return;
    Print(ForTerminal(absl::string_view(held_).substr(0, bytes)));
    held_.erase(0, bytes);
  }

  void Print(const std::string& text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (!written && status_.ok()) status_ = WorkError("standard output: cannot write: ", SystemError());
  }

  const GenerateJob& job_;
  StreamDecoder decoder_;
  std::string held_;  // text not shown yet: a stop text may have begun in it
  int64_t tokens_ = 0;
  std::string finish_ = "interrupted";
  absl::Status status_;
  const Clock::time_point start_ = Clock::now();
};

}  // namespace

std::unique_ptr<GenerateOutput> NewJsonOutput(const GenerateJob& job, const Tokenizer& tokenizer, LineWriter& writer) {
  return std::make_unique<JsonOutput>(job, tokenizer, writer);
}

std::unique_ptr<GenerateOutput> NewTextOutput(const GenerateJob& job, const Tokenizer& tokenizer) {
  return std::make_unique<TextOutput>(job, tokenizer);
}

}  // namespace hone
