// The code verifier on honest programs: both languages, both kinds of tests, what it says of wrong ones, and when it gives no verdict.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "engine/base/text.h"
#include "rewards/code_problem.h"
#include "rewards/cpp_assertion.h"
#include "rewards/verifier.h"
#include "tests/rewards/sandbox_testing.h"

namespace hone {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;
using Parts = std::vector<std::pair<std::string, double>>;

std::unique_ptr<Verifier> Code(const std::string& text) {
  Spec spec = Spec::Parse(text).value();
  return NewCodeVerifier(spec).value();
}

std::string Fenced(const std::string& language, const std::string& program) {
  return "Here it is:\n\n```" + language + "\n" + program + "\n```\nDone.";
}

const Json kDoubled = {{"tests",
                        {{{"stdin", "2\n"}, {"stdout", "4\n"}},
                         {{"stdin", "-3\n"}, {"stdout", "-6"}},
                         {{"stdin", "0"}, {"stdout", "0\n"}}}}};

class CodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Verdict verdict = Verify(kDoubled, "print(2 * int(input()))");
    if (verdict.score) return;
    EXPECT_THAT(verdict.reason, StartsWith("sandbox unavailable: "));
    EXPECT_THAT(verdict.reason, HasSubstr("remedy: "));
    EXPECT_TRUE(verdict.parts.empty());
    if (!MaySkip()) FAIL() << verdict.reason;
    GTEST_SKIP() << verdict.reason;
  }
  static Verdict Verify(const Json& metadata, const std::string& completion,
                        const std::string& spec = "code(timeout_s=2)") {
    static auto* const verifiers = new std::map<std::string, std::unique_ptr<Verifier>>;
    auto& verifier = (*verifiers)[spec];
    if (verifier == nullptr) verifier = Code(spec);
    Prompt prompt;
    prompt.metadata = metadata.dump();
    return verifier->Verify(prompt, completion);
  }
};

TEST_F(CodeTest, InputsAndOutputs) {
  const HostState before;
  const Parts all = {{"compiles", 1}, {"passed", 1}};
  for (const std::string& right :
       {Fenced("python", "print(int(input()) * 2)"),
        Fenced("cpp", "#include <iostream>\nint main() { int a; std::cin >> a; std::cout << 2 * a; }"),
        std::string("print(2 * int(input()))"),
        "First\n```python\nprint(1)\n```\nno, better:\n" + Fenced("py", "print(2*int(input()), '  ')\nprint()"),
        std::string("```python\nprint(2 * int(input()))")}) {
    const Verdict verdict = Verify(kDoubled, right);
    EXPECT_EQ(verdict.score, 1.0) << right << verdict.reason;
    EXPECT_EQ(verdict.reason, "all 3 tests passed");
    EXPECT_EQ(verdict.parts, all);
  }
  ExpectUnchanged(before);
}

TEST_F(CodeTest, SaysWhatIsWrong) {
  const struct {
    const char* language;
    const char* program;
    const char* reason;
    Parts parts;
  } kCases[] = {
      {"python",
       "print(int(input()) ** 2)",
       "test 2: line 1: found '9', wanted '-6'",
       {{"compiles", 1}, {"passed", 1.0 / 3}}},
      {"python", "print(4)\nprint(5)", "test 1: line 2: found '5', wanted the end", {{"compiles", 1}, {"passed", 0}}},
      {"python", "x = int(input())", "test 1: line 1: found the end, wanted '4'", {{"compiles", 1}, {"passed", 0}}},
      {"python", "print(", "SyntaxError: '(' was never closed", {{"compiles", 0}, {"passed", 0}}},
      {"python",
       "print(4)\n1/0",
       "test 1: exit status 1: ZeroDivisionError: division by zero",
       {{"compiles", 1}, {"passed", 0}}},
      {"python", "while True: pass", "test 1: time limit: 2 s of processor time", {{"compiles", 1}, {"passed", 0}}},
      {"python",
       "x = [b'x' * (1 << 20) for i in range(1 << 20)]",
       "test 1: memory limit: 512 MB",
       {{"compiles", 1}, {"passed", 0}}},
      {"python", "while True: print('x' * 65536)", "test 1: output limit: 16 MB", {{"compiles", 1}, {"passed", 0}}},
      {"python",
       "import os; os.kill(os.getpid(), 11)",
       "test 1: killed by signal 11 (Segmentation fault)",
       {{"compiles", 1}, {"passed", 0}}},
      {"cpp",
       "int main() { return missing; }",
       "does not compile: 'missing' was not declared",
       {{"compiles", 0}, {"passed", 0}}},
      {"cpp",
       "#include <cstdlib>\nint main() { abort(); }",
       "test 1: killed by signal 6 (Aborted)",
       {{"compiles", 1}, {"passed", 0}}},
      {"cpp", "int main() { return 7; }", "test 1: exit status 7", {{"compiles", 1}, {"passed", 0}}},
      {"cpp", "", "the answer holds no program", {{"compiles", 0}, {"passed", 0}}},
  };
  for (const auto& wrong : kCases) {
    const Verdict verdict = Verify(kDoubled, Fenced(wrong.language, wrong.program));
    EXPECT_EQ(verdict.score, 0.0) << wrong.program << verdict.reason;
    std::string reason = verdict.reason;
    for (size_t at; (at = reason.find("\xE2\x80\x98")) != std::string::npos ||
                    (at = reason.find("\xE2\x80\x99")) != std::string::npos;)
      reason.replace(at, 3, "'");
    EXPECT_THAT(reason, HasSubstr(wrong.reason)) << wrong.program;
    EXPECT_EQ(verdict.parts, wrong.parts) << wrong.program;
    EXPECT_EQ(verdict.reason.find('\n'), std::string::npos);
  }
}

