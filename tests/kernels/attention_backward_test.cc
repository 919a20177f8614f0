#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/attention.h"
#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

struct Heads {
  int64_t heads, kv_heads, head_dim;
  int64_t q() const { return heads * head_dim; }
  int64_t kv() const { return kv_heads * head_dim; }
};

struct Problem {
  Heads h;
  std::vector<AttentionSegment> segments;
  int64_t rows;
  Vector q, k, v, dout;
  int32_t window;
};

Problem MakeProblem(const Heads& h, std::vector<AttentionSegment> segments, uint32_t seed,
                    int32_t window = kWholeSequence) {
  int64_t rows = 0;
  for (const AttentionSegment& segment : segments) rows = std::max<int64_t>(rows, segment.first_row + segment.rows);
  return {h,
          std::move(segments),
          rows,
          Noise(rows * h.q(), seed, -2, 2),
          Noise(rows * h.kv(), seed + 1, -2, 2),
          Noise(rows * h.kv(), seed + 2),
          Noise(rows * h.q(), seed + 3),
          window};
}

// Rows that a row of a segment sees, in order.
std::vector<int64_t> Chain(const Problem& p, int64_t segment, int64_t rows) {
  std::vector<int64_t> chain;
  const AttentionSegment& s = p.segments[segment];
  if (s.parent >= 0) chain = Chain(p, s.parent, p.segments[s.parent].rows);
  for (int64_t i = 0; i < rows; ++i) chain.push_back(s.first_row + i);
  return chain;
}

// Forward and backward of every (row, head) in double, one after another.
struct Reference {
  explicit Reference(const Problem& p)
      : out(p.q.size()), log_sum_exp(p.rows * p.h.heads), dq(p.q.size()), dk(p.k.size()), dv(p.k.size()) {
    for (int64_t segment = 0; segment < static_cast<int64_t>(p.segments.size()); ++segment) {
      for (int64_t i = 0; i < p.segments[segment].rows; ++i) {
        std::vector<int64_t> keys = Chain(p, segment, i + 1);
        if (static_cast<int64_t>(keys.size()) > p.window) keys.erase(keys.begin(), keys.end() - p.window);
        for (int64_t head = 0; head < p.h.heads; ++head) Attend(p, p.segments[segment].first_row + i, head, keys);
      }
    }
  }

  void Attend(const Problem& p, int64_t row, int64_t head, const std::vector<int64_t>& keys) {
    const int64_t dim = p.h.head_dim, group = p.h.heads / p.h.kv_heads, qi = row * p.h.q() + head * dim;
    const double scale = 1 / std::sqrt(static_cast<double>(dim));
    std::vector<double> weight(keys.size()), dweight(keys.size());
    double sum = 0, delta = 0;
    for (size_t j = 0; j < keys.size(); ++j) {
      const int64_t ki = keys[j] * p.h.kv() + head / group * dim;
      for (int64_t d = 0; d < dim; ++d) {
        weight[j] += scale * p.q[qi + d] * p.k[ki + d];
        dweight[j] += static_cast<double>(p.dout[qi + d]) * p.v[ki + d];
      }
      sum += weight[j] = std::exp(weight[j]);
    }
    log_sum_exp[row * p.h.heads + head] = static_cast<float>(std::log(sum));
    for (size_t j = 0; j < keys.size(); ++j) delta += (weight[j] /= sum) * dweight[j];
    for (size_t j = 0; j < keys.size(); ++j) {
      const int64_t ki = keys[j] * p.h.kv() + head / group * dim;
      const double dscore = weight[j] * (dweight[j] - delta) * scale;
      for (int64_t d = 0; d < dim; ++d) {
        out[qi + d] += static_cast<float>(weight[j] * p.v[ki + d]);
        dq[qi + d] += dscore * p.k[ki + d];
        dk[ki + d] += dscore * p.q[qi + d];
        dv[ki + d] += weight[j] * p.dout[qi + d];
      }
    }
  }

  Vector out, log_sum_exp;
  std::vector<double> dq, dk, dv;
};

struct Gradients {
  Vector dq, dk, dv;
};

Gradients Backward(const Problem& p, const Vector& out, const Vector& log_sum_exp, int threads) {
  ThreadPool pool(threads);
  Gradients g{Vector(p.q.size(), NAN), Vector(p.k.size(), NAN), Vector(p.k.size(), NAN)};
  AttentionBackward(pool, p.q.data(), p.k.data(), p.v.data(), out.data(), log_sum_exp.data(), p.dout.data(),
                    p.segments.data(), static_cast<int64_t>(p.segments.size()), p.h.heads, p.h.kv_heads, p.h.head_dim,
                    1 / std::sqrt(static_cast<float>(p.h.head_dim)), p.window, g.dq.data(), g.dk.data(), g.dv.data());
  return g;
}

// A prompt with three samples, one of them continued twice; a lone sequence; a long one; a prompt with empty and short ones.
std::vector<AttentionSegment> Forest(int32_t prompt) {
  const int32_t lengths[][2] = {{prompt, -1}, {10, 0},           {3, 0},  {1, 0}, {5, 1}, {7, 1},
                                {21, -1},     {prompt + 83, -1}, {2, -1}, {0, 8}, {40, 8}};
  std::vector<AttentionSegment> segments;
  int32_t row = 0;
  for (const auto& [rows, parent] : lengths) {
    segments.push_back({row, rows, parent});
    row += rows;
  }
  return segments;
}

