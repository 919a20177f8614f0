#include "engine/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/base/random.h"
#include "engine/base/text.h"

namespace hone {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

std::string EmptyFolder() {
  const std::string folder = absl::StrCat(::testing::TempDir(), "hone_chat_template");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void Write(const std::string& folder, const std::string& name, const std::string& content) {
  ASSERT_TRUE(WriteFile(absl::StrCat(folder, "/", name), content).ok());
}

absl::StatusOr<ChatTemplate> Loaded(const std::string& source) {
  const std::string folder = EmptyFolder();
  Write(folder, "chat_template.jinja", source);
  return ChatTemplate::Load(folder);
}

constexpr char kChat[] =
    R"({"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " Hi\n"}],
        "chat_template_kwargs": {"list": [3, "b", null, 1.5, true], "words": ["b", "A", "c"], "text": "Grün & <b>",
                                 "d": {"k": 1, "items": [2]}, "n": 7, "rows": [{"a": {"b": 2}}, {"a": {"b": 1}}]}})";

// What the template gives for kChat, or the error's message.
std::string Rendered(const std::string& source, const std::string& chat = kChat) {
  const auto loaded = Loaded(source);
  if (!loaded.ok()) return std::string(loaded.status().message());
  const auto text = loaded->Render(chat);
  return text.ok() ? *text : std::string(text.status().message());
}

// Every expectation is what Jinja 3.1.6 gives with transformers' settings; tests/peers/chat_template_test.py compares much more.
using Cases = std::vector<std::pair<std::string, std::string>>;

void Check(const Cases& cases) {
  for (const auto& [source, wanted] : cases) EXPECT_EQ(Rendered(source), wanted) << source;
}

