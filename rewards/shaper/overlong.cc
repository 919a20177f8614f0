// Soft overlong punishment, DAPO, https://arxiv.org/abs/2503.14476, eq. 13: the last `buffer` tokens before the limit cost more and more, so that
// being cut off does not come as a surprise.
//
//   y tokens, limit L:   0 up to L - buffer, then factor (L - buffer - y) / buffer, never below -factor
//
// The bound at -factor is TRL's and OpenRLHF's; verl's falls on past L, where no answer of ours gets.
#include <algorithm>

#include "rewards/shaper.h"

namespace hone {
namespace {

class Overlong : public Shaper {
 public:
  Overlong(int64_t max_length, int64_t buffer, double factor)
      : max_length_(max_length), buffer_(buffer), factor_(factor) {}

  void Shape(int32_t max_new_tokens, Group& group) const override {
    const double limit = static_cast<double>(max_length_ > 0 ? max_length_ : max_new_tokens);
    const double buffer = buffer_ > 0 ? std::min(limit, static_cast<double>(buffer_)) : std::max(1.0, limit / 5);
    const auto shape = [&](Sample& sample) {
      const double over = static_cast<double>(sample.tokens.size()) - (limit - buffer);
      if (sample.verdict.score && over > 0) sample.shaping -= std::min(1.0, over / buffer) * factor_;
    };
    for (Sample& sample : group.samples) shape(sample);
    if (group.greedy) shape(*group.greedy);
  }

 private:
  const int64_t max_length_, buffer_;
  const double factor_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Shaper>> NewOverlongShaper(Spec& spec) {
  const int64_t max_length = spec.Int("max_length", 0, 0, 1 << 22);  // 0: max_new_tokens
  // 0: a fifth of the limit, as in the paper (section 4.1: 4096 of 20480).
  const int64_t buffer = spec.Int("buffer", 0, 0, 1 << 22);
  const double factor = spec.Double("factor", 1, 0, 1e9);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (max_length > 0 && buffer > max_length)
    return InputError("overlong: 'buffer' is ", buffer, ", more than 'max_length' ", max_length, "; make it smaller");
  return std::make_unique<Overlong>(max_length, buffer, factor);
}

}  // namespace hone
