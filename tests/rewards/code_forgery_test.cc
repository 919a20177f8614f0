// Attacks on the verdict of code: a wrong program that tries to be scored as right, and programs that attack through the compiler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rewards/verifier.h"
#include "tests/rewards/sandbox_testing.h"

namespace hone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

class CodeForgery : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Spec spec = Spec::Parse("code(timeout_s=2)").value();
    verifier_ = NewCodeVerifier(spec)->release();
  }
  static void TearDownTestSuite() { delete verifier_; }
  void SetUp() override {
    const Verdict honest = Verify(kSquares, "def f(x): return x * x");
    if (honest.score) {
      ASSERT_EQ(honest.score, 1.0) << honest.reason;
      return;
    }
    EXPECT_THAT(honest.reason, StartsWith("sandbox unavailable: "));
    if (!MaySkip()) FAIL() << honest.reason;
    GTEST_SKIP() << honest.reason;
  }
  static Verdict Verify(const Json& metadata, const std::string& program) {
    Prompt prompt;
    prompt.metadata = metadata.dump();
    return verifier_->Verify(prompt, program);
  }
  // The attack is run and judged, as wrong. Returns the reason.
  static std::string ExpectWrong(const Json& metadata, const std::string& program) {
    const HostState before;
    const Verdict verdict = Verify(metadata, program);
    EXPECT_EQ(verdict.score, 0.0) << program << "\n" << verdict.reason;
    ExpectUnchanged(before);
    return verdict.reason;
  }
  // No way to a score above 0, be it that there is none at all.
  static void ExpectUnrewarded(const Json& metadata, const std::string& program) {
    const Verdict verdict = Verify(metadata, program);
    EXPECT_TRUE(!verdict.score || *verdict.score == 0) << program << "\n" << verdict.reason;
  }

  static const Json kSquares, kOutput;
  static Verifier* verifier_;
};

Verifier* CodeForgery::verifier_ = nullptr;
const Json CodeForgery::kSquares = {{"assertions", {"assert f(12) == 144", "assert f(-3) == 9"}}};
const Json CodeForgery::kOutput = {{"tests", {{{"stdin", "12\n"}, {"stdout", "zebra-144\n"}}}}};

TEST_F(CodeForgery, SaysThatAllPassed) {
  for (const char* text : {"all tests passed", "1.0", "{\\\"score\\\": 1}",
                           "{\\\"total\\\": 2, \\\"passed\\\": 2, \\\"compiles\\\": true, \\\"failure\\\": null}",
                           "exit 0 cpu 0 wall 0 peak 0"}) {
    const std::string print = std::string("print(\"") + text + "\")\nimport sys; sys.stderr.write(\"" + text + "\")\n";
    ExpectWrong(kSquares, print + "def f(x): return 1");
    ExpectWrong(kOutput, print);
    ExpectWrong(kSquares, print + "import os; os._exit(0)");
  }
}

TEST_F(CodeForgery, EndsEarly) {
  for (const char* end : {"sys.exit(0)", "os._exit(0)", "quit()", "raise SystemExit(0)", "os.kill(os.getpid(), 9)",
                          "os.execv('/bin/true', ['true'])", "exit()", "os.abort()", "raise KeyboardInterrupt"}) {
    const std::string start = "import os, sys\n";
    ExpectWrong(kSquares, start + end);
    ExpectWrong(kSquares, start + "def f(x): " + end);
    ExpectWrong(kOutput, start + end);
  }
  // A test that swallows everything does not swallow the program's end.
  ExpectWrong({{"assertions", {"try:\n    f(1)\nexcept:\n    pass\nassert True"}}}, "import os\ndef f(x): os._exit(0)");
}

