// Shared libraries of every kind of badness, compiled here: the others' verdicts, the reasons, and one clear line for what cannot be loaded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rewards/verifier.h"
#include "rewards/verifier_log.h"
#include "rewards/verify_pool.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::string Source() { return std::getenv("HONE_SOURCE"); }

void Compile(const std::string& compiler, const std::string& source, const std::string& library) {
  const std::string command =
      absl::StrCat(compiler, " -shared -fPIC -I '", Source(), "' -o ", library, " '", source, "'");
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// A C++ library whose verify has `body`.
void CompilePlugin(const std::string& library, const std::string& body,
                   const std::string& version = "HONE_VERIFIER_ABI_VERSION") {
  std::ofstream(library + ".cc") << R"(
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include "rewards/verifier_abi.h"
extern "C" uint32_t hone_verifier_abi_version() { return )"
                                 << version << R"(; }
extern "C" void* hone_verifier_new(const char* options, const char** error) {
  *error = "options are not for me";
  return *options == 0 ? new int : nullptr;
}
extern "C" void hone_verifier_free(void* verifier) { delete static_cast<int*>(verifier); }
extern "C" int hone_verifier_verify(void*, const hone_sample* sample, hone_verdict* verdict) {
  const std::string completion(sample->completion.data, sample->completion.size);
  if (completion[0] == 'g') { verdict->score = completion.size(); return 0; }
)" << body << "\n}\n";
  Compile("g++", library + ".cc", library);
}

absl::StatusOr<std::unique_ptr<Verifier>> Plugin(const std::string& options) {
  Spec spec = Spec::Parse(absl::StrCat("plugin(", options, ")")).value();
  return NewPluginVerifier(spec);
}

// Good samples around bad ones.
std::vector<Verdict> VerifyMany(const Verifier& verifier, const Prompt& prompt) {
  std::vector<Verdict> verdicts(100);
  VerifyPool pool(&verifier, {});
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const char* kind = i % 40 == 20 ? "bad" : "good";
    pool.Submit(&prompt, absl::StrCat(kind, std::string(i, '-')), i,
                [&verdicts, i](const Verdict& each) { verdicts[i] = each; });
  }
  pool.Wait();
  return verdicts;
}

double Counter(const Verifier& verifier, const std::string& name) {
  for (const auto& [each, value] : verifier.Counters()) {
    if (each == name) return value;
  }
  return -1;
}

TEST(PluginVerifier, TheExampleInC) {
  Compile("gcc -Wall -Wextra -Werror -std=c11", Source() + "/rewards/examples/c_verifier.c", "libexample.so");
  auto verifier = Plugin("path='libexample.so'");
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  Prompt prompt;
  prompt.answer = "Forty-two";
  EXPECT_EQ((*verifier)->Verify(prompt, "it is Forty-two.").score, 1.0);
  EXPECT_EQ((*verifier)->Verify(prompt, "it is forty-two.").score, 0.0);
  EXPECT_EQ((*verifier)->Verify(Prompt(), "it is").score, std::nullopt);
  EXPECT_THAT((*verifier)->Verify(Prompt(), "it is").reason, HasSubstr("the line has no answer to compare with"));
  auto loose = Plugin("path='./libexample.so', options=loose");
  ASSERT_TRUE(loose.ok()) << loose.status();
  EXPECT_EQ((*loose)->Verify(prompt, "it is forty-two.").score, 1.0);
  EXPECT_EQ(std::string(Plugin("path='libexample.so', options=lose").status().message()),
            "plugin: ./libexample.so: hone_verifier_new: unknown options; known: loose");
}

TEST(PluginVerifier, EverythingCrossesTheBorder) {
  CompilePlugin("libecho.so", R"(
  static std::string reason;
  reason = std::string(sample->prompt.data) + "|" + sample->answer.data + "|" + sample->metadata.data + "|" + std::to_string(sample->size >= sizeof(hone_sample));
  static const char* names[] = {"zeros", "bytes"};
  static double values[2];
  values[0] = 0;
  for (char c : completion) values[0] += c == 0;
  values[1] = completion.size();
  std::printf("a plugin may print\n");
  *verdict = {sizeof(*verdict), -0.25, reason.c_str(), 2, names, values};
  return 0;)");
  auto verifier = Plugin("path='libecho.so', workers=1");
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  Prompt prompt;
  prompt.text = "p\"\n";
  prompt.answer = "\xC3\xA9";
  prompt.metadata = R"({"a":[1,{"b":null}]})";
  const Verdict verdict = (*verifier)->Verify(prompt, std::string("b\0c\0", 4));
  EXPECT_EQ(verdict.score, -0.25) << verdict.reason;
  EXPECT_EQ(verdict.reason, "p\"\\n|\xC3\xA9|{\"a\":[1,{\"b\":null}]}|1");
  EXPECT_EQ(verdict.parts, (std::vector<std::pair<std::string, double>>{{"bytes", 4}, {"zeros", 2}}));
}