TEST(ChatTemplate, WhiteSpaceAroundTags) {
  Check({{"a\n  {% if true %}\n b\n  {% endif %}\nc", "a\n b\nc"},  // trim_blocks and lstrip_blocks
         {"a\n  {{ 1 }}\nb\n", "a\n  1\nb"},                        // neither for output; one newline at the end goes
         {"a \n {%- if true -%} \n b {%- endif +%}\n c", "ab\n c"},
         {"a\n  {%+ if true %}x{% endif %}\n", "a\n  x"},
         {"a  {%- set x = 1 %}  b", "a  b"},
         {"a {#- gone -#} b{# x #}\nc", "abc"},
         {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
         {"a\r\nb\r{{ 'c\r\nd' }}", "a\nb\nc\nd"},
         {"{{ '}}' }}{{ {'a': {'b': 1}} }}", "}}{'a': {'b': 1}}"}});
}

TEST(ChatTemplate, LoopsAndScopes) {
  Check(
      {{"{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ m.role }};{% endfor %}", "1Truesystem;2Falseuser;"},
       {"{% for x in [] %}a{% else %}none{% endfor %}", "none"},
       {"{% for x in list if x is number %}{{ x }}/{{ loop.length }} {% endfor %}", "3/3 1.5/3 True/3 "},
       {"{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}", "k=1 items=[2] "},
       {"{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% elif x == 4 %}{% break %}{% endif %}{{ x }}{% endfor "
        "%}",
        "13"},
       {"{% for x in 'ab' %}{{ loop.previtem }}{{ x }}{{ loop.nextitem }},{% endfor %}", "ab,ab,"},
       {"{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = 5 %}{% endfor %}{{ x }}", "111"},
       {"{% set ns = namespace(x=1) %}{% for i in [1,2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "4"},
       {"{% if true %}{% set y = 2 %}{% endif %}{{ y }}", "2"},
       {"{% set a, b = 1, 2 %}{{ b }}{{ a }}{% with a = 9 %}{{ a }}{% endwith %}{{ a }}", "2191"},
       {"{% set x %}<{{ n }}>{% endset %}{{ x|length }}", "3"},
       {"{% generation %}{{ n }}{% endgeneration %}{% filter upper %}abc{% endfilter %}", "7ABC"}});
}

TEST(ChatTemplate, Macros) {
  Check({{"{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=5) }} {{ m() }}",
          "122 125 22"},
         {"{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "321"},
         {"{% macro m() %}{{ y }}{% endmacro %}{% set y = 3 %}{{ m() }}", "3"},
         {"{% macro m(a) %}[{{ a }}{{ caller() }}]{% endmacro %}{% call m(1) %}in{% endcall %}", "[1in]"}});
}

TEST(ChatTemplate, OperatorsAreThoseOfPython) {
  Check(
      {{"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}", "3 -4 2 3.5 1024 0.5"},
       {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'cat' }} {{ 4 not in [1] }} {{ 1 == 1.0 }} {{ true + 1 }}",
        "True False True True True 2"},
       {"{{ 'a' ~ 1 ~ none ~ missing ~ 1.0 }} {{ [1] + [2] }} {{ 'ab' * 2 }} {{ (1,) }}", "a1None1.0 [1, 2] abab (1,)"},
       {"{{ 0 or 'x' }} {{ '' and 1 }}| {{ not missing }} {{ 'y' if n > 5 else 'z' }}{{ 'q' if false }}", "x | True y"},
       {"{{ 1e20 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e16 }} {{ 123456789.125 }} {{ 3.0 }}",
        "1e+20 1000000000000000.0 0.0001 1e-05 1e+16 123456789.125 3.0"},
       {"{{ list }} {{ d }} {{ {'it\\'s': \"q\\\"\", 1: '\\n'} }}",
        "[3, 'b', None, 1.5, True] {'k': 1, 'items': [2]} {\"it's\": 'q\"', 1: '\\n'}"},
       {"{{ -n|abs }} {{ (-n)|abs }} {{ 'a' 'b' }}", "7 7 ab"}});
}

TEST(ChatTemplate, ItemsAttributesAndSlices) {
  Check({{"{{ d.k }}{{ d['k'] }}{{ d['items'] }}{{ d.get('x', 5) }}{{ d.get('x') }}", "11[2]5None"},
         {"{{ list[-1] }} {{ list[9] }}| {{ text[2] }} {{ words[::-1] }} {{ list[1:3] }} {{ text[-4:] }} {{ "
          "words[5:0:-2] }}",
          "True | ü ['c', 'A', 'b'] ['b', None]  <b> ['c']"},
         {"{{ messages[0].content }} {{ messages[0]['role'] }} {{ rows.0.a.b }} {{ n.nothing is defined }}",
          "Be kind. system 2 False"}});
}

TEST(ChatTemplate, Filters) {
  Check({{"{{ ' x '|trim }}|{{ 'xaxx'|trim('x') }} {{ 'aB c'|title }} {{ 'aB'|upper }} {{ 'ÄB'|lower }} {{ "
          "'aB'|capitalize }}",
          "x|a Ab C AB äb Ab"},
         {"{{ list|length }}{{ text|length }} {{ words|join(', ') }} {{ words|first }}{{ words|last }} {{ words|sort "
          "}} {{ words|sort(case_sensitive=true) }}",
          "510 b, A, c bc ['A', 'b', 'c'] ['A', 'b', 'c']"},
         {"{{ missing|default('x') }}{{ ''|default('y', true) }}{{ none|default('z') }}", "xyNone"},
         {"{{ {'b': 1, 'A': 2}|dictsort }} {{ [1, 2, 1]|unique|list }} {{ [1, 2]|reverse|list }} {{ 'abc'|reverse }}",
          "[('A', 2), ('b', 1)] [1, 2] [2, 1] cba"},
         {"{{ rows|map(attribute='a.b')|list }} {{ rows|sort(attribute='a.b')|map(attribute='a')|list }} {{ "
          "words|map('upper')|join }}",
          "[2, 1] [{'b': 1}, {'b': 2}] BAC"},
         {"{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ list|select('number')|list }} {{ "
          "list|reject('none')|list|length }}",
          "1 [3, 1.5, True] 4"},
         {"{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a'|indent(2, true) }}", "a\n    b\n\n    c|  a"},
         {"{{ '42'|int }} {{ '4.9'|int }} {{ 'x'|int(7) }} {{ '1.5'|float }} {{ 2.5|round }} {{ 2.345|round(2) }} {{ "
          "[3, 1]|max }}",
          "42 4 7 1.5 2.0 2.35 3"},
         {"{{ 'aXbX'|replace('X', '-', 1) }} {{ [1, 2]|sum }} {{ 3|string + 'a' }} {{ ('<'|safe) + '<' }}",
          "a-bX 3 3a <&lt;"},
         {"{{ 2.5|round|int }} {{ words|items if false else 'ok' }}", "2 ok"}});
}

TEST(ChatTemplate, JsonIsThatOfPython) {
  Check({{"{{ d|tojson }} {{ list|tojson }} {{ text|tojson }}",
          R"({"k": 1, "items": [2]} [3, "b", null, 1.5, true] "Grün & <b>")"},
         {"{{ d|tojson(indent=2) }}", "{\n  \"k\": 1,\n  \"items\": [\n    2\n  ]\n}"},
         {"{{ d|tojson(separators=(',', ':'), sort_keys=true) }} {{ text|tojson(ensure_ascii=true) }}",
          R"({"items":[2],"k":1} "Gr\u00fcn & <b>")"},
         {"{{ ['\\u0001\\t\"\\\\/', 1e20, [], {}, {1: none}]|tojson(indent=1) }}",
          "[\n \"\\u0001\\t\\\"\\\\/\",\n 1e+20,\n [],\n {},\n {\n  \"1\": null\n }\n]"}});
}

TEST(ChatTemplate, MethodsAndTests) {
  Check({{"{{ ' a b '.strip() }}|{{ 'xxa'.lstrip('x') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ "
          "'abc'.startswith(('x', 'a')) }}",
          "a b|a ['a', 'b,c'] ['a', 'b'] True"},
         {"{{ 'a</t>b'.split('</t>')[-1] }} {{ 'aa'.replace('a', 'b', 1) }} {{ 'it\\'s'.title() }} {{ '-'.join(words) "
          "}} {{ 'abc'.find('c') }}",
          "b ba It'S b-A-c 2"},
         {"{{ '{} {1} {{}}'.format(1, 'b') }} {{ d.items()|list }} {{ d.keys() }}",
          "1 b {} [('k', 1), ('items', [2])] dict_keys(['k', 'items'])"},
         {"{{ list is sequence }} {{ d is mapping }} {{ text is string }} {{ none is none }} {{ 3 is odd }} {{ true is "
          "boolean }} {{ n is divisibleby 7 }} {{ 1 is number }}",
          "True True True True True True True True"},
         {"{{ missing is undefined }} {{ d.items is defined }} {{ text is iterable }} {{ 1.0 is integer }} {{ 'a' is "
          "in ['a'] }} {{ n is eq(7) }}",
          "True True True False True True"},
         {"{% set q = words.append('x') if words.append is defined else 'fixed' %}{{ q }}", "fixed"}});
}

TEST(ChatTemplate, GlobalsOfTransformers) {
  EXPECT_EQ(Rendered("{{ strftime_now('%d %b %Y') }}"), "26 Jul 2024");
  EXPECT_EQ(Rendered("{{ strftime_now('%A %-d.%m.%y %H:%M:%S') }}",
                     R"({"messages": [{"role": "user"}], "date": "2025-01-31T12:30:05"})"),
            "Friday 31.01.25 12:30:05");
  EXPECT_THAT(Rendered("x\n{{ raise_exception('Roles must alternate') }}"),
              EndsWith("chat_template.jinja:2: Roles must alternate"));
  Check(
      {{"{{ range(3)|list }}{{ range(5, 0, -2)|list }} {{ dict(a=1) }} {{ tools is none }} {{ add_generation_prompt }}",
        "[0, 1, 2][5, 3, 1] {'a': 1} True True"}});
}

TEST(ChatTemplate, MessagesAreHandedOverAsTransformersDoes) {
  EXPECT_EQ(Rendered("{{ messages }}", R"({"messages": [{"role": "user", "content": null, "reasoning": "r"}]})"),
            "[{'thinking': 'r', 'role': 'user', 'reasoning': 'r', 'reasoning_content': 'r'}]");
  EXPECT_EQ(
      Rendered("{{ x }}{{ add_generation_prompt }}",
               R"({"messages": [{"role": "user"}], "add_generation_prompt": false, "chat_template_kwargs": {"x": 1}})"),
      "1False");
  EXPECT_THAT(Rendered("", R"({"messages": []})"), HasSubstr("not a list of at least one message"));
  EXPECT_THAT(Rendered("", R"({"messages": ["a"]})"), HasSubstr("not an object"));
  EXPECT_THAT(Rendered("", R"({"messages": [{"role": "u"}], "date": "tomorrow"})"), HasSubstr("'date' is not a day"));
  EXPECT_EQ(Loaded("{{ messages[0].content|tojson }}")->RenderPrompt("a\"ü").value(), "\"a\\\"ü\"");
}

TEST(ChatTemplate, WhereTheTemplateLies) {
  const std::string folder = EmptyFolder();
  EXPECT_THAT(std::string(ChatTemplate::Load(folder).status().message()), HasSubstr("no chat template"));
  Write(folder, "special_tokens_map.json",
        R"({"bos_token": "<map>", "eos_token": {"content": "<eos>"}, "pad_token": "<pad>"})");
  const auto rendered = [&](const std::string& chat) {
    return ChatTemplate::Load(folder).value().Render(chat).value();
  };
  const std::string chat = R"({"messages": [{"role": "user", "content": "q"}]})",
                    with_tools = R"({"messages": [{"role": "user"}], "tools": []})";
  Write(
      folder, "tokenizer_config.json",
      R"({"bos_token": {"content": "<bos>"}, "pad_token": null, "chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}"})");
  EXPECT_EQ(rendered(chat), "<bos><eos>");
  Write(
      folder, "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D{{ bos_token }}"}]})");
  EXPECT_EQ(rendered(chat), "D<map>");
  EXPECT_EQ(rendered(with_tools), "T");
  Write(folder, "chat_template.json", R"({"chat_template": "J"})");
  EXPECT_EQ(rendered(chat), "J");
  Write(folder, "chat_template.jinja", "F");
  EXPECT_EQ(rendered(chat), "F");
  Write(folder, "chat_template.json", "[");
  std::filesystem::remove(folder + "/chat_template.jinja");
  EXPECT_THAT(std::string(ChatTemplate::Load(folder).status().message()), HasSubstr("not a JSON object"));
}

