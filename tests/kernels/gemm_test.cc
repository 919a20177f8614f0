#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

// c + sum over k ascending of a[k] * b[k]: the contract, on a machine with or without fused multiply-add.
float Chain(const float* a, int64_t a_step, const float* w, int64_t k, float c, bool fused) {
  for (int64_t i = 0; i < k; ++i) {
    const volatile float product = a[i * a_step] * w[i];
    c = fused ? std::fma(a[i * a_step], w[i], c) : product + c;
  }
  return c;
}

struct Shape {
  int64_t m, n, k;
};

enum class Layout { kRows, kTransposed, kSpread };  // how A lies

MatrixView View(const Vector& a, Layout layout, const Shape& s) {
  if (layout == Layout::kRows) return {a.data(), s.k, 1};
  if (layout == Layout::kTransposed) return {a.data(), 1, s.m};
  return {a.data(), 3 * s.k + 5, 3};
}

Vector RandomA(Layout layout, const Shape& s, uint32_t seed) {
  return Noise(layout == Layout::kSpread ? s.m * (3 * s.k + 5) : s.m * s.k, seed);
}

Vector Packed(const Vector& w, const Shape& s) {
  ThreadPool pool(1);
  Vector packed(PackedSize(s.n, s.k), NAN);
  Pack(pool, {w.data(), s.k, 1}, s.n, s.k, packed.data());
  return packed;
}

Vector Product(int threads, MatrixView a, const Shape& s, const Vector& packed, Vector c, int64_t ldc,
               Accumulate accumulate) {
  ThreadPool pool(threads);
  Gemm(pool, a, s.m, s.k, packed.data(), s.n, {c.data(), ldc, kPanel}, accumulate);
  return c;
}

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes = {{1, 1, 1},     {1, 23, 96},   {12, 32, 8},   {13, 33, 7},     {25, 64, 513},
                               {121, 40, 31}, {3, 300, 600}, {241, 31, 17}, {130, 97, 1030}, {2, 70, 0}};
  std::mt19937 random(11);
  for (int i = 0; i < 40; ++i) {
    shapes.push_back({1 + static_cast<int64_t>(random() % 70), 1 + static_cast<int64_t>(random() % 130),
                      1 + static_cast<int64_t>(random() % 90)});
  }
  return shapes;
}

// The upper halves of floats that have nothing below them: those floats as bfloat16.
std::vector<uint16_t> Halves(const Vector& x) {
  std::vector<uint16_t> halves(x.size());
  for (size_t i = 0; i < x.size(); ++i) halves[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(x[i]) >> 16);
  return halves;
}

// Weights that bfloat16 holds exactly give the same bits stored either way.
TEST(Gemm, Bfloat16StorageChangesNothing) {
  uint32_t seed = 100;
  for (const Shape& s : Shapes()) {
    Vector w = Noise(s.n * s.k, ++seed);
    for (float& value : w) value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xFFFF0000u);
    const Vector a = Noise(s.m * s.k, ++seed), packed = Packed(w, s);
    const std::vector<uint16_t> halves = Halves(packed);
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      for (const int threads : {1, 2}) {
        ThreadPool pool(threads);
        Vector c(s.m * s.n, NAN);
        Gemm(pool, {a.data(), s.k, 1}, s.m, s.k, {halves.data(), WeightType::kBfloat16}, s.n, {c.data(), s.n, kPanel},
             Accumulate::kNo);
        const Vector wanted = Product(1, {a.data(), s.k, 1}, s, packed, Vector(s.m * s.n, NAN), s.n, Accumulate::kNo);
        EXPECT_TRUE(SameBytes(c, wanted)) << set.name << " " << s.m << " x " << s.n << " x " << s.k;
      }
    }
  }
}

// Every layout of A, starting from 0 or from old values, on every instruction set: the bits of the scalar chain. Floats beside the
// product, here 5 at the end of each row, stay as they were.
TEST(Gemm, IsOneChainPerElement) {
  uint32_t seed = 1;
  for (const Shape& s : Shapes()) {
    const Layout layout = static_cast<Layout>(seed % 3);
    const Accumulate accumulate = seed % 2 == 0 ? Accumulate::kYes : Accumulate::kNo;
    const Vector w = Noise(s.n * s.k, ++seed), a = RandomA(layout, s, ++seed), packed = Packed(w, s);
    const int64_t ldc = s.n + 5;
    const Vector old = Noise(s.m * ldc, ++seed);
    const MatrixView view = View(a, layout, s);
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      Vector expected = old;
      for (int64_t i = 0; i < s.m * s.n; ++i) {
        const int64_t m = i / s.n, n = i % s.n;
        const float start = accumulate == Accumulate::kYes ? old[m * ldc + n] : 0;
        expected[m * ldc + n] =
            Chain(view.data + m * view.row_stride, view.column_stride, w.data() + n * s.k, s.k, start, set.fused);
      }
      EXPECT_TRUE(SameBytes(Product(1, view, s, packed, old, ldc, accumulate), expected))
          << set.name << ": " << s.m << " x " << s.n << " x " << s.k;
    }
  }
}

