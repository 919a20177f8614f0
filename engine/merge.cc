#include "engine/merge.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"

namespace hone {
namespace {

constexpr int64_t kPieceFloats = 1 << 16;
constexpr int kLowBits = 16;

constexpr char kRemedy[] = "; only a model and what training made of it can be merged";

// The bits of a float that is not negative order as the floats do.
uint32_t Magnitude(float base, float tuned) { return std::bit_cast<uint32_t>(std::fabs(tuned - base)); }

int64_t Elements(const Parameter& parameter) {
  int64_t count = 1;
  for (const int64_t extent : parameter.shape) count *= extent;
  return count;
}

// The place from the top at which the counts reach `rank`, which becomes the rank within that place.
uint32_t PlaceOf(const std::vector<int64_t>& counts, int64_t& rank) {
  size_t place = counts.size() - 1;
  while (counts[place] < rank) rank -= counts[place--];
  return static_cast<uint32_t>(place);
}

// Both models have the same parameters.
class Merger {
 public:
  Merger(const StoredModel& base, const StoredModel& tuned, const MergeOptions& options)
      : base_(base), tuned_(tuned), options_(options) {
    counts_.weights = base.outline->parameter_count();
  }

  // Finds the bound without keeping a number: a pass counts magnitudes by their upper bits, a second one those that share the bound's
  // upper bits by their lower ones.
  absl::Status FindLeast() {
    std::vector<int64_t> upper(1 << kLowBits), lower(1 << kLowBits);
    HONE_RETURN_IF_ERROR(ForEach([&](uint32_t magnitude) {
      ++upper[magnitude >> kLowBits];
      counts_.changed += magnitude > 0;
    }));
    auto rank = std::max<int64_t>(1, std::llround(options_.keep * static_cast<double>(counts_.weights)));
    const uint32_t top = PlaceOf(upper, rank);
    HONE_RETURN_IF_ERROR(ForEach([&](uint32_t magnitude) {
      if (magnitude >> kLowBits == top) ++lower[magnitude & ((1 << kLowBits) - 1)];
    }));
    least_ = top << kLowBits | PlaceOf(lower, rank);
    counts_.least = std::bit_cast<float>(least_);
    return absl::OkStatus();
  }

  // After FindLeast. Of a parameter that cannot be merged the numbers mean nothing, and status() says why.
  std::vector<float> Merged(const Parameter& parameter) {
    std::vector<float> values(Elements(parameter));
    float* next = values.data();
    status_.Update(ForEachPiece(parameter, [&](const float* base, const float* tuned, int64_t count) {
      for (int64_t i = 0; i < count; ++i) *next++ = MergedWeight(base[i], tuned[i]);
    }));
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
      status_.Update(InputError(tuned_.weights.Where(parameter.name),
                                " is beyond float32 when its update is scaled by ", options_.scale,
                                "; lower the scale"));
    }
    return values;
  }

  const absl::Status& status() const { return status_; }
  const MergeCounts& counts() const { return counts_; }

 private:
  float MergedWeight(float base, float tuned) {
    const uint32_t magnitude = Magnitude(base, tuned);
    if (magnitude < least_) return base;
    counts_.kept += magnitude > 0;
    // base + (tuned - base) can round to a neighbour of tuned.
    if (options_.scale == 1) return tuned;
    return static_cast<float>(base + options_.scale * (static_cast<double>(tuned) - base));
  }

  template <typename Visit>  // visit(base, tuned, count)
  absl::Status ForEachPiece(const Parameter& parameter, const Visit& visit) const {
    std::vector<float> base(kPieceFloats), tuned(kPieceFloats);
    for (int64_t first = 0, count = 0; first < Elements(parameter); first += count) {
      count = std::min(kPieceFloats, Elements(parameter) - first);
      HONE_RETURN_IF_ERROR(base_.weights.Read(parameter.name, first, count, base.data()));
      HONE_RETURN_IF_ERROR(tuned_.weights.Read(parameter.name, first, count, tuned.data()));
      visit(base.data(), tuned.data(), count);
    }
    return absl::OkStatus();
  }