TEST(ChatTemplate, WhatIsNotSupportedIsNamedWithItsLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"{% include 'x' %}", ":1: tag 'include' is not supported"},
      {"\n\n{{ d|xmlattr }}", ":3: filter 'xmlattr' is not supported"},
      {"{{ words|lenght }}", "did you mean 'length'?"},
      {"{{ 1 is prime }}", ":1: test 'prime' is not supported"},
      {"{{ 'a'.encode() }}", ":1: method 'encode' of str is not supported"},
      {"{{ cycler(1) }}", "function 'cycler' is not supported"},
      {"{{ nothing_here() }}", "'nothing_here' is undefined"},
      {"{{ missing.x.y }}", "'missing' is undefined"},
      {"{{ d.zz.y }}", "a dict has no 'zz'"},
      {"{{ 'a' + 1 }}", "'+' of a str and a int is not supported"},
      {"{{ words.append(1) }}", "would change a list"},
      {"{{ f(*words) }}", "arguments with * are not supported"},
      {"{% for x in d recursive %}{% endfor %}", "'recursive' loops are not supported"},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{% if true %}", "{% if %} is not closed"},
      {"{{ (1, 2 }}", "unexpected"},
      {"{{ 'a }}", "a text is not closed"},
      {"{# a", "a comment is not closed"},
      {"{% endif %}", "tag 'endif' is not supported here"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
  };
  for (const auto& [source, wanted] : cases) {
    const std::string message = Rendered(source);
    EXPECT_THAT(message, AllOf(HasSubstr("chat_template.jinja:"), HasSubstr(wanted))) << source;
    EXPECT_LE(message.size(), 400u);
  }
}