TEST_F(CodeTest, PartialCountsAllTests) {
  const std::string kSpec = "code(timeout_s=2, partial=true)";
  const Verdict verdict = Verify(kDoubled, "print(abs(2 * int(input())))", kSpec);  // 4 right, 6 for -6 wrong, 0 right
  EXPECT_EQ(verdict.score, 2.0 / 3);
  EXPECT_EQ(verdict.reason, "test 2: line 1: found '6', wanted '-6'");
  EXPECT_EQ(verdict.parts, (Parts{{"compiles", 1}, {"passed", 2.0 / 3}}));
  const Json assertions = {
      {"assertions", {"assert f(1) == 1", "assert f(2) == 4", "assert f(3) == 9", "assert f(4) == 16"}}};
  EXPECT_EQ(Verify(assertions, "def f(x): return x * x if x != 2 else 1 / 0", kSpec).score, 0.75);
  EXPECT_EQ(Verify(assertions, Fenced("cpp", "int f(int x) { if (x == 4) throw 1; return x * x; }"), kSpec).score,
            0.75);
}

TEST_F(CodeTest, PythonAssertions) {
  const struct {
    Json metadata;
    const char* program;
  } kRight[] = {
      {{{"assertions", {"assert f(2) == 4", "assert 6 == f(3), 'message'", "f(4) == 8"}}}, "def f(x): return 2 * x"},
      {{{"test_list", {"assert set(f([1, 2])) == {1, 2}", "assert abs(f([3])[0] - 3.1) < 0.2"}}}, "def f(x): return x"},
      {{{"assertions", {"values = [3, 1]\nf(values)\nassert values == [1, 3]"}}}, "def f(x): x.sort()"},
      {{{"assertions", {"assert list(f(3)) == [0, 1, 2]"}}}, "def f(n): yield from range(n)"},
      {{{"assertions", {"assert f(2) == ((1, {2: {3}}), [None, 1.5, b'x', 1j, 10 ** 40])"}}},
       "def f(x): return ((1, {2: {3}}), [None, 1.5, b'x', 1j, 10**40])"},
      {{{"assertions",
         {"s = Stack()", "s.push(3)", "assert len(s) == 1", "assert s.pop() == 3",
          "try:\n    s.pop()\n    assert False\nexcept Empty: pass"}}},
       "class Empty(Exception): pass\nclass Stack:\n  def __init__(self): self.a = []\n  def push(self, x): "
       "self.a.append(x)\n"
       "  def pop(self):\n    if not self.a: raise Empty()\n    return self.a.pop()\n  def __len__(self): return "
       "len(self.a)"},
      {{{"entry_point", "f"},
        {"test", "def check(candidate):\n    for i in range(5):\n        assert candidate(i) == i * i\n"}},
       "def f(x): return x * x"},
      {{{"fn_name", "f"}, {"inputs", {{1, 2}, {3, 4}}}, {"outputs", {3, {7}}}},
       "class Solution:\n  def f(self, a, b): return a + b"},
      {{{"inputs", {"1\n", "2\n"}}, {"outputs", {"1\n", "2\n"}}}, "print(input())"},
      {{{"assertions", {"assert sum([1, 2]) == 3"}}}, "def sum(x):\n  t = 0\n  for y in x: t += y\n  return t"},
      {{{"assertions", {"import datetime\nassert f() == datetime.date(2020, 1, 2)"}}},
       "import datetime\ndef f(): return datetime.date(2020, 1, 2)"},
      {{{"assertions", {"assert f(P(1, 2)) == P(2, 1)"}}},
       "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(p): return P(p[1], p[0])"},
  };
  for (const auto& right : kRight) {
    const Verdict verdict = Verify(right.metadata, right.program);
    EXPECT_EQ(verdict.score, 1.0) << right.program << "\n" << verdict.reason;
  }
  const struct {
    const char* assertion;
    const char* program;
    const char* reason;
  } kWrong[] = {
      {"assert f(3) == 6", "def f(x): return x * x", "test 1: f(3) is 9, wanted 6"},
      {"assert f(3) == 6", "def g(x): return x * x", "test 1: NameError: name 'f' is not defined"},
      {"assert f(3) == 6", "def f(x): return x.y", "test 1: AttributeError: 'int' object has no attribute 'y'"},
      {"assert not f(3)", "def f(x): return x", "test 1: not so: not f(3)"},
      {"assert f(3) == 6", "def f(x): return f(x)", "test 1: RecursionError"},
      {"assert f(3) == 6", "def f(x):\n  while True: pass",
       "test 1: the program ended (time limit: 2 s of processor time)"},
      {"assert f(3) == 6", "def f(x", "the program fails before any test: SyntaxError"},
      {"assert f(3) == 6", "raise ValueError('no')", "the program fails before any test: ValueError: no"},
      {"assert sum([1, 2]) == 3", "def sum(x): return 4", "test 1: sum([1, 2]) is 4, wanted 3"},
      {"assert f(3) == 6", "def f(x):\n  a = []\n  a.append(a)\n  return a", "test 1: RecursionError"},
  };
  for (const auto& wrong : kWrong) {
    const Verdict verdict = Verify({{"assertions", {wrong.assertion}}}, wrong.program);
    EXPECT_EQ(verdict.score, 0.0) << wrong.program;
    EXPECT_THAT(verdict.reason, HasSubstr(wrong.reason)) << wrong.program;
  }
}

