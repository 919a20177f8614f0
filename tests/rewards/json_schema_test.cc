#include "rewards/json_schema.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// "" for valid, else why not.
std::string Fault(const std::string& schema, const std::string& json) {
  const auto compiled = JsonSchema::Compile(schema);
  if (!compiled.ok()) return absl::StrCat("error: ", compiled.status().message());
  const auto finding = compiled->Check(json);
  return finding.ok() ? finding->fault : absl::StrCat("no verdict: ", finding.status().message());
}

TEST(JsonSchema, EveryKeywordAcceptsAndRefuses) {
  const struct {
    const char *schema, *valid, *invalid, *fault;
  } kCases[] = {
      {"true", "1", nullptr, nullptr},
      {"{}", "[{}]", nullptr, nullptr},
      {R"({"not": {}})", nullptr, "1", "the whole: matches what 'not' forbids"},
      {"false", nullptr, "1", "the whole: must not be there"},
      {R"({"type": "integer"})", "1.0", "1.5", "the whole: is of type number, wanted integer"},
      {R"({"type": "number"})", "1", "\"1\"", "the whole: is of type string, wanted number"},
      {R"({"type": ["null", "array"]})", "null", "{}", "the whole: is of type object, wanted null or array"},
      {R"({"type": "boolean"})", "false", "0", "the whole: is of type number, wanted boolean"},
      {R"({"const": {"a": [1, 2]}})", R"({"a": [1.0, 2]})", R"({"a": [2, 1]})",
       R"(the whole: is {"a":[2,1]}, wanted {"a":[1,2]})"},
      {R"({"const": 0})", "0.0", "false", "the whole: is false, wanted 0"},
      {R"({"enum": ["a", 2, null]})", "2", "\"b\"", R"(the whole: is "b", wanted one of ["a",2,null])"},
      {R"({"minimum": 2})", "2", "1.9", "the whole: is 1.9, wanted at least 2"},
      {R"({"maximum": 2})", "2", "3", "the whole: is 3, wanted at most 2"},
      {R"({"exclusiveMinimum": 2})", "2.1", "2", "the whole: is 2, wanted more than 2"},
      {R"({"exclusiveMaximum": 2})", "1", "2", "the whole: is 2, wanted less than 2"},
      {R"({"maximum": -1})", "-9223372036854775808", "9223372036854775808", "wanted at most -1"},
      {R"({"const": [9223372036854775808]})", "[9223372036854775808.0]", "[-9223372036854775808]", "wanted [9.22"},
      {R"({"multipleOf": 0.01})", "19.99", "19.995", "the whole: is 19.995, wanted a multiple of 0.01"},
      {R"({"multipleOf": 7})", "7e20", "1e20", "the whole: is 1e+20, wanted a multiple of 7"},
      {R"({"multipleOf": 1e300})", "-3e307", "1", "the whole: is 1, wanted a multiple of 1e+300"},
      {R"({"minLength": 2})", "\"\\u00e4b\"", "\"\xf0\x9f\x98\x80\"", "the whole: has 1 characters, wanted at least 2"},
      {R"({"maxLength": 2})", "\"\xf0\x9f\x98\x80\xc3\xa4\"", "\"abc\"",
       "the whole: has 3 characters, wanted at most 2"},
      {R"({"pattern": "^[a-c]+$"})", "\"abc\"", "\"abd\"", "the whole: 'abd' does not match '^[a-c]+$'"},
      {R"({"pattern": "b"})", "5", "\"x\"", "the whole: 'x' does not match 'b'"},
      {R"({"format": "date"})", "\"2024-02-29\"", "\"2023-02-29\"", "the whole: '2023-02-29' is not of format date"},
      {R"({"format": "date-time"})", "\"2024-01-31T23:59:59.5+01:00\"", "\"2024-01-31 23:59:59\"", "not of format"},
      {R"({"format": "uuid"})", "\"2eb8aa08-AA98-11ea-b4aa-73b441d16380\"", "\"2eb8aa08\"", "not of format uuid"},
      {R"({"format": "ipv4"})", "\"127.0.0.1\"", "\"127.0.0.256\"", "not of format ipv4"},
      {R"({"format": "email"})", "\"a@b\"", "\"a@\"", "not of format email"},
      {R"({"format": "a-note"})", "\"x\"", nullptr, nullptr},
      {R"({"required": ["a", "b"]})", R"({"a": 1, "b": null})", R"({"a": 1})", "the whole: has no 'b'"},
      {R"({"properties": {"a": {"type": "null"}}})", R"({"b": 1})", R"({"a": 1})",
       "/a: is of type number, wanted null"},
      {R"({"properties": {"a": true}, "additionalProperties": false})", R"({"a": 1})", R"({"a": 1, "b": 1})",
       "/b: must not be there"},
      {R"({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": {"const": 1}})",
       R"({"xa": null, "b": 1})", R"({"xa": 1})", "/xa: is of type number, wanted null"},
      {R"({"propertyNames": {"maxLength": 2}})", R"({"ab": 1})", R"({"abc": 1})",
       "/abc: has 3 characters, wanted at most 2"},
      {R"({"minProperties": 1})", R"({"a": 1})", "{}", "the whole: has 0 members, wanted at least 1"},
      {R"({"maxProperties": 1})", R"({"a": 1})", R"({"a": 1, "b": 2})", "has 2 members, wanted at most 1"},
      {R"({"dependentRequired": {"a": ["b"]}})", R"({"b": 1})", R"({"a": 1})", "the whole: has 'a' but no 'b'"},
      {R"({"dependentSchemas": {"a": {"minProperties": 2}}})", R"({"b": 1})", R"({"a": 1})", "has 1 members"},
      {R"({"items": {"type": "integer"}})", "[1, 2]", "[1, \"2\"]", "/1: is of type string, wanted integer"},
      {R"({"prefixItems": [{"const": 1}], "items": false})", "[1]", "[1, 2]", "/1: must not be there"},
      {R"({"items": [{"const": 1}], "additionalItems": {"const": 2}})", "[1, 2, 2]", "[1, 1]", "/1: is 1, wanted 2"},
      {R"({"minItems": 1})", "[0]", "[]", "the whole: has 0 items, wanted at least 1"},
      {R"({"maxItems": 1})", "[0]", "[0, 0]", "the whole: has 2 items, wanted at most 1"},
      {R"({"uniqueItems": true})", R"([1, "1", {"a": 1, "b": 2}, [1], 0, false])",
       R"([{"a": 1, "b": 2}, 5, {"b": 2, "a": 1.0}])", "/2: equals an earlier item, wanted unique ones"},
      {R"({"contains": {"const": 5}})", "[1, 5]", "[1]", "has 0 items that 'contains' accepts, wanted at least 1"},
      {R"({"contains": {"const": 5}, "minContains": 2, "maxContains": 3})", "[5, 5, 5]", "[5, 5, 5, 5]",
       "has 4 items that 'contains' accepts, wanted at most 3"},
      {R"({"allOf": [{"minimum": 1}, {"maximum": 2}]})", "1.5", "3", "the whole: is 3, wanted at most 2"},
      {R"({"anyOf": [{"minimum": 5}, {"maximum": 2}]})", "1", "3", "matches none of the 2 schemas of anyOf"},
      {R"({"oneOf": [{"minimum": 1}, {"maximum": 2}]})", "3", "1.5", "matches 2 of the 2 schemas of oneOf, wanted 1"},
      {R"({"not": {"type": "null"}})", "1", "null", "the whole: matches what 'not' forbids"},
      {R"({"if": {"minimum": 5}, "then": {"multipleOf": 2}, "else": {"const": 1}})", "6", "7",
       "wanted a multiple of 2"},
      {R"({"if": {"minimum": 5}, "then": {"multipleOf": 2}, "else": {"const": 1}})", "1", "2", "is 2, wanted 1"},
      {R"({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "null"}}})", "null", "1", "wanted null"},
      {R"({"properties": {"a": {"$ref": "#/definitions/x", "minimum": 3}}, "definitions": {"x": {"maximum": 5}}})",
       R"({"a": 4})", R"({"a": 2})", "/a: is 2, wanted at least 3"},
      {R"({"type": "object", "properties": {"next": {"$ref": "#"}}})", R"({"next": {"next": {}}})",
       R"({"next": {"next": {"next": 5}}})", "/next/next/next: is of type number, wanted object"},
      {R"({"properties": {"a/b": {"properties": {"c~": {"items": false}}}}})", "{}", R"({"a/b": {"c~": [0]}})",
       "/a~1b/c~0/0: must not be there"},
      {R"({"title": "t", "description": "d", "default": 1, "examples": [1], "$comment": "c", "$id": "x",
           "$schema": "https://json-schema.org/draft/2020-12/schema"})",
       "1", nullptr, nullptr},
  };
  for (const auto& [schema, valid, invalid, fault] : kCases) {
    if (valid != nullptr) {
      EXPECT_EQ(Fault(schema, valid), "") << schema;
    }
    if (invalid != nullptr) {
      EXPECT_THAT(Fault(schema, invalid), HasSubstr(fault)) << schema << " " << invalid;
    }
  }
}

