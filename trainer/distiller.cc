#include "trainer/distiller.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/slice.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

bool IsEmbeddingOrHead(const Parameter& parameter) {
  return parameter.name == "model.embed_tokens.weight" || parameter.name == "lm_head.weight";
}

// Takes no gradient from here on.
std::vector<Parameter*> Freeze(Model& student, DistilledParts parts) {
  std::vector<Parameter*> frozen;
  for (Parameter& parameter : student.parameters()) {
    if (parts != DistilledParts::kLayers || !IsEmbeddingOrHead(parameter)) continue;
    parameter.value.set_requires_grad(false);
    frozen.push_back(&parameter);
  }
  return frozen;
}

// What there is to learn from, and the sum of its tokens' weights.
struct WeightedGroups {
  std::vector<TrainGroup> groups;
  double weight = 0;
};

WeightedGroups DropWeightless(std::span<const TrainGroup> groups) {
  WeightedGroups kept;
  for (const TrainGroup& group : groups) {
    TrainGroup weighted{group.prompt, {}};
    for (const TrainSample& sample : group.samples) {
      HONE_CHECK(sample.weight >= 0 && std::isfinite(sample.weight));
      if (sample.weight == 0) continue;
      weighted.samples.push_back(sample);
      kept.weight += double{sample.weight} * static_cast<double>(sample.tokens->size());
    }
    if (!weighted.samples.empty()) kept.groups.push_back(std::move(weighted));
  }
  return kept;
}

// Of each token of the batch; all batches' sum to 1.
Tensor TokenShares(const PackedBatch& batch, double total) {
  std::vector<float> shares;
  for (const TrainSample* sample : batch.samples)
    shares.insert(shares.end(), sample->tokens->size(), static_cast<float>(sample->weight / total));
  return at::tensor(at::ArrayRef<float>(shares), at::kFloat);
}

KvCache CacheFor(const Model& model, const PackedBatch& batch) {
  const ModelConfig& config = model.config();
  return KvCache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
}

// Final hidden states that predict the targets, [targets, hidden_size].
Tensor TargetStates(const Model& model, const PackedBatch& batch, const KvCache& cache) {
  return ops::SelectRows(model.Forward(batch.rows, cache), batch.target_rows);
}

// logits, teacher_logits [targets, size], shares [targets] -> the batch's part of the loss.
Tensor CrossEntropy(const Tensor& logits, const Tensor& teacher_logits, const Tensor& shares) {
  const Tensor target = at::softmax(teacher_logits, -1);
  return at::neg(at::dot(at::sum(at::mul(target, at::log_softmax(logits, -1)), -1), shares));
}

// In how many rows the largest is at the same place.
int64_t CountEqual(const Tensor& a, const Tensor& b) { return at::sum(at::eq(a, b)).item<int64_t>(); }

// Rows `tokens` of a packed head [vocab, width], packed.
Tensor GatherHead(const Model& model, const std::vector<TokenId>& tokens) {
  const int64_t width = model.config().hidden_size, size = static_cast<int64_t>(tokens.size());
  const Tensor rows = ops::Embedding(model.pool(), model.head(), width, tokens);
  Tensor packed = at::empty({kernels::PackedSize(size, width)}, at::kFloat);
  kernels::Pack(model.pool(), {rows.const_data_ptr<float>(), width, 1}, size, width, packed.mutable_data_ptr<float>());
  return packed;
}

}  // namespace

Distiller::Distiller(Model* student, const Model* teacher, DistillOptions options)
    : student_(student),
      teacher_(teacher),
      options_(std::move(options)),
      frozen_(Freeze(*student, options_.parts)),
      optimizer_(&student->pool(), student->TrainedParameters()) {
  HONE_CHECK(student_->config().weight_type == kernels::WeightType::kFloat32);
  HONE_CHECK(student_->config().vocab_size == teacher_->config().vocab_size);
  HONE_CHECK(options_.head_tokens.empty() || options_.parts == DistilledParts::kLayers);
}

Distiller::~Distiller() {
  for (Parameter* parameter : frozen_) parameter->value.set_requires_grad(true);
}