TEST_F(CodeTest, CppAssertions) {
  const std::string kProgram = Fenced("cpp", R"(
#include <vector>
#include <algorithm>
#include <string>
#include <map>
#define int long long
std::vector<int> Sorted(std::vector<int> v) { std::sort(v.begin(), v.end()); return v; }
bool Even(signed x) { return x % 2 == 0; }
double Half(double x) { return x / 2; }
std::string Twice(std::string s) { return s + s; }
std::map<std::string, int> Count(std::vector<std::string> v) { std::map<std::string, int> m; for (auto& x : v) ++m[x]; return m; }
struct Stack { std::vector<int> v; void push(int x) { v.push_back(x); } int size() { return v.size(); } };
signed main() { return 1; })");
  const Json metadata = {{"assertions",
                          {"std::vector<long long> v = {3, 1, 2};",
                           "assert(Sorted(v) == vector<long long>({1, 2, 3}));", "Even(4) && !Even(5)",
                           "assert(std::abs(Half(3) - 1.5) < 1e-9);", "assert((Twice(\"ab\\n\") == \"ab\\nab\\n\"));",
                           "Count({\"a\", \"b\", \"a\"}) == map<string, long long>{{\"a\", 2}, {\"b\", 1}}",
                           "Stack s; s.push(4);", "s.size() == 1"}}};
  const Verdict right = Verify(metadata, kProgram);
  EXPECT_EQ(right.score, 1.0) << right.reason;
  EXPECT_EQ(right.reason, "all 7 tests passed");  // Even(4) and Even(5) are two

  const Verdict wrong = Verify({{"assertions", {"assert(f(2) == 4)", "assert(f(3) == 9)"}}},
                               Fenced("cpp", "int f(int x) { return 2 * x; }"));
  EXPECT_EQ(wrong.score, 0.0);
  EXPECT_EQ(wrong.reason, "test 2: f(3) == 9: found 6, wanted 9");
  EXPECT_EQ(wrong.parts, (Parts{{"compiles", 1}, {"passed", 0.5}}));
}

