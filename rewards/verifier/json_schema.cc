// JSON that a schema accepts (rewards/json_schema.h): what structured answers and tool calls are trained on. The JSON is the last block
// fenced by ```json, or the whole completion. The schema stands in the prompt's metadata, {"schema": {...}}, or in the option `schema`
// for all prompts.
#include "rewards/json_schema.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

using SchemaOrError = absl::StatusOr<JsonSchema>;

// {"schema": {...}}, or the schema as a text.
SchemaOrError ReadSchema(absl::string_view metadata) {
  if (NestsTooDeep(metadata)) return InputError("metadata nests more than ", kDeepestJson, " deep");
  const auto json = nlohmann::json::parse(metadata.begin(), metadata.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("schema")) return InputError("metadata is not a JSON object with \"schema\"");
  const auto& schema = json["schema"];
  return JsonSchema::Compile(schema.is_string() ? schema.get<std::string>() : schema.dump());
}

// Schemas by the metadata that holds them, because the samples of a prompt have one. Thread-safe.
class SchemaCache {
 public:
  std::shared_ptr<const SchemaOrError> Get(const std::string& metadata) {
    {
      absl::MutexLock lock(&mutex_);
      const auto found = schemas_.find(metadata);
      if (found != schemas_.end()) return found->second;
    }
    auto schema = std::make_shared<const SchemaOrError>(ReadSchema(metadata));
    absl::MutexLock lock(&mutex_);
    // Prompts come one after the other, so starting over loses little.
    if (schemas_.size() == kMaxSchemas || bytes_ > kMaxBytes) {
      schemas_.clear();
      bytes_ = 0;
    }
    if (schemas_.emplace(metadata, schema).second) bytes_ += metadata.size();
    return schema;
  }

 private:
  static constexpr size_t kMaxSchemas = 1024;
  static constexpr size_t kMaxBytes = 4 << 20;  // of metadata; schemas take some ten times as much

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<const SchemaOrError>> schemas_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The last block between a line ```json and a line ``` (or the end), or the whole text. No text of JSON holds a line end, so the first
// line of ``` ends the block.
absl::string_view FindJson(absl::string_view text) {
  constexpr absl::string_view kFence = "```";
  absl::string_view json = text;
  for (size_t at = text.find(kFence); at != absl::string_view::npos; at = text.find(kFence, at)) {
    at += kFence.size();
    const absl::string_view label = text.substr(at, std::min(text.find('\n', at), text.size()) - at);
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(label), "json")) continue;
    at += label.size();
    const size_t end = std::min(text.find("\n```", at), text.size());
    json = text.substr(at, end - at);
    at = std::min(end + 1 + kFence.size(), text.size());
  }
  return json;
}

class JsonSchemaVerifier : public Verifier {
 public:
  // `schema` may be null: then prompts bring theirs.
  explicit JsonSchemaVerifier(std::unique_ptr<const JsonSchema> schema) : schema_(std::move(schema)) {}

  // Part: "json", the text is JSON.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    std::shared_ptr<const SchemaOrError> from_prompt;
    if (schema_ == nullptr) {
      from_prompt = cache_.Get(prompt.metadata);
      if (!from_prompt->ok()) return {std::nullopt, std::string(from_prompt->status().message()), {}};
    }
    const JsonSchema& schema = schema_ != nullptr ? *schema_ : **from_prompt;
    const auto finding = schema.Check(FindJson(completion));
    if (!finding.ok()) return {std::nullopt, std::string(finding.status().message()), {}};
    const bool is_right = finding->fault.empty();
    return {is_right ? 1.0 : 0.0, is_right ? "correct" : finding->fault, {{"json", finding->is_json ? 1 : 0}}};
  }

 private:
  const std::unique_ptr<const JsonSchema> schema_;
  mutable SchemaCache cache_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewJsonSchemaVerifier(Spec& spec) {
  const std::string text = spec.Text("schema", "");
  HONE_RETURN_IF_ERROR(spec.Finish());
  std::unique_ptr<const JsonSchema> schema;
  if (!text.empty()) {
    SchemaOrError compiled = JsonSchema::Compile(text);
    if (!compiled.ok()) return InputError("json_schema: option 'schema': ", compiled.status().message());
    schema = std::make_unique<const JsonSchema>(*std::move(compiled));
  }
  return std::make_unique<JsonSchemaVerifier>(std::move(schema));
}

}  // namespace hone
