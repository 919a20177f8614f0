#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/gemm.h"
#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

using Doubles = std::vector<double>;

// Runs the kernel on every instruction set and with 1 and 3 threads; fused sets and all thread counts must agree in every bit,
// and every instruction set with the reference to within the tolerance.
void Check(const std::function<Vector(ThreadPool&)>& kernel, const Doubles& reference, double tolerance) {
  Vector first;
  for (const InstructionSet& set : InstructionSets()) {
    const OnInstructionSet on(set);
    ThreadPool one(1), three(3);
    const Vector result = kernel(one);
    EXPECT_TRUE(Close(result, reference, tolerance)) << set.name;
    EXPECT_TRUE(SameBytes(kernel(three), result)) << "threads, " << set.name;
    if (first.empty()) first = result;
    if (set.fused) {
      EXPECT_TRUE(SameBytes(result, first)) << set.name;
    }
  }
}

struct Matrix {
  int64_t rows, width;
};
const Matrix kShapes[] = {{1, 1}, {3, 5}, {2, 16}, {70, 96}, {257, 23}, {33, 131}, {500, 64}};

TEST(RmsNorm, MatchesTheFormula) {
  for (const auto& [rows, width] : kShapes) {
    const Vector x = Noise(rows * width, 1, -3, 3), weight = Noise(width, 2);
    Doubles expected;
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[r * width + i]) * x[r * width + i];
      for (int64_t i = 0; i < width; ++i) {
        expected.push_back(x[r * width + i] / std::sqrt(squares / width + 1e-5) * weight[i]);
      }
    }
    // A handful of roundings of 6e-8 each.
    Check(
        [&, rows = rows, width = width](ThreadPool& pool) {
          Vector y(rows * width), inverse(rows);
          RmsNorm(pool, x.data(), weight.data(), rows, width, 1e-5f, y.data(), inverse.data());
          Vector again(rows * width);
          RmsNorm(pool, x.data(), weight.data(), rows, width, 1e-5f, again.data(), nullptr);
          EXPECT_TRUE(SameBytes(again, y));
          return y;
        },
        expected, 1e-6);
  }
}

TEST(RmsNorm, RowAloneIsTheRowAmongOthers) {
  const int64_t width = 83;
  const Vector x = Noise(257 * width, 3), weight = Noise(width, 4);
  Vector all(257 * width), alone(width);
  ThreadPool pool(2);
  RmsNorm(pool, x.data(), weight.data(), 257, width, 1e-6f, all.data(), nullptr);
  for (int64_t r = 0; r < 257; ++r) {
    RmsNorm(pool, x.data() + r * width, weight.data(), 1, width, 1e-6f, alone.data(), nullptr);
    ASSERT_TRUE(SameBytes(alone, Slice(all, r * width, (r + 1) * width)));
  }
}

TEST(RmsNormBackward, MatchesTheFormula) {
  for (const auto& [rows, width] : kShapes) {
    const Vector x = Noise(rows * width, 5, -2, 2), weight = Noise(width, 6), dy = Noise(rows * width, 7);
    Doubles dx, dweight(width);
    Vector inverse_rms;
    for (int64_t r = 0; r < rows; ++r) {
      const float *xr = &x[r * width], *dyr = &dy[r * width];
      double squares = 0, product = 0;
      for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(xr[i]) * xr[i];
      const double inverse = 1 / std::sqrt(squares / width + 1e-5);
      inverse_rms.push_back(static_cast<float>(inverse));
      for (int64_t i = 0; i < width; ++i) product += static_cast<double>(dyr[i]) * weight[i] * xr[i];
      // y_i = x_i n w_i with n = (mean x^2 + e)^-1/2, so dn/dx_i = -n^3 x_i / width.
      for (int64_t i = 0; i < width; ++i) {
        dx.push_back(inverse * dyr[i] * weight[i] - inverse * inverse * inverse / width * product * xr[i]);
        dweight[i] += static_cast<double>(dyr[i]) * xr[i] * inverse;
      }
    }
    Doubles expected = dx;
    expected.insert(expected.end(), dweight.begin(), dweight.end());
    Check(
        [&, rows = rows, width = width](ThreadPool& pool) {
          Vector result(rows * width + width, NAN);
          RmsNormBackward(pool, x.data(), weight.data(), inverse_rms.data(), dy.data(), rows, width, result.data(),
                          result.data() + rows * width);
          return result;
        },
        expected, 3e-6);
  }
}

