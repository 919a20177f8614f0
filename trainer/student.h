// A student for distillation: the policy with fewer layers. Layers spread evenly over the policy's are a far better start
// than fresh ones (DistilBERT, https://arxiv.org/abs/1910.01108).
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/status.h"
#include "engine/model/model.h"

namespace hone {

// Which of `policy_layers` layers becomes layer `layer` of a student with `layers`: the first and the last are among them;
// a single one is the first.
int32_t SourceLayer(int32_t layer, int32_t layers, int32_t policy_layers);

// OK when a policy of `policy_layers` has a student of `layers`: 1 .. policy_layers - 1.
absl::Status CheckStudentLayers(int64_t layers, int32_t policy_layers);

// A float32 model of the policy's family and sizes with fewer layers; embedding, norm, head and the chosen layers, each
// with its own sliding window, are copies.
absl::StatusOr<std::unique_ptr<Model>> NewStudent(const Model& policy, int32_t layers, ThreadPool* pool);

}  // namespace hone