  template <typename Visit>  // visit(magnitude)
  absl::Status ForEach(const Visit& visit) const {
    for (const Parameter& parameter : base_.outline->parameters()) {
      HONE_RETURN_IF_ERROR(ForEachPiece(parameter, [&](const float* base, const float* tuned, int64_t count) {
        for (int64_t i = 0; i < count; ++i) visit(Magnitude(base[i], tuned[i]));
      }));
    }
    return absl::OkStatus();
  }

  const StoredModel &base_, &tuned_;
  const MergeOptions options_;
  uint32_t least_ = 0;
  MergeCounts counts_;
  absl::Status status_;
};

// A weight means the same in both, so that a difference is a change.
absl::Status CheckSameModel(const std::string& base_folder, const ModelConfig& base, const std::string& tuned_folder,
                            const ModelConfig& tuned) {
  if (base.family != tuned.family) {
    return InputError(tuned_folder, " is a ", tuned.family, " model, ", base_folder, " a ", base.family, kRemedy);
  }
  constexpr std::pair<const char*, int32_t ModelConfig::*> kSizes[] = {
      {"vocab_size", &ModelConfig::vocab_size},     {"hidden_size", &ModelConfig::hidden_size},
      {"num_hidden_layers", &ModelConfig::layers},  {"intermediate_size", &ModelConfig::intermediate_size},
      {"num_attention_heads", &ModelConfig::heads}, {"num_key_value_heads", &ModelConfig::kv_heads},
      {"head_dim", &ModelConfig::head_dim}};
  for (const auto& [name, size] : kSizes) {
    if (base.*size == tuned.*size) continue;
    return InputError(tuned_folder, ": ", name, " is ", tuned.*size, ", that of ", base_folder, " is ", base.*size,
                      kRemedy);
  }
  const std::pair<const char*, bool> others[] = {
      {"rope_theta or rope_scaling", base.rope == tuned.rope},
      {"rms_norm_eps", base.rms_norm_eps == tuned.rms_norm_eps},
      {"tie_word_embeddings", base.tie_word_embeddings == tuned.tie_word_embeddings},
      {"attention_bias", base.attention_bias == tuned.attention_bias},
      {"mlp_bias", base.mlp_bias == tuned.mlp_bias},
      {"sliding_window", base.windows == tuned.windows}};
  for (const auto& [name, same] : others) {
    if (!same) return InputError(tuned_folder, ": ", name, " is another than that of ", base_folder, kRemedy);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MergeCounts> MergeModels(const std::string& base, const std::string& tuned, const MergeOptions& options,
                                        const std::string& folder) {
  ThreadPool pool(1);
  HONE_ASSIGN_OR_RETURN(const StoredModel from, OpenModel(base, &pool));
  HONE_ASSIGN_OR_RETURN(const StoredModel to, OpenModel(tuned, &pool));
  HONE_RETURN_IF_ERROR(CheckSameModel(base, from.outline->config(), tuned, to.outline->config()));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> base_tokenizer, LoadTokenizer(base));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(tuned));
  const std::string difference = TokenDifference(*tokenizer, *base_tokenizer, absl::StrCat("that of ", base));
  if (!difference.empty()) return InputError(tuned, ": ", difference, kRemedy);

  Merger merger(from, to, options);
  HONE_RETURN_IF_ERROR(merger.FindLeast());
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : to.outline->parameters()) {
    tensors.push_back({parameter.name, parameter.shape, [&merger, &parameter] { return merger.Merged(parameter); }});
  }
  HONE_RETURN_IF_ERROR(SaveTensors(to.outline->config(), tensors, *tokenizer, folder, options.type));
  HONE_RETURN_IF_ERROR(merger.status());
  return merger.counts();
}

}  // namespace hone
