// Reads config.json key by key. A key that nobody reads could change the arithmetic, so Finish() refuses it: what a family
// supports stands in the family's own file and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// What an integer is where the key is missing, or null; without it the file is wrong.
struct Absent {
  std::optional<int32_t> missing;
  std::optional<int32_t> null = missing;
};

// "a/b" is key b of the object a. The first wrong value is remembered and returned by Finish(); readers then give some value of
// their type. For all but Int and Tokens, null is as good as missing.
class ConfigReader {
 public:
  static absl::StatusOr<ConfigReader> Parse(const std::string& path, const std::string& text);
  ConfigReader(ConfigReader&&) noexcept;
  ~ConfigReader();

  // Neither missing nor null nor {}.
  bool Has(const std::string& key) const;

  int32_t Int(const std::string& key, int32_t low, int32_t high, Absent absent = {});
  double Positive(const std::string& key, std::optional<double> fallback);
  double NonNegative(const std::string& key, double fallback);
  bool Bool(const std::string& key, bool fallback);
  std::string Text(const std::string& key, const std::string& fallback);
  std::vector<std::string> Texts(const std::string& key);  // empty where it is missing
  // One token or a list of them; null is none.
  std::vector<TokenId> Tokens(const std::string& key, const std::vector<TokenId>& missing);
  // Only this value (JSON) has the arithmetic of this program.
  void Require(const std::string& key, const std::string& value);
  // An object or a list of another number of members is wrong.
  void CheckSize(const std::string& key, size_t size);
  // The key has no influence on the arithmetic.
  void Ignore(const std::string& key);

  // "PATH: 'KEY' is VALUE, wanted WANTED".
  void Fail(const std::string& key, const std::string& wanted);
  // The first wrong value, or OK.
  const absl::Status& status() const;
  // That, or a key that nobody read and that is neither null nor false; or OK.
  absl::Status Finish() const;

 private:
  struct State;
  explicit ConfigReader(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace hone
