// A student for distillation: the policy with fewer layers. Layers spread evenly over the policy's are a far better start
// than fresh ones (DistilBERT, https://arxiv.org/abs/1910.01108).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"

namespace hone {

// Which of `policy_layers` layers becomes layer `layer` of a student with `layers`: the first and the last are among them;
// a single one is the first.
int32_t SourceLayer(int32_t layer, int32_t layers, int32_t policy_layers);

// OK when a policy of `policy_layers` has a student of `layers`: 1 .. policy_layers - 1.
absl::Status CheckStudentLayers(int64_t layers, int32_t policy_layers);

enum class HeadCopy {
  kLikePolicy,
  kNone,  // for models without logits: head() is then the embedding, and means nothing
};

// A float32 model of the policy's family and sizes with the policy's layers `sources`, in this order, each with its own sliding window;
// embedding, norm, head and the layers are copies.
absl::StatusOr<std::unique_ptr<Model>> CopyLayers(const Model& policy, const std::vector<int32_t>& sources,
                                                  HeadCopy head, ThreadPool* pool);

// A float32 model of the policy's family and sizes with fewer layers; embedding, norm, head and the chosen layers, each
// with its own sliding window, are copies.
absl::StatusOr<std::unique_ptr<Model>> NewStudent(const Model& policy, int32_t layers, ThreadPool* pool);

}  // namespace hone
