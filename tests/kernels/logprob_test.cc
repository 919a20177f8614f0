#include "kernels/logprob.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

struct Problem {
  int64_t rows, width, vocab;
  Vector hidden, head, packed;
  std::vector<int32_t> targets;
};

Problem MakeProblem(int64_t rows, int64_t width, int64_t vocab, uint32_t seed) {
  Problem p{rows, width, vocab, Noise(rows * width, seed, -2, 2), Noise(vocab * width, seed + 1), {}, {}};
  ThreadPool pool(1);
  p.packed.resize(PackedSize(vocab, width));
  Pack(pool, {p.head.data(), width, 1}, vocab, width, p.packed.data());
  for (int64_t r = 0; r < rows; ++r) p.targets.push_back(static_cast<int32_t>((r * 7919 + 3) % vocab));
  return p;
}

struct Scores {
  Vector logprob, entropy, log_sum_exp;
};

Scores Score(const Problem& p, int threads) {
  ThreadPool pool(threads);
  Scores s{Vector(p.rows, NAN), Vector(p.rows, NAN), Vector(p.rows, NAN)};
  TokenLogprob(pool, p.hidden.data(), p.packed.data(), p.targets.data(), p.rows, p.width, p.vocab, s.logprob.data(),
               s.entropy.data(), s.log_sum_exp.data());
  return s;
}

std::vector<double> Probabilities(const Problem& p, int64_t row, double* log_sum_exp) {
  std::vector<double> logits(p.vocab);
  double sum = 0;
  for (int64_t v = 0; v < p.vocab; ++v) {
    for (int64_t i = 0; i < p.width; ++i)
      logits[v] += static_cast<double>(p.hidden[row * p.width + i]) * p.head[v * p.width + i];
    sum += std::exp(logits[v]);
  }
  *log_sum_exp = std::log(sum);
  for (double& logit : logits) logit = std::exp(logit - *log_sum_exp);
  return logits;
}

const int64_t kShapes[][3] = {{1, 8, 1}, {3, 96, 23}, {130, 33, 23}, {50, 40, 1024}, {7, 24, 1025}, {100, 17, 3001}};

// Logits reach about 10 and carry errors of some 1e-6; log-probabilities inherit them.
TEST(TokenLogprob, MatchesTheFormulaOnEveryInstructionSet) {
  for (const auto& [rows, width, vocab] : kShapes) {
    const Problem p = MakeProblem(rows, width, vocab, 1);
    std::vector<double> logprob, entropy, log_sum_exp(rows);
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<double> probabilities = Probabilities(p, r, &log_sum_exp[r]);
      logprob.push_back(std::log(probabilities[p.targets[r]]));
      entropy.push_back(0);
      for (const double q : probabilities) entropy[r] -= q * std::log(q);
    }
    Scores first;
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      const Scores s = Score(p, 1), threaded = Score(p, 3);
      EXPECT_TRUE(Close(s.logprob, logprob, 1e-6, 5)) << set.name << " vocabulary " << vocab;
      EXPECT_TRUE(Close(s.log_sum_exp, log_sum_exp, 1e-6, 5)) << set.name;
      EXPECT_TRUE(Close(s.entropy, entropy, 1e-6, 5)) << set.name;
      EXPECT_TRUE(SameBytes(s.logprob, threaded.logprob) && SameBytes(s.entropy, threaded.entropy));
      if (first.logprob.empty()) first = s;
      if (set.fused) {
        EXPECT_TRUE(SameBytes(s.logprob, first.logprob) && SameBytes(s.entropy, first.entropy));
      }
      Vector without_entropy(rows), again(rows);
      ThreadPool pool(1);
      TokenLogprob(pool, p.hidden.data(), p.packed.data(), p.targets.data(), rows, width, vocab, without_entropy.data(),
                   nullptr, again.data());
      EXPECT_TRUE(SameBytes(without_entropy, s.logprob));
    }
  }
}