TEST_F(CodeTest, WhatCannotBeCheckedHasNoVerdict) {
  const std::string cpp = Fenced("cpp", "int f(int x) { return x; }"), python = "def f(x): return x";
  const struct {
    Json metadata;
    std::string completion;
    const char* reason;
  } kCases[] = {
      {Json::object(), python, "metadata needs \"tests\""},
      {{{"tests", {{{"stdin", "1"}}}}}, python, "test 1 is no object with \"stdin\" and \"stdout\""},
      {{{"inputs", {"1"}}, {"outputs", Json::array()}}, python, "not two lists of one length"},
      {{{"assertions", {1}}}, python, "not a list of texts"},
      {{{"assertions", {"assert f(2) =="}}}, python, "an assertion is no Python"},
      {{{"assertions", {"assert 1 == 1"}}}, python, "a test calls nothing of the program"},
      {{{"assertions", {"x = f(1)"}}}, python, "assert nothing"},
      {{{"assertions", {"assert f(lambda: 1) == 1"}}}, python, "the test gives the program a function"},
      {{{"test", "def check(candidate):\n  assert candidate(1) == 1"}}, python, "metadata needs \"entry_point\""},
      {{{"assertions", {"f(1) < 2"}}}, cpp, "cannot be checked safely"},
      {{{"assertions", {"f(1) == 1 || f(2) == 2"}}}, cpp, "cannot be checked safely"},
      {{{"assertions", {"equal(f(1), 1)"}}, {"entry_point", "f"}}, cpp, "cannot be checked safely"},
      {{{"assertions", {"f(1) == nonsense"}}}, cpp, "the expected side of the assertions does not compile"},
      {{{"fn_name", "f"}, {"inputs", {{1}}}, {"outputs", {1}}}, cpp, "this one is C++"},
  };
  for (const auto& broken : kCases) {
    const Verdict verdict = Verify(broken.metadata, broken.completion);
    EXPECT_EQ(verdict.score, std::nullopt) << broken.metadata << verdict.reason;
    EXPECT_THAT(verdict.reason, HasSubstr(broken.reason)) << broken.metadata;
    EXPECT_TRUE(verdict.parts.empty());
  }
  EXPECT_THAT(Verify(kDoubled, "print(1)", "code(python=\"/nowhere/python3\")").reason,
              HasSubstr("no Python here; remedy: "));
}

TEST_F(CodeTest, ManyAtATime) {
  const auto verifier = Code("code(workers=3)");
  EXPECT_EQ(verifier->Concurrency(), 3);
  Prompt prompt;
  prompt.metadata = kDoubled.dump();
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  EXPECT_EQ(verifier->Verify(prompt, "print(2 * int(input()))").score, 1.0);  // what a verifier keeps open, it has now
  const HostState before;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const Verdict verdict =
          verifier->Verify(prompt, thread % 2 == 0 ? "print(2 * int(input()))" : "print(int(input()))");
      right += verdict.score == (thread % 2 == 0 ? 1.0 : 0.0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
  ExpectUnchanged(before);
}

// The user's own choice, and no sandbox needed: limits hold, and scratch folders go.
TEST(CodeWithoutSandbox, RunsAndCleansUp) {
  const auto verifier = Code("code(sandbox=none, timeout_s=1)");
  Prompt prompt;
  prompt.metadata = kDoubled.dump();
  EXPECT_EQ(verifier->Verify(prompt, "print(2 * int(input()))").score, 1.0);
  const HostState before;
  EXPECT_EQ(verifier->Verify(prompt, "print(3 * int(input()))").score, 0.0);
  EXPECT_EQ(verifier->Verify(prompt, "while True: pass").reason, "test 1: time limit: 1 s of processor time");
  const std::string daemon =
      "import os, time\nif os.fork() == 0:\n  os.setsid()\n  os.execv('/bin/sleep', ['hone-code-daemon', "
      "'100'])\nprint(2 * int(input()))";
  EXPECT_EQ(verifier->Verify(prompt, daemon).score, 1.0);
  EXPECT_EQ(CountProcesses("hone-code-daemon"), 0);
  prompt.metadata = R"({"assertions": ["assert f(2) == 4"]})";
  EXPECT_EQ(verifier->Verify(prompt, "def f(x): return x + x").score, 1.0);
  ExpectUnchanged(before);
  EXPECT_EQ(HostState().scratch, before.scratch);
}

// A machine that allows no namespaces, made by a process for itself.
TEST(CodeOnAMachineWithoutNamespaces, GivesNoVerdict) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string said = "no namespace to begin with";
    if (unshare(CLONE_NEWUSER) == 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << "0 " << getuid() << " 1";
      std::ofstream("/proc/sys/user/max_user_namespaces") << "0";
      Prompt prompt;
      prompt.metadata = kDoubled.dump();
      const Verdict verdict = Code("code")->Verify(prompt, "print(2 * int(input()))");
      said = (verdict.score ? "scored " : "no verdict ") + verdict.reason;
    }
    (void)!write(ends[1], said.data(), said.size());
    _exit(0);
  }
  close(ends[1]);
  std::string said(1000, '\0');
  const ssize_t bytes = read(ends[0], said.data(), said.size());
  said.resize(static_cast<size_t>(std::max<ssize_t>(bytes, 0)));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  if (said == "no namespace to begin with" && MaySkip()) GTEST_SKIP() << said;
  EXPECT_THAT(said, StartsWith("no verdict sandbox unavailable: "));
  EXPECT_THAT(said, HasSubstr("remedy: "));
  EXPECT_THAT(said, HasSubstr("user.max_user_namespaces"));
}

