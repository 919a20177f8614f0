// JSON Schema, the validation vocabulary of draft 2020-12: https://json-schema.org/draft/2020-12/json-schema-validation. Written here because the
// one library that Debian has for it (valijson) knows draft 7, passes over keywords that it does not know, and matches patterns with
// std::regex, which a hostile text makes run for ever or overflow the stack.
//
// A schema is read whole: a keyword that would change what is valid and is not supported ($dynamicRef, unevaluatedProperties, ...) is an
// error, never passed over. Patterns are RE2's. `format` is checked for date, time, date-time, uuid, ipv4 and email, and is a note
// otherwise, as the draft has it. $ref goes to places of the same schema, "#/$defs/node". Draft 7's lists under `items` are read as well.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

class JsonSchema {
 public:
  // Bounded: 1 MiB of text, kDeepestJson deep. Errors name the place: "schema: #/properties/age: keyword 'minimun' is not known".
  static absl::StatusOr<JsonSchema> Compile(absl::string_view schema);
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;
  ~JsonSchema();

  struct Finding {
    bool is_json = false;
    std::string fault;  // "" where the schema accepts; else "/age: -1 is less than 0", the place as a JSON pointer
  };
  // Thread-safe, bounded work. An error says that this bound was reached, so that nothing is known about the text.
  absl::StatusOr<Finding> Check(absl::string_view json) const;

 private:
  struct Compiled;
  explicit JsonSchema(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace hone
