// Update-selective merging: the largest changes that training made to a model, put on the model it began with. DLER,
// https://arxiv.org/abs/2510.15110, section 4.6: of update = tuned - base the 25 % with the largest magnitudes, times 0.7, are added to base,
// which restores accuracy that training for short answers had cost and keeps most of the shortness.
//
// The paper leaves open what the 25 % are of. It follows TIES-Merging (https://arxiv.org/abs/2306.01708), whose code trims the update of
// all weights as one vector and keeps every weight at the bound (https://github.com/prateeky2806/ties-merging); so does this.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "engine/storage_type.h"

namespace hone {

struct MergeOptions {
  double keep = 0.25;                        // share of the model's weights whose update stays, above 0
  double scale = 0.7;                        // of what stays
  StorageType type = StorageType::kFloat32;  // of the weights written
};

struct MergeCounts {
  int64_t weights = 0;
  int64_t changed = 0;  // where the two models differ
  int64_t kept = 0;     // of those; more than options.keep says where several are at the bound
  float least = 0;      // the bound: the smallest magnitude that is kept
};

// Writes the merged model's folder into an existing one: config.json, tokenizer and templates are those of `tuned`. With keep = scale = 1
// its weights are the tuned model's, bit for bit. Input errors: folders that OpenModel refuses, and two that are no training of one model.
// The files stay mapped; in memory there is one tensor at a time.
absl::StatusOr<MergeCounts> MergeModels(const std::string& base, const std::string& tuned, const MergeOptions& options,
                                        const std::string& folder);

}  // namespace hone
