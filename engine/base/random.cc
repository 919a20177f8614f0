#include "engine/base/random.h"

#include <cmath>

namespace hone {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53u;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kWeyl0 = 0x9E3779B9u;
constexpr uint32_t kWeyl1 = 0xBB67AE85u;
constexpr int kRounds = 10;

constexpr uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
constexpr uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

// The middle of one of 2^32 equal cells of (0, 1): never 0, never 1.
double ToUnit(uint32_t bits) { return (bits + 0.5) * 0x1p-32; }

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {High(product1) ^ counter[1] ^ key[0], Low(product1), High(product0) ^ counter[3] ^ key[1],
               Low(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

double SamplingUniform(const SamplingKey& key, uint32_t position) {
  // Two calls: the first folds (seed, step) and the stream's name into a key of the second.
  const auto folded = Philox4x32({Low(key.step), High(key.step), static_cast<uint32_t>(RandomStream::kSampling), 0},
                                 {Low(key.seed), High(key.seed)});
  const auto drawn = Philox4x32({Low(key.prompt), High(key.prompt), key.sample, position}, {folded[0], folded[1]});
  return ToUnit(drawn[0]);
}

RandomSequence::RandomSequence(uint64_t seed, RandomStream stream, uint64_t index)
    : key_{Low(seed), High(seed)}, counter_{0, static_cast<uint32_t>(stream), Low(index), High(index)} {}

uint32_t RandomSequence::Next() {
  if (used_ == 4) {
    block_ = Philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

uint32_t RandomSequence::Below(uint32_t bound) {
  // Lemire's method: reject the few numbers that would make the first residues likelier.
  const uint32_t threshold = -bound % bound;
  for (;;) {
    const uint64_t product = uint64_t{Next()} * bound;
    if (Low(product) >= threshold) return High(product);
  }
}

double RandomSequence::Uniform() { return ToUnit(Next()); }

double RandomSequence::Normal() {
  constexpr double kTwoPi = 6.283185307179586;
  const double radius = std::sqrt(-2.0 * std::log(Uniform()));
  return radius * std::cos(kTwoPi * Uniform());
}

}  // namespace hone
