#include "trainer/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/file.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;
using Curve = std::vector<std::pair<double, double>>;  // (step, value)

constexpr double kWidth = 420, kHeight = 160, kLeft = 56, kBottom = 18, kTop = 8, kRight = 8;
constexpr size_t kMaxPoints = 600;

// These come first: what a reader asks for.
constexpr const char* kFirst[] = {"eval/pass@1",
                                  "reward/mean",
                                  "policy/loss",
                                  "policy/entropy",
                                  "sample/length_mean",
                                  "group/zero_variance",
                                  "mismatch/logprob_abs_max"};

std::string Escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return escaped;
}

// Neighbouring points are averaged so that a long run stays a small file.
Curve Thin(const Curve& curve) {
  const size_t bucket = (curve.size() + kMaxPoints - 1) / kMaxPoints;
  if (bucket <= 1) return curve;
  Curve thin;
  for (size_t begin = 0; begin < curve.size(); begin += bucket) {
    const size_t end = std::min(curve.size(), begin + bucket);
    double step = 0, value = 0;
    for (size_t i = begin; i < end; ++i) {
      step += curve[i].first;
      value += curve[i].second;
    }
    const auto count = static_cast<double>(end - begin);
    thin.emplace_back(step / count, value / count);
  }
  return thin;
}

std::string Draw(const std::string& name, const Curve& whole) {
  const Curve curve = Thin(whole);
  double low = curve[0].second, high = curve[0].second;
  for (const auto& [step, value] : curve) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const double first = curve.front().first, last = curve.back().first;
  const double span = high > low ? high - low : 1, steps = last > first ? last - first : 1;
  std::string points;
  for (const auto& [step, value] : curve) {
    absl::StrAppendFormat(&points, "%.1f,%.1f ", kLeft + (step - first) / steps * (kWidth - kLeft - kRight),
                          kHeight - kBottom - (value - low) / span * (kHeight - kBottom - kTop));
  }
  return absl::StrFormat(
      "<figure><figcaption>%s</figcaption><svg viewBox='0 0 %.0f %.0f' width='%.0f'>"
      "<path d='M%.0f %.0fV%.0fH%.0f' class='axis'/><text x='%.0f' y='%.0f' class='y'>%.4g</text><text x='%.0f' "
      "y='%.0f' class='y'>%.4g</text>"
      "<text x='%.0f' y='%.0f'>%.0f</text><text x='%.0f' y='%.0f' class='y'>%.0f</text><polyline "
      "points='%s'/></svg></figure>\n",
      Escape(name), kWidth, kHeight, kWidth, kLeft, kTop, kHeight - kBottom, kWidth - kRight, kLeft - 4, kTop + 8, high,
      kLeft - 4, kHeight - kBottom, low, kLeft, kHeight - 4, first, kWidth - kRight, kHeight - 4, last, points);
}

constexpr char kHead[] =
    "<!doctype html><meta charset='utf-8'><title>Hone run</title><style>body{font:14px "
    "sans-serif;margin:24px;max-width:1340px}"
    "figure{display:inline-block;margin:8px}figcaption{font-weight:600}polyline{fill:none;stroke:#2563eb;stroke-width:"
    "1.5}"
    ".axis{fill:none;stroke:#999}text{font-size:11px;fill:#555}.y{text-anchor:end}</style>\n";

}  // namespace

absl::Status WriteReport(const std::string& run) {
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(run + "/metrics.jsonl"));
  std::vector<std::pair<std::string, Curve>> curves;
  for (const char* name : kFirst) curves.push_back({name, {}});
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number()) continue;
    const double step = json["step"].get<double>();
    for (const auto& [name, value] : json.items()) {
      if (!value.is_number() || name == "step") continue;
      auto found = std::find_if(curves.begin(), curves.end(),
                                [&, &key = name](const auto& curve) { return curve.first == key; });
      if (found == curves.end()) found = curves.insert(curves.end(), {name, {}});
      found->second.emplace_back(step, value.get<double>());
    }
  }
  std::string html =
      absl::StrCat(kHead, "<h1>", Escape(run), "</h1>\n<p>Metrics against the step, over all stages.</p>\n");
  for (const auto& [name, curve] : curves) {
    if (!curve.empty()) html += Draw(name, curve);
  }
  return WriteFile(run + "/report.html", html);
}

}  // namespace hone