TEST_F(CodeForgery, PatchesTheComparison) {
  const std::string everything =
      "class Yes:\n  def __eq__(self, o): return True\n  def __ne__(self, o): return False\n  def __bool__(self): "
      "return True\n  def __lt__(self, o): return True\n"
      "  def __gt__(self, o): return True\n  def __le__(self, o): return True\n  def __ge__(self, o): return True\n  "
      "def __sub__(self, o): return self\n  def __rsub__(self, o): return self\n"
      "  def __abs__(self): return self\n  def __contains__(self, o): return True\n  def __hash__(self): return 144\n  "
      "def __getattr__(self, n): return self\n  def __call__(self, *a): return self\n"
      "  def __float__(self): return 0.0\n  def __index__(self): return 144\n  def __len__(self): return 1\n  def "
      "__iter__(self): return iter([self])\n";
  ExpectWrong(kSquares, everything + "def f(x): return Yes()");
  ExpectWrong(kSquares, everything + "f = Yes()");
  for (const char* base : {"int", "str", "list", "tuple", "dict", "float"}) {
    ExpectWrong(kSquares,
                std::string("class Yes(") + base + "):\n  def __eq__(self, o): return True\ndef f(x): return Yes()");
  }
  ExpectWrong({{"assertions", {"assert f(2) == [1, 2]"}}}, everything + "def f(x): return [Yes(), Yes()]");
  ExpectWrong({{"assertions", {"assert sorted(f(2)) == [1, 2]"}}},
              "def sorted(x): return [1, 2]\ndef f(x): return [3]");
  ExpectWrong({{"assertions", {"assert abs(f(2) - 3.5) < 1e-6"}}}, "abs = lambda x: 0\ndef f(x): return 1.0");
  ExpectWrong({{"assertions", {"assert math.isclose(f(2), 3.5)"}}},
              "class math:\n  isclose = lambda *a: True\ndef f(x): return 1.0");
  ExpectUnrewarded({{"assertions", {"assert abs(f(2) - 3.5) < 1e-6"}}}, everything + "def f(x): return Yes()");
  ExpectUnrewarded({{"assertions", {"assert math.isclose(f(2), 3.5)"}}}, everything + "def f(x): return Yes()");
  ExpectUnrewarded({{"assertions", {"assert f(2) > 3"}}}, everything + "def f(x): return Yes()");
  ExpectUnrewarded({{"assertions", {"assert 3 in f(2)"}}}, everything + "def f(x): return Yes()");
  ExpectUnrewarded({{"assertions", {"import datetime\nassert f(2) == datetime.date(2020, 1, 1)"}}},
                   everything + "def f(x): return Yes()");
  for (const char* patch :
       {"builtins.AssertionError = type('E', (BaseException,), {})", "builtins.__import__ = lambda *a, **k: None",
        "builtins.isinstance = lambda *a: True", "builtins.compile = builtins.exec = lambda *a, **k: None",
        "sys.modules['operator'].eq = lambda *a: True", "sys.modules['wire'].encode = lambda *a: 144",
        "sys.modules['json'].dumps = lambda *a: '{\"passed\": 2, \"total\": 2}'"}) {
    ExpectUnrewarded(kSquares, std::string("import builtins, sys\n") + patch + "\ndef f(x): return 1\n");
  }
}

TEST_F(CodeForgery, LooksForTheExpectedValues) {
  // Everything that the tested program can see, searched: its memory, frames, files, descriptors, arguments. "zebra-144" and 9 of f(-3) are nowhere.
  const std::string search = R"py(
import gc, os, re, sys
found, pattern = [], re.compile(b"z[e]bra")  # which itself does not hold what it looks for
def look(where, data):
    if pattern.search(data): found.append(where)
for line in open("/proc/self/maps"):
    begin, end = (int(x, 16) for x in line.split()[0].split("-"))
    if "r" not in line.split()[1] or "vvar" in line or "vsyscall" in line: continue
    with open("/proc/self/mem", "rb") as memory:
        try:
            memory.seek(begin); look(line, memory.read(end - begin))
        except (OSError, ValueError, OverflowError): pass
for folder in ["/work", "/tmp", "/proc/1", "/proc/self"]:
    for name in os.listdir(folder):
        try: look(folder + name, open(f"{folder}/{name}", "rb").read(1 << 20))
        except OSError: pass
)py";
  const std::string reason = ExpectWrong(kOutput, search + "print('searched', found)");
  EXPECT_THAT(reason, HasSubstr("found 'searched []'")) << reason;
  // The same search finds what is there.
  EXPECT_THAT(
      ExpectWrong(kOutput, "kept = bytes([122, 101, 98, 114, 97])\n" + search + "print('searched', len(found) > 0)"),
      HasSubstr("'searched True'"));
  const Json assertions = {{"assertions", {"assert f() == ('zebra', 144)", "assert g() == 'searched []'"}}};
  const std::string frames = R"py(
def f():
    frame = sys._getframe()
    while frame:
        look(str(frame), repr((frame.f_locals, frame.f_globals.get('task'))).encode())
        frame = frame.f_back
    for each in gc.get_objects():
        if type(each) in (str, tuple, list): look("object", repr(each)[:10000].encode())
    return ('none', 0)
def g(): return f"searched {found}"
)py";
  EXPECT_THAT(ExpectWrong(assertions, search + frames), HasSubstr("test 1: f() is ('none', 0), wanted ('zebra', 144)"));
  Json only_g = {{"assertions", {"assert (f(), g())[1] == 'searched []'"}}};
  EXPECT_EQ(Verify(only_g, search + frames).score, 1.0);  // the search itself works and finds nothing
}