DistillStats Distiller::Update(std::span<const TrainGroup> groups) {
  const WeightedGroups weighted = DropWeightless(groups);
  DistillStats stats;
  if (weighted.groups.empty()) return stats;
  optimizer_.ClearGradients();
  const Heads heads = GatherHeads();
  int64_t agreed = 0;
  for (const PackedBatch& batch : PackGroups(weighted.groups, options_.microbatch_tokens)) {
    const Tensor teacher_logits = ops::Logits(teacher_->pool(), TeacherStates(batch), heads.teacher, heads.size);
    const KvCache cache = CacheFor(*student_, batch);
    const Tensor states = TargetStates(*student_, batch, cache);
    const Tensor logits = ops::Linear(student_->pool(), states, heads.student, heads.size);
    const Tensor loss = CrossEntropy(logits, teacher_logits, TokenShares(batch, weighted.weight));
    loss.backward();
    stats.loss += loss.item<double>();
    stats.tokens += static_cast<int64_t>(batch.targets.size());
    agreed += CountEqual(at::argmax(logits, -1), at::argmax(teacher_logits, -1));
  }
  stats.agreement = static_cast<double>(agreed) / static_cast<double>(stats.tokens);
  stats.grad_norm = optimizer_.GradientNorm();
  if (std::isfinite(stats.grad_norm)) {
    const bool clip = options_.max_grad_norm > 0 && stats.grad_norm > options_.max_grad_norm;
    optimizer_.Step({.beta2 = options_.beta2}, options_.learning_rate,
                    clip ? options_.max_grad_norm / stats.grad_norm : 1);
  }
  return stats;
}

DistillStats Distiller::Measure(std::span<const TrainGroup> groups) const {
  const at::NoGradGuard no_gradient;
  const WeightedGroups weighted = DropWeightless(groups);
  DistillStats stats;
  if (weighted.groups.empty()) return stats;
  const Heads heads = GatherHeads();
  const std::vector<TokenId>& tokens = options_.head_tokens;
  const Tensor ids = at::tensor(at::ArrayRef<TokenId>(tokens), at::kLong);
  int64_t agreed = 0;
  for (const PackedBatch& batch : PackGroups(weighted.groups, options_.microbatch_tokens)) {
    Tensor teacher_logits = ops::Logits(teacher_->pool(), TargetStates(*teacher_, batch, CacheFor(*teacher_, batch)),
                                        teacher_->head(), teacher_->config().vocab_size);
    const Tensor wanted = at::argmax(teacher_logits, -1);
    if (!tokens.empty()) teacher_logits = at::index_select(teacher_logits, 1, ids);
    const Tensor logits = ops::Logits(student_->pool(), TargetStates(*student_, batch, CacheFor(*student_, batch)),
                                      heads.student, heads.size);
    const Tensor place = at::argmax(logits, -1);
    stats.loss += CrossEntropy(logits, teacher_logits, TokenShares(batch, weighted.weight)).item<double>();
    stats.tokens += static_cast<int64_t>(batch.targets.size());
    agreed += CountEqual(tokens.empty() ? place : at::index_select(ids, 0, place), wanted);
  }
  stats.agreement = static_cast<double>(agreed) / static_cast<double>(stats.tokens);
  return stats;
}

// Anew at every call, because the teacher may have changed.
Distiller::Heads Distiller::GatherHeads() const {
  const std::vector<TokenId>& tokens = options_.head_tokens;
  if (tokens.empty()) return {student_->head(), teacher_->head(), student_->config().vocab_size};
  const at::NoGradGuard no_gradient;
  return {GatherHead(*student_, tokens), GatherHead(*teacher_, tokens), static_cast<int64_t>(tokens.size())};
}

// A state depends on its own sample alone, so that those kept are the bytes that another batch would compute.
Tensor Distiller::TeacherStates(const PackedBatch& batch) {
  const at::NoGradGuard no_gradient;
  std::vector<Tensor> parts;
  for (const TrainSample* sample : batch.samples) {
    const auto kept = kept_.find(sample->tokens);
    if (kept == kept_.end()) break;
    parts.push_back(kept->second);
  }
  if (parts.size() == batch.samples.size()) return at::cat(parts);
  const Tensor states = TargetStates(*teacher_, batch, CacheFor(*teacher_, batch));
  int64_t row = 0;
  for (const TrainSample* sample : batch.samples) {
    const auto rows = static_cast<int64_t>(sample->tokens->size());
    const Tensor own = at::slice(states, 0, row, row + rows);
    row += rows;
    const auto bytes = static_cast<int64_t>(own.nbytes());
    if (kept_bytes_ + bytes > options_.kept_teacher_bytes || kept_.contains(sample->tokens)) continue;
    kept_.emplace(sample->tokens, own.clone());
    kept_bytes_ += bytes;
  }
  return states;
}

}  // namespace hone
