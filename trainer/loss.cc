#include "trainer/loss.h"

#include <algorithm>

namespace hone {

std::vector<float> LossWeights(Aggregation aggregation, const std::vector<int32_t>& lengths, double norm_length) {
  if (aggregation == Aggregation::kPairMean) {
    const size_t pairs = lengths.size() / 2;
    return std::vector<float>(pairs, 1 / static_cast<float>(pairs));
  }
  double tokens = 0, sequences = 0;
  for (const int32_t length : lengths) {
    tokens += length;
    sequences += length > 0 ? 1 : 0;
  }
  std::vector<float> weights;
  if (aggregation == Aggregation::kSampleMean) {
    for (const int32_t length : lengths) weights.push_back(length > 0 ? 1 / static_cast<float>(sequences) : 0);
    return weights;
  }
  for (const int32_t length : lengths) {
    double weight = 0;
    switch (aggregation) {
      case Aggregation::kTokenMean:
        weight = 1 / tokens;
        break;
      case Aggregation::kSeqMeanTokenMean:
        weight = 1 / (sequences * length);
        break;
      case Aggregation::kSeqMeanTokenSum:
        weight = 1 / sequences;
        break;
      case Aggregation::kSeqMeanTokenSumNorm:
        weight = 1 / (sequences * norm_length);
        break;
      case Aggregation::kSampleMean:
      case Aggregation::kPairMean:
        break;
    }
    weights.insert(weights.end(), static_cast<size_t>(length), static_cast<float>(weight));
  }
  return weights;
}

absl::StatusOr<AggregationOptions> ReadAggregation(Spec& spec, Aggregation fallback) {
  const std::vector<std::string> names = {"token_mean", "seq_mean_token_mean", "seq_mean_token_sum",
                                          "seq_mean_token_sum_norm"};
  const std::string name = spec.Choice("aggregation", names[static_cast<size_t>(fallback)], names);
  AggregationOptions options;
  options.aggregation = static_cast<Aggregation>(std::find(names.begin(), names.end(), name) - names.begin());
  if (options.aggregation != Aggregation::kSeqMeanTokenSumNorm) return options;
  // The systems that have it disagree (padded width, longest answer allowed), so nobody's default is silently taken.
  options.norm_length = spec.Double("norm_length", 0, 0, 1e9);
  if (options.norm_length > 0) return options;
  return InputError(
      spec.name(),
      ": aggregation seq_mean_token_sum_norm needs option 'norm_length', such as the longest answer allowed");
}

}  // namespace hone