TEST(TokenLogprob, RowAloneIsTheRowAmongOthers) {
  const Problem p = MakeProblem(257, 31, 1500, 5);
  const Scores all = Score(p, 2);
  for (int64_t rows = 1; rows <= 257; rows += rows < 20 ? 1 : 59) {
    Problem part = p;
    part.rows = rows;
    part.hidden = Slice(p.hidden, (257 - rows) * 31, 257 * 31);
    part.targets.assign(p.targets.end() - rows, p.targets.end());
    EXPECT_TRUE(SameBytes(Score(part, 2).logprob, Slice(all.logprob, 257 - rows, 257))) << rows;
  }
}

// The generator's way: logits from Gemm, one row at a time, then a draw.
TEST(TokenLogprob, SameBitsAsSampling) {
  for (const auto& [rows, width, vocab] : kShapes) {
    Problem p = MakeProblem(rows, width, vocab, 9);
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      ThreadPool pool(2);
      Vector logits(rows * vocab), logprob(rows);
      for (int64_t r = 0; r < rows; ++r) {
        Gemm(pool, {p.hidden.data() + r * width, width, 1}, 1, width, p.packed.data(), vocab,
             {logits.data() + r * vocab, vocab, kPanel}, Accumulate::kNo);
      }
      std::vector<SamplingFilter> filters(rows);
      for (int64_t r = 0; r < rows; ++r)
        filters[r] = {r % 3 == 0 ? 0.7f : 1.0f, r % 4 == 0 ? 0.9f : 1.0f, r % 5 == 0 ? 3 : 0};
      std::vector<double> uniform(rows);
      for (int64_t r = 0; r < rows; ++r) uniform[r] = (static_cast<double>(r) + 0.5) / static_cast<double>(rows);
      SampleTokens(pool, logits.data(), rows, vocab, filters.data(), uniform.data(), p.targets.data(), logprob.data());
      EXPECT_TRUE(SameBytes(Score(p, 1).logprob, logprob)) << set.name;
    }
  }
}

struct Gradients {
  Vector dhidden, dhead;
};

Gradients Backward(const Problem& p, const Scores& s, const HeadGradients& gradients, int threads) {
  ThreadPool pool(threads);
  Gradients g{Vector(p.rows * p.width, NAN), Noise(PackedSize(p.vocab, p.width), 77)};
  TokenLogprobBackward(pool,
                       {p.hidden.data(), p.packed.data(), p.targets.data(), s.log_sum_exp.data(), s.entropy.data()},
                       gradients, p.rows, p.width, p.vocab, g.dhidden.data(), g.dhead.data());
  return g;
}

TEST(TokenLogprobBackward, MatchesTheFormulaOnEveryInstructionSet) {
  for (const auto& [rows, width, vocab] : kShapes) {
    const Problem p = MakeProblem(rows, width, vocab, 13);
    // Every mixture of the three, and rows without any.
    Vector dlogprob = Noise(rows, 14), dentropy = Noise(rows, 16), dlog_sum_exp = Noise(rows, 18);
    for (int64_t r = 1; r < rows; r += 3) dlogprob[r] = 0;
    for (int64_t r = 0; r < rows; ++r) {
      if (r % 2 == 1) dentropy[r] = 0;
      if (r % 4 >= 1) dlog_sum_exp[r] = 0;
    }
    std::vector<double> dhidden(rows * width), dhead(vocab * width);
    Vector start(vocab * width);
    Unpack(Noise(PackedSize(vocab, width), 77).data(), vocab, width, start.data());
    std::copy(start.begin(), start.end(), dhead.begin());
    for (int64_t r = 0; r < rows; ++r) {
      double log_sum_exp;
      const std::vector<double> probabilities = Probabilities(p, r, &log_sum_exp);
      double entropy = 0;
      for (const double p_v : probabilities) entropy -= p_v * std::log(p_v);
      for (int64_t i = 0; i < vocab * width; ++i) {
        const int64_t v = i / width, d = i % width;
        const double p_v = probabilities[v];
        const double dlogit = dlogprob[r] * ((v == p.targets[r] ? 1 : 0) - p_v) + dlog_sum_exp[r] * p_v -
                              dentropy[r] * p_v * (std::log(p_v) + entropy);
        dhidden[r * width + d] += dlogit * p.head[i];
        dhead[i] += dlogit * p.hidden[r * width + d];
      }
    }
    const HeadGradients gradients{dlogprob.data(), dentropy.data(), dlog_sum_exp.data()};
    Gradients first;
    for (const InstructionSet& set : InstructionSets()) {
      const OnInstructionSet on(set);
      const Scores s = Score(p, 1);
      const Gradients g = Backward(p, s, gradients, 1), threaded = Backward(p, s, gradients, 3);
      Vector plain(vocab * width);
      Unpack(g.dhead.data(), vocab, width, plain.data());
      EXPECT_TRUE(Close(g.dhidden, dhidden, 5e-6, 1)) << set.name << " vocabulary " << vocab;
      EXPECT_TRUE(Close(plain, dhead, 5e-6, 1)) << set.name;
      for (int64_t r = 0; r < rows; ++r) {
        if (dlogprob[r] == 0 && dentropy[r] == 0 && dlog_sum_exp[r] == 0) {
          EXPECT_EQ(g.dhidden[r * width], 0);
        }
      }
      EXPECT_TRUE(SameBytes(g.dhidden, threaded.dhidden) && SameBytes(g.dhead, threaded.dhead));
      if (first.dhead.empty()) first = g;
      if (set.fused) {
        EXPECT_TRUE(SameBytes(g.dhidden, first.dhidden) && SameBytes(g.dhead, first.dhead));
      }
    }
  }
}