TEST(Rope, RotatesHalvesAndBack) {
  for (const int64_t head_dim : {2, 6, 24, 32, 64, 80}) {
    const int64_t rows = 37, heads = 3, half = head_dim / 2;
    const Vector x = Noise(rows * heads * head_dim, 8);
    Vector cosine, sine;
    for (int64_t i = 0; i < rows * half; ++i) {
      const auto position = static_cast<double>(i / half * 7 % 50);
      const double angle = position * std::pow(10000, -static_cast<double>(i % half) / half);
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
    Doubles expected(x.size());
    for (int64_t i = 0; i < rows * heads; ++i) {
      for (int64_t j = 0; j < half; ++j) {
        const double low = x[i * head_dim + j], high = x[i * head_dim + half + j];
        const double c = cosine[i / heads * half + j], s = sine[i / heads * half + j];
        expected[i * head_dim + j] = low * c - high * s;
        expected[i * head_dim + half + j] = high * c + low * s;
      }
    }
    const auto rope = [&](ThreadPool& pool, const Vector& from, RopeDirection direction) {
      Vector y = from;
      Rope(pool, y.data(), cosine.data(), sine.data(), rows, heads, head_dim, direction, y.data());
      return y;
    };
    Check([&](ThreadPool& pool) { return rope(pool, x, RopeDirection::kForward); }, expected, 2e-7);
    ThreadPool pool(1);
    EXPECT_TRUE(Close(rope(pool, rope(pool, x, RopeDirection::kForward), RopeDirection::kBackward), x, 4e-7));
  }
}

TEST(SwiGlu, MatchesTheFormula) {
  Vector gate = Noise(20011, 9, -20, 20);
  const Vector up = Noise(20011, 10);
  Doubles expected;
  for (size_t i = 0; i < gate.size(); ++i)
    expected.push_back(gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
  Check(
      [&](ThreadPool& pool) {
        Vector y(gate.size());
        SwiGlu(pool, gate.data(), up.data(), static_cast<int64_t>(gate.size()), y.data());
        return y;
      },
      expected, 3e-7);
}

TEST(SwiGlu, ExtremesAndNan) {
  const Vector gate = {-1e30f, -200, -89, -88, 0, 88, 200, 1e30f, NAN}, up(gate.size(), 1);
  for (const InstructionSet& set : InstructionSets()) {
    const OnInstructionSet on(set);
    ThreadPool pool(1);
    Vector y(gate.size()), dgate(gate.size()), dup(gate.size());
    SwiGlu(pool, gate.data(), up.data(), static_cast<int64_t>(gate.size()), y.data());
    SwiGluBackward(pool, gate.data(), up.data(), up.data(), static_cast<int64_t>(gate.size()), dgate.data(),
                   dup.data());
    for (int i = 0; i < 4; ++i) {
      EXPECT_NEAR(y[i], 0, 1e-30) << gate[i];
      EXPECT_NEAR(dgate[i], 0, 1e-30) << gate[i];
    }
    for (int i = 4; i < 8; ++i) EXPECT_EQ(y[i], gate[i]);
    EXPECT_EQ(dgate[4], 0.5f);
    EXPECT_EQ(dgate[7], 1);
    EXPECT_TRUE(std::isnan(y[8]) && std::isnan(dgate[8]) && std::isnan(dup[8])) << set.name;
  }
}

TEST(SwiGluBackward, MatchesTheFormula) {
  const int64_t count = 9001;
  const Vector gate = Noise(count, 11, -9, 9), up = Noise(count, 12), dy = Noise(count, 13);
  Doubles expected(2 * count);
  for (int64_t i = 0; i < count; ++i) {
    const double g = gate[i], s = 1 / (1 + std::exp(-g));
    expected[i] = dy[i] * up[i] * s * (1 + g * (1 - s));
    expected[count + i] = dy[i] * g * s;
  }
  Check(
      [&](ThreadPool& pool) {
        Vector result(2 * count);
        SwiGluBackward(pool, gate.data(), up.data(), dy.data(), count, result.data(), result.data() + count);
        return result;
      },
      expected, 3e-7);
}

TEST(Add, Adds) {
  const Vector a = Noise(40003, 14), b = Noise(40003, 15);
  Doubles expected;
  for (size_t i = 0; i < a.size(); ++i) expected.push_back(a[i] + b[i]);
  Check(
      [&](ThreadPool& pool) {
        Vector y(a.size());
        Add(pool, a.data(), b.data(), static_cast<int64_t>(a.size()), y.data());
        return y;
      },
      expected, 0);
}

TEST(AddBias, AddsToEveryRowAndSumsBack) {
  for (const int64_t width : {1, 7, 64, 576, 1000}) {
    for (const int64_t rows : {1, 3, 70}) {
      const Vector x = Noise(rows * width, 40), bias = Noise(width, 41);
      Doubles expected(x.size()), sums(width);
      for (int64_t i = 0; i < rows * width; ++i) {
        expected[i] = static_cast<double>(x[i]) + bias[i % width];
        sums[i % width] += x[i];
      }
      Check(
          [&](ThreadPool& pool) {
            Vector y = x;
            AddBias(pool, y.data(), bias.data(), rows, width, y.data());
            return y;
          },
          expected, 1e-7);
      Check(
          [&](ThreadPool& pool) {
            Vector dbias(width, NAN);
            AddBiasBackward(pool, x.data(), rows, width, dbias.data());
            return dbias;
          },
          sums, 1e-6);
    }
  }
}

TEST(EmbeddingPacked, LooksUpAndAddsBack) {
  for (const auto& [vocab, width] : {std::pair<int64_t, int64_t>{23, 96}, {70, 33}, {1000, 8}}) {
    const int64_t rows = 777;
    const Vector table = Noise(vocab * width, 16), dy = Noise(rows * width, 17), start = Noise(vocab * width, 18);
    ThreadPool pool(3), serial(1);
    Vector packed(PackedSize(vocab, width)), gradient(PackedSize(vocab, width)), y(rows * width);
    Pack(pool, {table.data(), width, 1}, vocab, width, packed.data());
    Pack(pool, {start.data(), width, 1}, vocab, width, gradient.data());
    std::vector<int32_t> tokens(rows);
    for (int64_t r = 0; r < rows; ++r) tokens[r] = static_cast<int32_t>((r * r + 3 * r) % vocab);
    EmbeddingPacked(pool, packed.data(), tokens.data(), rows, width, y.data());
    Vector expected = start, actual(vocab * width);
    for (int64_t r = 0; r < rows; ++r) {
      EXPECT_TRUE(
          SameBytes(Slice(y, r * width, (r + 1) * width), Slice(table, tokens[r] * width, (tokens[r] + 1) * width)));
      for (int64_t i = 0; i < width; ++i) expected[tokens[r] * width + i] += dy[r * width + i];
    }
    EmbeddingPackedBackwardAccumulate(pool, dy.data(), tokens.data(), rows, width, gradient.data());
    Unpack(gradient.data(), vocab, width, actual.data());
    EXPECT_TRUE(SameBytes(actual, expected)) << "ascending rows, one addition each";
  }
}

TEST(SumOfSquares, SameForAnyThreadsAndInstructionSet) {
  for (const int64_t count : {0, 1, 15, 1000, 16384, 100001}) {
    const Vector x = Noise(count, 19);
    double expected = 0;
    for (const float value : x) expected += static_cast<double>(value) * value;
    std::vector<double> results;
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      ThreadPool one(1), three(3);
      results.push_back(SumOfSquares(one, x.data(), count));
      results.push_back(SumOfSquares(three, x.data(), count));
    }
    for (const double result : results) {
      EXPECT_EQ(result, results[0]);  // squares of floats are exact in double, so fusing changes nothing
      EXPECT_NEAR(result, expected, 1e-12 * expected);
    }
  }
}

}  // namespace
}  // namespace hone::kernels