TEST(Gemm, ThreadsChangeNothing) {
  for (const Shape& s : {Shape{1, 5000, 100}, Shape{7, 900, 333}, Shape{500, 70, 129}, Shape{96, 96, 5000}}) {
    for (const Layout layout : {Layout::kRows, Layout::kTransposed}) {
      const Vector w = Noise(s.n * s.k, 3), a = RandomA(layout, s, 4), packed = Packed(w, s), zeros(s.m * s.n);
      const Vector one = Product(1, View(a, layout, s), s, packed, zeros, s.n, Accumulate::kNo);
      for (const int threads : {2, 3}) {
        EXPECT_TRUE(SameBytes(Product(threads, View(a, layout, s), s, packed, zeros, s.n, Accumulate::kNo), one));
      }
    }
  }
}

TEST(Gemm, RowAloneIsTheRowAmongOthers) {
  const Vector row = Noise(200, 5);
  const Shape alone{1, 75, 200};
  const Vector packed = Packed(Noise(alone.n * alone.k, 6), alone), zeros(alone.n);
  const Vector expected = Product(1, {row.data(), alone.k, 1}, alone, packed, zeros, alone.n, Accumulate::kNo);
  for (int64_t rows = 2; rows <= 257; rows += rows < 30 ? 1 : 37) {
    const Shape s{rows, alone.n, alone.k};
    for (const int64_t place : {int64_t{0}, rows / 3, rows - 1}) {
      Vector a = Noise(rows * s.k, 7);
      std::copy(row.begin(), row.end(), a.begin() + place * s.k);
      const Vector c = Product(2, {a.data(), s.k, 1}, s, packed, Vector(rows * s.n), s.n, Accumulate::kNo);
      EXPECT_TRUE(SameBytes(Slice(c, place * s.n, (place + 1) * s.n), expected)) << "row " << place << " of " << rows;
    }
  }
}

// dW [N, K] = dy^T x, with x [tokens, K] and dy [tokens, N] as they lie in memory, added to a packed gradient.
TEST(Gemm, WeightGradientInPackedLayout) {
  const int64_t tokens = 700, n = 71, k = 45;
  const Vector x = Noise(tokens * k, 8), dy = Noise(tokens * n, 9);
  const Vector old = Noise(n * k, 10);
  Vector gradient = Packed(old, {0, n, k}), panels(PackedSize(n, tokens));
  ThreadPool pool(2);
  Pack(pool, {dy.data(), 1, n}, n, tokens, panels.data());
  Gemm(pool, {x.data(), 1, k}, k, tokens, panels.data(), n, {gradient.data(), kPanel, k * kPanel}, Accumulate::kYes);
  Vector expected(n * k), actual(n * k);
  for (int64_t i = 0; i < n * k; ++i) {
    float sum = old[i];
    for (int64_t t = 0; t < tokens; ++t) sum = std::fma(x[t * k + i % k], dy[t * n + i / k], sum);
    expected[i] = sum;
  }
  Unpack(gradient.data(), n, k, actual.data());
  if (InstructionSets()[0].fused) {
    EXPECT_TRUE(SameBytes(actual, expected));
  }
  EXPECT_TRUE(Close(actual, expected, 1e-5));
  for (int64_t i = 0; i < k; ++i) EXPECT_EQ(gradient[(2 * k + i) * kPanel + 31], 0) << "padding";
}

TEST(Pack, FollowsTheDefinition) {
  uint32_t seed = 20;
  for (const Shape& s : Shapes()) {
    const Vector w = Noise(s.n * s.k, ++seed);
    Vector transposed(s.n * s.k), expected(PackedSize(s.n, s.k)), actual(PackedSize(s.n, s.k), NAN), plain(s.n * s.k);
    for (int64_t i = 0; i < s.n * s.k; ++i) {
      const int64_t n = i / s.k, k = i % s.k;
      transposed[k * s.n + n] = w[i];
      expected[n / kPanel * s.k * kPanel + k * kPanel + n % kPanel] = w[i];
    }
    EXPECT_TRUE(SameBytes(Packed(w, s), expected));
    ThreadPool pool(2);
    Pack(pool, {transposed.data(), 1, s.n}, s.n, s.k, actual.data());
    EXPECT_TRUE(SameBytes(actual, expected));
    Unpack(actual.data(), s.n, s.k, plain.data());
    EXPECT_TRUE(SameBytes(plain, w));
    Vector turned(PackedSize(s.k, s.n), NAN);
    TransposePacked(pool, expected.data(), s.n, s.k, turned.data());
    EXPECT_TRUE(SameBytes(turned, Packed(transposed, {0, s.k, s.n}))) << s.n << " x " << s.k;
    // A bfloat16 matrix stays one: the upper halves of floats.
    std::vector<uint16_t> halves(expected.size()), turned_halves(turned.size(), 0xffff);
    const auto upper = [](float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); };
    std::transform(expected.begin(), expected.end(), halves.begin(), upper);
    TransposePacked(pool, {halves.data(), WeightType::kBfloat16}, s.n, s.k, turned_halves.data());
    for (size_t i = 0; i < turned.size(); ++i) ASSERT_EQ(turned_halves[i], upper(turned[i])) << i;
  }
}

}  // namespace
}  // namespace hone::kernels