TEST(ChatTemplate, HostileTemplatesEnd) {
  const std::string deep(100000, '('), nots = [] {
    std::string text;
    for (int i = 0; i < 100000; ++i) text += "not ";
    return text;
  }();
  std::string sum = "1", blocks;
  for (int i = 0; i < 5000; ++i) sum += "+1";
  for (int i = 0; i < 5000; ++i) blocks += "{% if 1 %}";
  const std::string sources[] = {
      "{{ " + deep,
      "{{ " + nots + "1 }}",
      "{{ " + sum + " }}",
      blocks,
      "{{ [" + std::string(100000, '-') + "1] }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ [0] * 1000000000 }}",
      "{{ range(1000000)|list }}",
      "{{ 9 ** 9 ** 9 }}",
      "{% set a = 'a' * 3000000 %}{% set b = 'a' * 1500000 ~ 'b' %}{% for i in range(999) %}{{ b in a }}{% endfor %}",
      "{{ ('a' * 1000000).replace('', 'b' * 1000) }}"};
  for (const std::string& source : sources) {
    const auto loaded = Loaded(source);
    const absl::Status status = loaded.ok() ? loaded->Render(kChat).status() : loaded.status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << source.substr(0, 80) << ": " << status;
    EXPECT_LE(status.message().size(), 400u);
  }
  // A namespace may hold itself; nothing leaks or recurs.
  EXPECT_EQ(Rendered("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|length }}"), "1");
}