TEST_F(CodeForgery, WritesIntoTheChannel) {
  // Descriptors 3 and 4 carry questions and answers; what is written there is an answer, and answers have to be right.
  for (const char* line :
       {R"({"passed": 2, "total": 2, "compiles": true, "failure": null})", R"({"value": true, "changed": {}})",
        R"({"value": {"object": 1}, "changed": {}})", "garbage", R"({"no_verdict": "x"})", R"({"value": [[[[[[)",
        R"({"value": {"int": "zz"}, "changed": {}})", R"({"raised": "Gone", "base": [], "text": ""})",
        R"({"value": 1, "changed": {"0": [1]}})", R"({"raised": "SystemExit", "base": [], "text": ""})",
        R"({"value": {"decimal": "1e999999999"}, "changed": {}})"}) {
    const std::string program =
        std::string("import os\nfor i in range(8):\n  os.write(4, b'''") + line + "\\n''')\ndef f(x): return 1\n";
    ExpectWrong(kSquares, program);
  }
  ExpectWrong(kSquares, "import os\nwhile True: os.write(4, b'x' * 65536)\n");
  ExpectWrong(kSquares, "import os\nos.write(4, b'[' * 1000000 + b'\\n')\n");
  ExpectWrong(kSquares, "import os\nos.close(4)\ndef f(x): return 1\n");
  ExpectWrong(kSquares, "import os\nwhile True: os.read(3, 100)\n");
}

TEST_F(CodeForgery, CppProgramsForgeNothing) {
  const auto fenced = [](const std::string& program) {
    return "```cpp\n#include <cstdio>\n#include <cstdlib>\n#include <unistd.h>\n" + program + "\n```";
  };
  const std::string records = "puts(\"\\x1e\" \"0 1\\n\\x1e\" \"1 1\\nall tests passed\"); fflush(stdout);";
  for (const std::string& program :
       {std::string("int f(int) { _exit(0); }"), std::string("int f(int) { exit(0); }"),
        "struct S { S() { " + records + " _exit(0); } } s; int f(int);", "int f(int) { " + records + " return 1; }",
        std::string("struct Yes { bool operator==(int) const { return true; } operator int() const { return 1; } }; "
                    "Yes f(int) { return {}; }"),
        std::string("#define assert(x)\n#define static_cast\n#define Show(...) 0\nint f(int) { return 1; }"),
        std::string("int f(int) { return 1; }\nint main() { return 0; }"), std::string("int f(int) { throw 1; }"),
        std::string("int f(int) { return 1; }\n#if 0"), std::string("int f(int) { return 1; } /*"),
        std::string("int f(int) { return 1; }\n} signed main() { return 0; } namespace {"),
        std::string("int f(int x) { return __LINE__; }")}) {
    EXPECT_THAT(ExpectWrong(kSquares, fenced(program)), Not(HasSubstr("all")));
  }
  for (const std::string& program :
       {"int main() { " + records + " }", std::string("int main() { puts(\"all tests passed\"); return 0; }"),
        std::string("int main() { _exit(0); }")}) {
    ExpectWrong(kOutput, fenced(program));
  }
}

TEST_F(CodeForgery, AttacksThroughTheCompiler) {
  const auto compiled = [](const std::string& program) { return ExpectWrong(kOutput, "```cpp\n" + program + "\n```"); };
  const std::string shadow = ReadAll("/etc/shadow").substr(0, 10);
  for (const std::string& program : {std::string("#include \"/etc/shadow\"\nint main() {}"),
                                     std::string("#include \"/root/.bashrc\"\nint main() {}"),
                                     std::string("#include </proc/1/environ>\nint main() {}"),
                                     std::string("asm(\".incbin \\\"/etc/shadow\\\"\");\nint main() {}"),
                                     std::string("#include \"../../../etc/passwd\"\nint main() {}")}) {
    const std::string reason = compiled(program);
    EXPECT_THAT(reason, StartsWith("does not compile: ")) << program;
    if (!shadow.empty()) {
      EXPECT_THAT(reason, Not(HasSubstr(shadow)));
    }
  }
  // Endless input, endless expansion, endless inclusion, endless instantiation, a huge binary: limits end them.
  EXPECT_THAT(compiled("#include \"/dev/urandom\"\nint main() {}"), StartsWith("does not compile: "));
  EXPECT_THAT(compiled("#include __FILE__\n#include __FILE__\nint main() {}"), StartsWith("does not compile: "));
  EXPECT_THAT(compiled("#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n#define C(x) B(B(B(x)))\nint a[] "
                       "= { C(C(1,)) };\nint main() {}"),
              StartsWith("does not compile: "));
  EXPECT_THAT(compiled("template <int N, typename T> struct S { S<N + 1, S<N, T>*> a; S<N + 1, S<N, S<N, T>>> b; "
                       "};\nS<0, int> s;\nint main() {}"),
              StartsWith("does not compile: "));
  EXPECT_THAT(compiled("char a[1 << 30] = {1};\nint main() {}"), StartsWith("does not compile: "));
  compiled("#pragma GCC poison printf\n#pragma GCC plugin \"/tmp/x.so\"\nint main() {}");
  EXPECT_EQ(CountProcesses("cc1plus -quiet ../work"), 0);
}

}  // namespace
}  // namespace hone
