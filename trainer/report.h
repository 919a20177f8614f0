// report.html: a run's curves, readable offline in any browser.
#pragma once

#include <string>

#include "engine/base/status.h"

namespace hone {

// Draws every metric of RUN/metrics.jsonl against the step as inline SVG and writes RUN/report.html.
absl::Status WriteReport(const std::string& run);

}  // namespace hone
