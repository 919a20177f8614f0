#include "engine/base/metrics.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hone {
namespace {

void AppendNumber(double value, std::string& out) {
  if (!std::isfinite(value)) {  // JSON has no word for it
    out += "null";
    return;
  }
  char buffer[32];  // the shortest form of a double has at most 24 characters
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  out.append(buffer, end.ptr);
}

void AppendText(const std::string& text, std::string& out) {
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void Metrics::Set(const std::string& name, double value) {
  for (Entry& entry : entries_) {
    if (entry.name == name) {
      entry = {name, value, std::nullopt};
      return;
    }
  }
  entries_.push_back({name, value, std::nullopt});
}

void Metrics::Set(const std::string& name, const std::string& text) {
  Set(name, 0.0);
  for (Entry& entry : entries_) {
    if (entry.name == name) entry.text = text;
  }
}

std::optional<double> Metrics::Find(const std::string& name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name && !entry.text.has_value()) return entry.number;
  }
  return std::nullopt;
}

std::string Metrics::ToJson() const {
  std::string out = "{";
  for (const Entry& entry : entries_) {
    if (out.size() > 1) out += ", ";
    AppendText(entry.name, out);
    out += ": ";
    if (entry.text.has_value()) {
      AppendText(*entry.text, out);
    } else {
      AppendNumber(entry.number, out);
    }
  }
  return out + "}";
}

}  // namespace hone
