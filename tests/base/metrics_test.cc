#include "engine/base/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace hone {
namespace {

TEST(MetricsTest, KeepsOrderAndReplaces) {
  Metrics metrics;
  EXPECT_EQ(metrics.ToJson(), "{}");
  metrics.Set("stage", "rl");
  metrics.Set("step", 12);
  metrics.Set("reward/mean", 0.25);
  metrics.Set("step", 13);
  EXPECT_EQ(metrics.ToJson(), "{\"stage\": \"rl\", \"step\": 13, \"reward/mean\": 0.25}");
  EXPECT_EQ(metrics.Find("step"), 13);
  EXPECT_EQ(metrics.Find("stage"), std::nullopt);  // a text
  EXPECT_EQ(metrics.Find("none"), std::nullopt);
  metrics.Set("stage", 1);
  EXPECT_EQ(metrics.Find("stage"), 1);
  metrics.Set("step", "last");
  EXPECT_EQ(metrics.ToJson(), "{\"stage\": 1, \"step\": \"last\", \"reward/mean\": 0.25}");
}

TEST(MetricsTest, NumbersAreShortAndReadBackTheSame) {
  const std::pair<double, const char*> cases[] = {
      {0.1, "0.1"},       {1.0 / 3, "0.3333333333333333"},   {-0.0, "-0"}, {1e22, "1e+22"}, {123456789, "123456789"},
      {5e-324, "5e-324"}, {0.1 + 0.2, "0.30000000000000004"}};
  for (const auto& [value, wanted] : cases) {
    Metrics metrics;
    metrics.Set("x", value);
    EXPECT_EQ(metrics.ToJson(), std::string("{\"x\": ") + wanted + "}");
    const double back = nlohmann::json::parse(metrics.ToJson())["x"].get<double>();
    EXPECT_EQ(back, value);
  }
}

TEST(MetricsTest, NonFiniteNumbersAreNull) {
  for (const double value :
       {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    Metrics metrics;
    metrics.Set("x", value);
    EXPECT_EQ(metrics.ToJson(), "{\"x\": null}");
    EXPECT_TRUE(metrics.Find("x").has_value());
  }
}

TEST(MetricsTest, AnyTextIsValidJson) {
  Metrics metrics;
  const std::string hostile("q\"\\\n\x01\xff ä\0z", 12);
  metrics.Set(hostile, hostile);
  const nlohmann::json json = nlohmann::json::parse(metrics.ToJson());
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json.begin().key(), std::string("q\"\\\n\x01\xEF\xBF\xBD ä\0z", 14));
  EXPECT_EQ(metrics.ToJson().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace hone