TEST(PluginVerifier, BadCallsCostTheirSampleOnly) {
  const struct {
    const char* name;
    const char* body;
    const char* reason;
    const char* counter;  // null: the process lives on
  } kCases[] = {
      {"segfault", "*static_cast<volatile int*>(nullptr) = 1; return 0;", "died: signal 11 (Segmentation fault)",
       "deaths"},
      {"abort", "std::abort();", "died: signal 6", "deaths"},
      {"exit", "std::exit(0);", "died: exit status 0", "deaths"},
      {"loop", "for (volatile int i = 0;;) i = 1;", "timed out: no answer within 1000 ms", "time_outs"},
      {"recursion", "volatile char a[4096]; a[0] = 1; return hone_verifier_verify(nullptr, sample, verdict) + a[0];",
       "died: signal 11", "deaths"},
      {"throw", "throw std::runtime_error(\"no luck\");", "the plugin threw: no luck", nullptr},
      {"throw_int", "throw 5;", "the plugin threw something that is no std::exception", nullptr},
      {"nan", "verdict->score = std::nan(\"\"); return 0;", "\"score\" is null, wanted a finite number", nullptr},
      {"infinite", "verdict->score = INFINITY; return 0;", "wanted a finite number", nullptr},
      {"parts", "verdict->part_count = size_t(1) << 40; return 0;", "parts", nullptr},
      {"silent", "return 7;", "the plugin gave no verdict and no reason", nullptr},
  };
  SendVerifierLogTo([](const std::string&) {});
  for (const auto& each : kCases) {
    const std::string library = absl::StrCat("lib", each.name, ".so");
    CompilePlugin(library, each.body);
    auto verifier = Plugin(absl::StrCat("path='", library, "', deadline_ms=1000"));
    ASSERT_TRUE(verifier.ok()) << verifier.status();
    const Prompt prompt;
    const std::vector<Verdict> verdicts = VerifyMany(**verifier, prompt);
    for (size_t i = 0; i < verdicts.size(); ++i) {
      if (i % 40 == 20) {
        EXPECT_EQ(verdicts[i].score, std::nullopt) << each.name;
        EXPECT_THAT(verdicts[i].reason, HasSubstr(each.reason)) << each.name;
      } else {
        EXPECT_EQ(verdicts[i].score, 4.0 + static_cast<double>(i)) << each.name << ": " << verdicts[i].reason;
      }
    }
    if (each.counter != nullptr) {
      EXPECT_EQ(Counter(**verifier, each.counter), 2) << each.name;
    } else {
      EXPECT_EQ(Counter(**verifier, "restarts"), 0) << each.name;
    }
  }
  SendVerifierLogTo(nullptr);
}

TEST(PluginVerifier, SaysAtOnceWhatCannotBeLoaded) {
  const auto error_of = [](const std::string& options) { return std::string(Plugin(options).status().message()); };
  EXPECT_THAT(error_of(""), HasSubstr("plugin(path=\"./libmine.so\")"));
  EXPECT_EQ(error_of("path='./no_such.so'"), "plugin: ./no_such.so: cannot read: No such file or directory");
  std::ofstream("text.so") << "this is text";
  EXPECT_THAT(error_of("path='text.so'"), HasSubstr("plugin: cannot load the library: ./text.so: "));
  CompilePlugin("libfuture.so", "return 0;", "7");
  EXPECT_EQ(error_of("path='libfuture.so'"),
            "plugin: ./libfuture.so: is made for version 7 of rewards/verifier_abi.h, this is version 1: compile it "
            "with this header");
  std::ofstream("empty.c") << "int nothing;\n";
  Compile("gcc", "empty.c", "libempty.so");
  EXPECT_THAT(error_of("path='libempty.so'"), HasSubstr("./libempty.so: has no function 'hone_verifier_abi_version'"));
  CompilePlugin("libpicky.so", "return 0;");
  EXPECT_THAT(error_of("path='libpicky.so', options=x"), HasSubstr("hone_verifier_new: options are not for me"));
  std::ofstream("loading.c") << "__attribute__((constructor)) static void Load(void) { __builtin_trap(); }\n";
  Compile("gcc", "loading.c", "libloading.so");
  EXPECT_THAT(error_of("path='libloading.so'"), HasSubstr("./libloading.so: loading it ended with signal "));
  std::ofstream("endless.c") << "__attribute__((constructor)) static void Load(void) { for (;;); }\n";
  Compile("gcc", "endless.c", "libendless.so");
  EXPECT_EQ(error_of("path='libendless.so', start_ms=300"),
            "plugin: ./libendless.so: does not load within start_ms=300");
}

}  // namespace
}  // namespace hone