TEST(CodeOptions, AreChecked) {
  for (const auto& [text, error] : std::map<std::string, std::string>{{"code(language=rust)", "language"},
                                                                      {"code(timeout_s=0)", "timeout_s"},
                                                                      {"code(sandbox=off)", "sandbox"},
                                                                      {"code(limit=3)", "unknown option 'limit'"}}) {
    Spec spec = Spec::Parse(text).value();
    const auto verifier = NewCodeVerifier(spec);
    ASSERT_FALSE(verifier.ok()) << text;
    EXPECT_THAT(std::string(verifier.status().message()), HasSubstr(error));
  }
}

TEST(ExtractProgram, TakesTheLastFittingBlock) {
  const Language python = Language::kPython, cpp = Language::kCpp;
  EXPECT_EQ(ExtractProgram("```python\na\n```\n```cpp\nb\n```\n", &python).text, "a\n");
  EXPECT_EQ(ExtractProgram("```python\na\n```\n```cpp\nb\n```\n", &cpp).text, "b\n");
  EXPECT_EQ(ExtractProgram("```python\na\n```\n```cpp\nb\n```\n", nullptr).text, "b\n");
  EXPECT_EQ(ExtractProgram("```Python title=x\na\n```\n```\nb\n```", nullptr).text, "a\n");
  EXPECT_EQ(ExtractProgram("```\na\n```\n```text\nb\n```", nullptr).text, "a\n");
  EXPECT_EQ(ExtractProgram("x\n```c++\n#include <x>", nullptr).language, cpp);
  EXPECT_EQ(ExtractProgram("#include <x>\nint main() {}", nullptr).language, cpp);
  EXPECT_EQ(ExtractProgram("print(1)", nullptr).language, python);
  EXPECT_EQ(ExtractProgram(std::string(1 << 20, '`'), nullptr).text, "");
}

TEST(SameOutput, IgnoresTrailingWhiteSpaceOnly) {
  EXPECT_TRUE(SameOutput("1 2 \r\n3\n\n\n", "1 2\n3"));
  EXPECT_TRUE(SameOutput("", "\n \n"));
  EXPECT_FALSE(SameOutput("1  2", "1 2"));
  EXPECT_FALSE(SameOutput(" 1", "1"));
  EXPECT_FALSE(SameOutput("1\n\n2", "1\n2"));
}

TEST(CppAssertions, AreCutOnlyWhereItIsSafe) {
  using Kind = CppAssertion::Kind;
  const auto first = [](const char* text, const char* entry = "") {
    return ReadCppAssertions(text, entry).value().at(0);
  };
  EXPECT_EQ(first("4 == f(2)").computed, "f(2)");
  EXPECT_EQ(first("assert ((f(2)) == (4));").expected, "4");
  EXPECT_EQ(first("f(\"a == b\", '(') == \"x\"").computed, "f(\"a == b\", '(')");
  EXPECT_EQ(first("f({1, 2}).size() == 2u").computed, "f({1, 2}).size()");
  EXPECT_EQ(first("!f(1)").expected, "false");
  EXPECT_EQ(first("f(1) == true").kind, Kind::kTruth);
  EXPECT_EQ(first("fabs(2.5 - f(1)) <= 0.1").computed, "f(1)");
  EXPECT_EQ(first("vector<int> v = {1, 2};").kind, Kind::kSetup);
  EXPECT_EQ(first("auto r = f(2);").of_library, false);
  for (const char* unsafe : {"f(1) != 2", "f(1) < 2", "f(1) == 1 ? true : false", "abs(f(1)) < 2", "g(f(1), 2)",
                             "f(1) == g(2)", "std::equal(v, w)", "f(1) - 4 == 0", "(f(2) == 4) == true",
                             "f([&] { return 4; }())", "is_same(v, 4) == true || 1"}) {
    EXPECT_FALSE(ReadCppAssertions(unsafe, "f").ok()) << unsafe;
  }
  EXPECT_FALSE(ReadCppAssertions("equal(r, 4)", "f").ok());  // another function than the task's
  EXPECT_FALSE(ReadCppAssertions(std::string(1 << 19, '('), "f").ok());
  EXPECT_FALSE(ReadCppAssertions(std::string(1 << 19, '"'), "f").ok());
}

}  // namespace
}  // namespace hone
