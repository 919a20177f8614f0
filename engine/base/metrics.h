// One row of metrics.jsonl: names and numbers in the order they were set. A quantity that does not apply is left out.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hone {

class Metrics {
 public:
  // Sets or replaces. Non-finite values are kept and written as null.
  void Set(const std::string& name, double value);
  void Set(const std::string& name, const std::string& text);
  std::optional<double> Find(const std::string& name) const;
  // One JSON object without line end. Numbers print the shortest text that reads back as the same double.
  std::string ToJson() const;

 private:
  struct Entry {
    std::string name;
    double number;
    std::optional<std::string> text;
  };
  std::vector<Entry> entries_;
};

}  // namespace hone