// The gradients carry the errors of the weights (some 1e-7 of scores up to 5) and of sums over up to 120 queries. Where the
// window is one token, those of queries and keys are 0.
TEST(AttentionBackward, MatchesTheFormulaOnEveryInstructionSet) {
  for (const Heads& h : {Heads{4, 2, 24}, {9, 3, 64}, {2, 2, 6}, {30, 1, 32}, {1, 1, 2}, {3, 1, 130}}) {
    for (const auto& [prompt, window] : {std::pair{12, kWholeSequence},
                                         {16, kWholeSequence},
                                         {45, kWholeSequence},
                                         {45, 1},
                                         {12, 7},
                                         {45, 32},
                                         {45, 50}}) {
      const Problem p = MakeProblem(h, Forest(prompt), 1, window);
      const Reference expected(p);
      Gradients first;
      for (const InstructionSet& set : InstructionSets()) {
        const OnInstructionSet on(set);
        const Gradients g = Backward(p, expected.out, expected.log_sum_exp, 1);
        EXPECT_TRUE(Close(g.dq, expected.dq, 5e-6, 1))
            << set.name << " head_dim " << h.head_dim << " window " << window;
        EXPECT_TRUE(Close(g.dk, expected.dk, 5e-6, 1)) << set.name;
        EXPECT_TRUE(Close(g.dv, expected.dv, 5e-6, 1)) << set.name;
        if (first.dq.empty()) first = g;
        if (set.fused) {
          EXPECT_TRUE(SameBytes(g.dq, first.dq) && SameBytes(g.dk, first.dk) && SameBytes(g.dv, first.dv));
        }
        const Gradients threaded = Backward(p, expected.out, expected.log_sum_exp, 3);
        EXPECT_TRUE(SameBytes(g.dq, threaded.dq) && SameBytes(g.dk, threaded.dk) && SameBytes(g.dv, threaded.dv));
      }
    }
  }
}

// The reference's own gradient, by differences: the sum of dout . out moves by dq . e when q moves by e.
TEST(AttentionBackward, ReferenceAgreesWithDifferences) {
  const Heads h{2, 1, 6};
  const Problem p = MakeProblem(h, {{0, 4, -1}, {4, 3, 0}, {7, 2, 0}}, 30);
  const Reference at(p);
  const auto loss = [&](const Problem& moved) {
    double sum = 0;
    const Reference reference(moved);
    for (size_t i = 0; i < p.dout.size(); ++i) sum += static_cast<double>(p.dout[i]) * reference.out[i];
    return sum;
  };
  const float step = 1e-2f;
  for (int64_t i = 0; i < static_cast<int64_t>(p.k.size()); i += 5) {
    const auto slope = [&](Vector Problem::*member) {
      Problem more = p, less = p;
      (more.*member)[i] += step;
      (less.*member)[i] -= step;
      return (loss(more) - loss(less)) / (2 * step);
    };
    EXPECT_NEAR(slope(&Problem::q), at.dq[i], 1e-4);
    EXPECT_NEAR(slope(&Problem::k), at.dk[i], 1e-4);
    EXPECT_NEAR(slope(&Problem::v), at.dv[i], 1e-4);
  }
}

// A prompt that its samples share, and a copy of the prompt for each with the gradient in the first one only.
TEST(AttentionBackward, SharedPromptIsTheSumOfCopies) {
  const Heads h{6, 2, 32};
  const int32_t prompt = 37, samples = 5, length = 11;
  std::vector<AttentionSegment> shared = {{0, prompt, -1}}, copies;
  for (int32_t i = 0; i < samples; ++i) {
    shared.push_back({prompt + i * length, length, 0});
    copies.push_back({i * (prompt + length), prompt + length, -1});
  }
  const Problem p = MakeProblem(h, shared, 40);
  Problem c = MakeProblem(h, copies, 40);
  std::vector<int64_t> source(c.rows);  // row of p
  for (int64_t row = 0; row < c.rows; ++row) {
    const int64_t i = row / (prompt + length), position = row % (prompt + length);
    source[row] = position < prompt ? position : position + i * length;
    const auto copy = [&](const Vector& from, Vector& to, int64_t width) {
      std::copy_n(from.begin() + source[row] * width, width, to.begin() + row * width);
    };
    copy(p.q, c.q, h.q());
    copy(p.k, c.k, h.kv());
    copy(p.v, c.v, h.kv());
    copy(p.dout, c.dout, h.q());
    if (position < prompt && i > 0) std::fill_n(c.dout.begin() + row * h.q(), h.q(), 0.0f);
  }
  const Reference forward_p(p), forward_c(c);
  const Gradients gp = Backward(p, forward_p.out, forward_p.log_sum_exp, 2);
  const Gradients gc = Backward(c, forward_c.out, forward_c.log_sum_exp, 2);
  const auto folded = [&](const Vector& gradient, int64_t width) {
    std::vector<double> sum(p.rows * width);
    for (int64_t i = 0; i < c.rows * width; ++i) sum[source[i / width] * width + i % width] += gradient[i];
    return sum;
  };
  EXPECT_TRUE(Close(gp.dq, folded(gc.dq, h.q()), 1e-5));
  EXPECT_TRUE(Close(gp.dk, folded(gc.dk, h.kv()), 1e-5));
  EXPECT_TRUE(Close(gp.dv, folded(gc.dv, h.kv()), 1e-5));
}

}  // namespace
}  // namespace hone::kernels