TEST(JsonSchema, RefusesSchemasItCannotKeep) {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "error: schema: not JSON"},
      {"5", "error: schema: #: found 5, wanted a schema, an object or true or false"},
      {R"({"unevaluatedProperties": false})", "error: schema: #/unevaluatedProperties: this keyword is not supported"},
      {R"({"properties": {"a": {"minimun": 1}}})",
       "error: schema: #/properties/a/minimun: this keyword is not supported; did you mean 'minimum'?"},
      {R"({"items": {"$anchor": "x"}})", "error: schema: #/items/$anchor: this keyword is not supported"},
      {R"({"$dynamicRef": "#x"})", "error: schema: #/$dynamicRef: this keyword is not supported"},
      {R"({"items": {"$id": "x"}})", "error: schema: #/items/$id: this keyword is not supported"},
      {R"({"$ref": "http://example.com/x"})",
       "error: schema: #/$ref: 'http://example.com/x' is no place in this schema, such as #/$defs/name"},
      {R"({"$ref": "#/$defs/a"})", "error: schema: #/$ref: '#/$defs/a' is no place in this schema"},
      {R"({"type": "int"})", "error: schema: #/type: found \"int\", wanted null, boolean, object"},
      {R"({"required": "a"})", "error: schema: #/required: found \"a\", wanted a list of texts"},
      {R"({"minimum": "1"})", "error: schema: #/minimum: found \"1\", wanted a number"},
      {R"({"exclusiveMinimum": true})", "error: schema: #/exclusiveMinimum: found true, wanted a number"},
      {R"({"multipleOf": 0})", "error: schema: #/multipleOf: found 0, wanted a number above 0"},
      {R"({"minLength": -1})", "error: schema: #/minLength: found -1, wanted a whole number from 0 up"},
      {R"({"maxItems": 1e300})", "error: schema: #/maxItems: found 1e+300, wanted a whole number from 0 up"},
      {R"({"allOf": {}})", "error: schema: #/allOf: found {}, wanted a list of schemas"},
      {R"({"anyOf": [5]})", "error: schema: #/anyOf/0: found 5, wanted a schema"},
      {R"({"properties": []})", "error: schema: #/properties: found [], wanted an object"},
      {R"_({"pattern": "(?=a)"})_",
       "error: schema: #/pattern: pattern '(?=a)': invalid perl operator: (?=; the syntax"},
      {R"({"patternProperties": {"(": true}})", "error: schema: #/patternProperties: pattern '(': missing ): ("},
  };
  for (const auto& [schema, error] : kCases) EXPECT_THAT(Fault(schema, "1"), StartsWith(error)) << schema;
  EXPECT_THAT(Fault(std::string(1 << 20, '['), "1"), HasSubstr("nests more than 100 deep"));
  EXPECT_THAT(Fault(std::string((1 << 20) + 1, ' '), "1"), HasSubstr("at most 1048576 are read"));
}

TEST(JsonSchema, BoundsItsWork) {
  // References that lead nowhere.
  EXPECT_THAT(Fault(R"({"$ref": "#"})", "1"), StartsWith("no verdict: the schema asks for more than"));
  EXPECT_THAT(Fault(R"({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#"}]}}})", "1"),
              StartsWith("no verdict: the schema asks for more than"));
  // Each level doubles the work: 2^60 checks.
  std::string doubling = R"({"$defs": {"s60": true)";
  for (int i = 0; i < 60; ++i) {
    const std::string next = absl::StrCat(R"({"$ref": "#/$defs/s)", i + 1, "\"}");
    absl::StrAppend(&doubling, ", \"s", i, R"(": {"allOf": [)", next, ", ", next, "]}");
  }
  EXPECT_THAT(Fault(doubling + R"(}, "$ref": "#/$defs/s0"})", "1"),
              StartsWith("no verdict: the schema asks for more than"));
  // A chain of references as long as the text allows is read without recursion, and is too deep to check.
  std::string chain = R"({"$defs": {"s20000": true)";
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&chain, ", \"s", i, R"(": {"$ref": "#/$defs/s)", i + 1, "\"}");
  EXPECT_THAT(Fault(chain + R"(}, "$ref": "#/$defs/s0"})", "1"), StartsWith("no verdict: "));
  // Large and deep, but no trouble.
  EXPECT_EQ(Fault(R"({"items": {"$ref": "#"}})", std::string(100, '[') + std::string(100, ']')), "");
  EXPECT_EQ(Fault(R"({"uniqueItems": true, "items": {"type": "array"}})", "[" + Repeated("[],", 1 << 18) + "[]]")
                .substr(0, 3),
            "/1:");
}

// ---- The verifier ------------------------------------------------------------------------------------------------

constexpr char kPerson[] =
    R"({"schema": {"type": "object", "required": ["age"], "properties": {"age": {"minimum": 0}}}})";

Verdict Verify(const std::string& metadata, const std::string& completion) {
  return BuildWith(NewJsonSchemaVerifier, "json_schema").value()->Verify(Question("", metadata), completion);
}

TEST(JsonSchemaVerifier, FindsTheJson) {
  const struct {
    const char *completion, *reason, *parts;
  } kCases[] = {
      {R"({"age": 5})", "correct", "json=1"},
      {" \n{\"age\": 5}\n", "correct", "json=1"},
      {"Sure:\n```json\n{\"age\": 5}\n```\nDone.", "correct", "json=1"},
      {"```JSON \n{\"age\": 5}\n```", "correct", "json=1"},
      {"```json\n{\"age\": 5}", "correct", "json=1"},
      {"```json\n{}\n```\nNo:\n```json\n{\"age\": 5}\n```", "correct", "json=1"},
      {"```json\n{\"age\": 5}\n```\n```python\nprint()\n```", "correct", "json=1"},
      {"{\"age\": \"```json\"}", "correct", "json=1"},
      {R"({"age": -5})", "/age: is -5, wanted at least 0", "json=1"},
      {R"({"Age": 5})", "the whole: has no 'age'", "json=1"},
      {R"({"age": 5)", "not JSON at byte 10, '5'", "json=0"},
      {R"({"age": 5} really)", "not JSON at byte 12, '5} r'", "json=0"},
      {"", "not JSON at byte 1, ''", "json=0"},
      {R"({"age": 1e999})", "not JSON at byte 13, '1e999'", "json=0"},
      {"{\"age\": \"\xff\"}", "not JSON at byte 10", "json=0"},
      {R"({"age": NaN})", "not JSON at byte 9", "json=0"},
  };
  for (const auto& [completion, reason, parts] : kCases) {
    const Verdict verdict = Verify(kPerson, completion);
    EXPECT_THAT(verdict.reason, StartsWith(reason)) << completion;
    EXPECT_EQ(verdict.score, std::string(reason) == "correct" ? 1.0 : 0.0) << completion;
    EXPECT_EQ(PartsText(verdict), parts) << completion;
  }
}

TEST(JsonSchemaVerifier, TakesTheSchemaFromTheOptionOrAsText) {
  const auto verifier = BuildWith(NewJsonSchemaVerifier, R"(json_schema(schema='{"type": "null"}'))").value();
  EXPECT_EQ(verifier->Verify(Question("", kPerson), "null").score, 1.0);
  EXPECT_EQ(verifier->Verify(Question("", kPerson), R"({"age": 5})").score, 0.0);
  EXPECT_EQ(Verify(R"({"schema": "{\"type\": \"null\"}"})", "null").score, 1.0);
  EXPECT_EQ(BuildWith(NewJsonSchemaVerifier, R"(json_schema(schema='{"typ": "null"}'))").status().message(),
            "json_schema: option 'schema': schema: #/typ: this keyword is not supported; did you mean 'type'?");
}

TEST(JsonSchemaVerifier, HasNoVerdictWithoutSchema) {
  const std::pair<std::string, const char*> kCases[] = {
      {"", "metadata is not a JSON object with \"schema\""},
      {"{}", "metadata is not a JSON object with \"schema\""},
      {R"({"schema": 5})", "schema: #: found 5"},
      {R"({"schema": "{"})", "schema: not JSON at byte"},
      {R"({"schema": {"unevaluatedItems": false}})", "schema: #/unevaluatedItems: this keyword is not supported"},
      {R"({"schema": {"$ref": "#"}})", "the schema asks for more than"},
      {std::string(100000, '['), "metadata nests more than 100 deep"},
  };
  for (const auto& [metadata, reason] : kCases) {
    const Verdict verdict = Verify(metadata, "{}");
    EXPECT_FALSE(verdict.score.has_value()) << metadata;
    EXPECT_THAT(verdict.reason, HasSubstr(reason)) << metadata;
  }
}

TEST(JsonSchemaVerifier, KeepsSchemasApart) {
  // More prompts than the cache holds, from several threads.
  const auto verifier = BuildWith(NewJsonSchemaVerifier, "json_schema").value();
  std::vector<std::thread> threads;
  std::vector<int> right(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 3000; ++i) {
        const std::string metadata = absl::StrCat(R"({"schema": {"const": )", i / 2 % 1500, "}}");
        const Verdict verdict = verifier->Verify(Question("", metadata), absl::StrCat(i / 2 % 1500 + i % 2));
        right[thread] += verdict.score == (i % 2 == 0 ? 1.0 : 0.0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(4, 3000));
}

TEST(JsonSchemaVerifier, WithstandsHostileCompletions) {
  const auto verifier = BuildWith(NewJsonSchemaVerifier, "json_schema").value();
  const char kHard[] = R"({"schema": {"type": ["object", "array"], "items": {"$ref": "#"}, "uniqueItems": true,
      "additionalProperties": {"$ref": "#"}, "propertyNames": {"pattern": "(a|a)*b"}, "anyOf": [{}, {"minItems": 3}]}})";
  ExpectWithstandsHostileCompletions(*verifier, Question("", kHard), 0, 0);
  ExpectWithstandsHostileCompletions(*verifier, Question("", kPerson), 0, 0);
}

}  // namespace
}  // namespace hone