// A bfloat16 head gives the bits of the same numbers in float32, and a head that does not learn costs nothing but its own gradient.
TEST(TokenLogprobBackward, OfBfloat16AndOfAFrozenHead) {
  for (const auto& [rows, width, vocab] : kShapes) {
    Problem p = MakeProblem(rows, width, vocab, 21);
    std::vector<uint16_t> halves(p.packed.size());
    for (size_t i = 0; i < halves.size(); ++i) {
      halves[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(p.packed[i]) >> 16);
      p.packed[i] = std::bit_cast<float>(uint32_t{halves[i]} << 16);
    }
    const Scores s = Score(p, 1);
    const Vector dlogprob = Noise(rows, 14), dentropy = Noise(rows, 16);
    const HeadGradients gradients{dlogprob.data(), dentropy.data()};
    const Gradients expected = Backward(p, s, gradients, 1);
    ThreadPool pool(2);
    Gradients g{Vector(rows * width, NAN), Noise(PackedSize(vocab, width), 77)};
    const HeadValues values{p.hidden.data(),
                            {halves.data(), WeightType::kBfloat16},
                            p.targets.data(),
                            s.log_sum_exp.data(),
                            s.entropy.data()};
    TokenLogprobBackward(pool, values, gradients, rows, width, vocab, g.dhidden.data(), g.dhead.data());
    EXPECT_TRUE(SameBytes(g.dhidden, expected.dhidden) && SameBytes(g.dhead, expected.dhead)) << vocab;
    std::fill(g.dhidden.begin(), g.dhidden.end(), NAN);
    TokenLogprobBackward(pool, values, gradients, rows, width, vocab, g.dhidden.data(), nullptr);
    EXPECT_TRUE(SameBytes(g.dhidden, expected.dhidden)) << vocab;
  }
}

// More live rows than one block holds (8192 at this vocabulary), and none at all.
TEST(TokenLogprobBackward, ManyRowsAndNone) {
  const Problem p = MakeProblem(9001, 4, 5, 15);
  const Scores s = Score(p, 2);
  const Vector zeros(p.rows), ones(p.rows, 1.0f);
  const Gradients none = Backward(p, s, {zeros.data()}, 2);
  EXPECT_TRUE(SameBytes(none.dhidden, Vector(p.rows * p.width)));
  EXPECT_TRUE(SameBytes(none.dhead, Noise(PackedSize(p.vocab, p.width), 77)));
  const Gradients g = Backward(p, s, {ones.data()}, 2);
  double column = 0, start = 0;  // sum over the vocabulary of dlogits is 0, so dhead's columns keep their sums
  for (int64_t v = 0; v < p.vocab; ++v) column += g.dhead[v], start += none.dhead[v];
  EXPECT_NEAR(column, start, 1e-2);
  EXPECT_GT(std::abs(g.dhead[0] - none.dhead[0]), 1);
  EXPECT_NE(g.dhidden[9000 * 4], 0);
}

}  // namespace
}  // namespace hone::kernels
