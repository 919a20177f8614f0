// Code: an answer is a program, run against the task's tests in a sandbox. The tests are those of APPS, https://arxiv.org/abs/2105.09938 (standard
// input and output), and of MBPP and HumanEval, https://arxiv.org/abs/2108.07732, https://arxiv.org/abs/2107.03374 (assertions).
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/base/text.h"
#include "rewards/code_problem.h"
#include "rewards/code_runner.h"
#include "rewards/sandbox.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kMaxProgram = 1 << 20;  // bytes

struct CodeOptions {
  std::optional<Language> language;
  Sandbox::Options sandbox;
  CodeRunner::Options runner;
  int workers = 1;
};

class CodeVerifier : public Verifier {
 public:
  explicit CodeVerifier(const CodeOptions& options) : options_(options), free_(options.workers) {}

  // Parts: "compiles"; "passed", the fraction of tests.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto problem = ReadCodeProblem(prompt.metadata);
    if (!problem.ok()) return {std::nullopt, std::string(problem.status().message()), {}};
    const Program program = ExtractProgram(completion, options_.language ? &*options_.language : nullptr);
    if (program.text.find_first_not_of(" \t\r\n") == std::string::npos) return Wrong("the answer holds no program");
    if (program.text.size() > kMaxProgram || program.text.find('\0') != std::string::npos) {
      return Wrong(program.text.size() > kMaxProgram ? "the program is longer than 1 MiB"
                                                     : "the program holds a zero byte");
    }
    const Turn turn(*this);
    const auto runner = Runner();
    if (!runner.ok()) return {std::nullopt, std::string(runner.status().message()), {}};
    const auto outcome = (*runner)->Run(program, *problem);
    if (!outcome.ok()) return {std::nullopt, Visible(outcome.status().message(), 400), {}};

    const double fraction =
        static_cast<double>(outcome->passed) / static_cast<double>(std::max<size_t>(outcome->total, 1));
    const bool all = outcome->passed == outcome->total && outcome->failure.empty();
    const double score = all ? 1 : options_.runner.partial ? fraction : 0;
    return {score,
            all ? absl::StrCat("all ", outcome->total, " tests passed") : Visible(outcome->failure, 400),
            {{"compiles", outcome->compiles}, {"passed", fraction}}};
  }

  int Concurrency() const override { return options_.workers; }

 private:
  // One of `workers` places, held for a verification.
  class Turn {
   public:
    explicit Turn(const CodeVerifier& verifier) : verifier_(verifier) {
      std::unique_lock lock(verifier_.mutex_);
      verifier_.wake_.wait(lock, [&] { return verifier_.free_ > 0; });
      --verifier_.free_;
    }
    ~Turn() {
      {
        const std::lock_guard lock(verifier_.mutex_);
        ++verifier_.free_;
      }
      verifier_.wake_.notify_one();
    }

   private:
    const CodeVerifier& verifier_;
  };

  static Verdict Wrong(const std::string& reason) { return {0.0, reason, {{"compiles", 0}, {"passed", 0}}}; }

  // The first call finds out whether this machine has a sandbox; what it says holds for all.
  absl::StatusOr<CodeRunner*> Runner() const {
    const std::lock_guard lock(sandbox_mutex_);
    if (!unavailable_.ok()) return unavailable_;
    if (runner_ != nullptr) return runner_.get();
    auto sandbox = Sandbox::Open(options_.sandbox);
    if (!sandbox.ok()) {
      unavailable_ = WorkError("sandbox unavailable: ", sandbox.status().message(),
                               "; sandbox=\"none\" runs programs without one");
      return unavailable_;
    }
    sandbox_ = *std::move(sandbox);
    runner_ = std::make_unique<CodeRunner>(*sandbox_, options_.runner);
    return runner_.get();
  }

  const CodeOptions options_;
  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;
  mutable int free_;                  // guarded by mutex_
  mutable std::mutex sandbox_mutex_;  // guards all below; what runner_ points to is its own affair
  mutable absl::Status unavailable_;
  mutable std::unique_ptr<Sandbox> sandbox_;
  mutable std::unique_ptr<CodeRunner> runner_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewCodeVerifier(Spec& spec) {
  CodeOptions options;
  const std::string language = spec.Choice("language", "auto", {"auto", "python", "cpp"});
  if (language != "auto") options.language = language == "cpp" ? Language::kCpp : Language::kPython;
  SandboxLimits& limits = options.runner.limits;
  limits.cpu_s = spec.Double("timeout_s", 10, 0.1, 3600);
  limits.wall_s = 3 * limits.cpu_s + 2;
  limits.memory_bytes = spec.Int("memory_mb", 512, 16, 1 << 20) << 20;
  options.runner.total_s = spec.Double("total_s", 60, 0.1, 86400);
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.workers = static_cast<int>(spec.Int("workers", cores, 1, 1024));
  options.runner.partial = spec.Bool("partial", false);
  options.sandbox.walls = spec.Choice("sandbox", "required", {"required", "none"}) == "required";
  options.sandbox.python = spec.Text("python", "python3");
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<CodeVerifier>(options);
}

}  // namespace hone
