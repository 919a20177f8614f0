#include <gtest/gtest.h>

#include "trainer/run_options.h"

namespace hone {
namespace {

Schedule Make(ScheduleShape shape, int64_t warmup_steps, int64_t total_steps, double final_fraction = 0) {
  Schedule schedule;
  schedule.shape = shape;
  schedule.peak = 8;
  schedule.final_fraction = final_fraction;
  schedule.warmup_steps = warmup_steps;
  schedule.total_steps = total_steps;
  return schedule;
}

TEST(Schedule, WarmUpRisesInEqualSteps) {
  // A quarter, a half, three quarters, all of 8; the first step learns already.
  for (const ScheduleShape shape : {ScheduleShape::kConstant, ScheduleShape::kLinear, ScheduleShape::kCosine}) {
    const Schedule schedule = Make(shape, 4, 12);
    EXPECT_DOUBLE_EQ(schedule.At(0), 2);
    EXPECT_DOUBLE_EQ(schedule.At(1), 4);
    EXPECT_DOUBLE_EQ(schedule.At(2), 6);
    EXPECT_DOUBLE_EQ(schedule.At(3), 8);
    EXPECT_DOUBLE_EQ(schedule.At(4), 8);
  }
}

TEST(Schedule, ConstantStays) {
  const Schedule schedule = Make(ScheduleShape::kConstant, 0, 10);
  for (const int64_t step : {0, 1, 9, 10, 1000}) EXPECT_DOUBLE_EQ(schedule.At(step), 8);
}

TEST(Schedule, LinearFallsInEqualSteps) {
  // 8 steps after 4 of warm-up: at step 4 + k the rate is 8 (1 - k / 8).
  const Schedule schedule = Make(ScheduleShape::kLinear, 4, 12);
  EXPECT_DOUBLE_EQ(schedule.At(5), 7);
  EXPECT_DOUBLE_EQ(schedule.At(8), 4);
  EXPECT_DOUBLE_EQ(schedule.At(11), 1);
  EXPECT_DOUBLE_EQ(schedule.At(12), 0);
  EXPECT_DOUBLE_EQ(schedule.At(100), 0);
}

TEST(Schedule, CosineFallsSlowlyAtBothEnds) {
  // At a quarter of the way (1 + cos(pi / 4)) / 2 = 0.853553, at half of it 0.5, at three quarters 0.146447.
  const Schedule schedule = Make(ScheduleShape::kCosine, 0, 8);
  EXPECT_DOUBLE_EQ(schedule.At(0), 8);
  EXPECT_NEAR(schedule.At(2), 8 * 0.853553, 1e-5);
  EXPECT_NEAR(schedule.At(4), 4, 1e-12);
  EXPECT_NEAR(schedule.At(6), 8 * 0.146447, 1e-5);
  EXPECT_NEAR(schedule.At(8), 0, 1e-12);
}

TEST(Schedule, FallsToTheFinalFraction) {
  // Down to a tenth: 8 (0.1 + 0.9 * 0.5) = 4.4 half way, 0.8 at the end.
  for (const ScheduleShape shape : {ScheduleShape::kLinear, ScheduleShape::kCosine}) {
    const Schedule schedule = Make(shape, 2, 12, 0.1);
    EXPECT_NEAR(schedule.At(2), 8, 1e-12);
    EXPECT_NEAR(schedule.At(7), 4.4, 1e-12);
    EXPECT_NEAR(schedule.At(12), 0.8, 1e-12);
  }
}

TEST(Schedule, AWarmUpAsLongAsTheStageIsAllThereIs) {
  const Schedule schedule = Make(ScheduleShape::kCosine, 4, 4);
  EXPECT_DOUBLE_EQ(schedule.At(3), 8);
  EXPECT_DOUBLE_EQ(schedule.At(4), 8);
}

}  // namespace
}  // namespace hone