// Templates of scrambled parts of this file's language: whatever they are, the answer is a text or one line.
TEST(ChatTemplate, ScrambledTemplatesEndInATextOrALine) {
  const std::vector<std::string> parts = {"{{",
                                          "}}",
                                          "{%",
                                          "%}",
                                          "{#",
                                          "#}",
                                          "-",
                                          "+",
                                          " ",
                                          "\n",
                                          "if ",
                                          "else",
                                          "elif ",
                                          "endif",
                                          "for ",
                                          "endfor",
                                          "in ",
                                          "x",
                                          "loop.",
                                          "set ",
                                          "endset",
                                          "macro ",
                                          "endmacro",
                                          "(",
                                          ")",
                                          "[",
                                          "]",
                                          "{",
                                          "}",
                                          ":",
                                          ",",
                                          "|",
                                          ".",
                                          "is ",
                                          "not ",
                                          "and ",
                                          "or ",
                                          "'a'",
                                          "\"",
                                          "'",
                                          "\\",
                                          "1",
                                          "2.5",
                                          "messages",
                                          "text",
                                          "list",
                                          "d",
                                          "~",
                                          "*",
                                          "**",
                                          "/",
                                          "//",
                                          "%",
                                          "=",
                                          "==",
                                          "<",
                                          "tojson",
                                          "length",
                                          "join",
                                          "map",
                                          "split",
                                          "namespace",
                                          "range",
                                          "raw ",
                                          "endraw",
                                          "ü",
                                          "\xf0",
                                          "call ",
                                          "endcall",
                                          "generation ",
                                          "endgeneration",
                                          "none",
                                          "true",
                                          "break",
                                          "::-1"};
  const std::vector<std::string> seeds = {
      "{% for m in messages %}{{ m.role ~ ': ' + m['content']|trim }}{% if not loop.last %}\n{% endif %}{% endfor %}",
      "{% macro f(a, b=[1, 2]) %}{{ a|tojson(indent=2) }}{{ b[::-1]|join(',') }}{% endmacro %}{{ f(d, b=list[1:]) }}",
      "{% set ns = namespace(i=0, s='x') %}{% for k, v in d|dictsort %}{% set ns.i = ns.i + 1 %}{{ k.split('e')[-1] is "
      "string }}{% endfor %}"};
  RandomSequence random(11, RandomStream::kTask, 0);
  int texts = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string source = seeds[random.Below(seeds.size())];
    for (uint64_t edits = 1 + random.Below(6); edits > 0; --edits) {
      const size_t place = random.Below(source.size() + 1);
      if (random.Below(2) == 0) {
        source.insert(place, parts[random.Below(parts.size())]);
      } else {
        source.erase(place, 1 + random.Below(12));
      }
    }
    const auto loaded = Loaded(source);
    const auto text = loaded.ok() ? loaded->Render(kChat) : loaded.status();
    texts += text.ok();
    if (text.ok()) {
      EXPECT_FALSE(FindInvalidUtf8(*text)) << source;
    } else {
      ASSERT_TRUE(absl::IsInvalidArgument(text.status())) << source;
      EXPECT_THAT(std::string(text.status().message()), testing::Not(HasSubstr("\n"))) << source;
    }
  }
  EXPECT_GT(texts, 100);
}

}  // namespace
}  // namespace hone
