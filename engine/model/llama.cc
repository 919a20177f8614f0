// Llama, https://arxiv.org/abs/2307.09288: pre-norm transformer with RMS norm, rotary positions, grouped-query attention
// (https://arxiv.org/abs/2305.13245) and SwiGLU. Numbers follow Hugging Face's LlamaForCausalLM.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "engine/base/check.h"
#include "engine/model/model.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

// Indices into Model::parameters().
struct Layer {
  size_t input_norm, q, k, v, o, post_norm, gate, up, down;
};

class Llama : public Model {
 public:
  Llama(const ModelConfig& config, ThreadPool* pool) : Model(config, pool) {
    const int64_t hidden = config.hidden_size, feed_forward = config.intermediate_size;
    const int64_t query_width = int64_t{config.heads} * config.head_dim;
    const int64_t kv_width = int64_t{config.kv_heads} * config.head_dim;
    embedding_ = AddMatrix("model.embed_tokens.weight", config.vocab_size, hidden);
    for (int32_t index = 0; index < config.layers; ++index) {
      const std::string prefix = absl::StrCat("model.layers.", index, ".");
      Layer layer;
      layer.input_norm = AddVector(prefix + "input_layernorm.weight", hidden);
      layer.q = AddMatrix(prefix + "self_attn.q_proj.weight", query_width, hidden);
      layer.k = AddMatrix(prefix + "self_attn.k_proj.weight", kv_width, hidden);
      layer.v = AddMatrix(prefix + "self_attn.v_proj.weight", kv_width, hidden);
      layer.o = AddMatrix(prefix + "self_attn.o_proj.weight", hidden, query_width);
      layer.post_norm = AddVector(prefix + "post_attention_layernorm.weight", hidden);
      layer.gate = AddMatrix(prefix + "mlp.gate_proj.weight", feed_forward, hidden);
      layer.up = AddMatrix(prefix + "mlp.up_proj.weight", feed_forward, hidden);
      layer.down = AddMatrix(prefix + "mlp.down_proj.weight", hidden, feed_forward);
      layers_.push_back(layer);
    }
    norm_ = AddVector("model.norm.weight", hidden);
    head_ = config.tie_word_embeddings ? embedding_ : AddMatrix("lm_head.weight", config.vocab_size, hidden);
    FillRotaryTables();
  }

  Tensor Forward(const ModelRows& rows, const KvCache& cache) const override {
    Tensor x = ops::Embedding(pool(), Weight(embedding_), config_.hidden_size, rows.tokens);
    for (size_t index = 0; index < layers_.size(); ++index) {
      const Layer& layer = layers_[index];
      x = ops::Add(pool(), x, AttentionBlock(layer, Norm(x, layer.input_norm), rows, cache.layer(index)));
      x = ops::Add(pool(), x, FeedForward(layer, Norm(x, layer.post_norm)));
    }
    return Norm(x, norm_);
  }

  const Tensor& head() const override { return Weight(head_); }

 private:
  Tensor AttentionBlock(const Layer& layer, const Tensor& x, const ModelRows& rows,
                        const kernels::KvPages& pages) const {
    const Tensor q = ops::Rope(pool(), Project(x, layer.q), rows.positions, cosine_, sine_, config_.head_dim);
    const Tensor k = ops::Rope(pool(), Project(x, layer.k), rows.positions, cosine_, sine_, config_.head_dim);
    const Tensor v = Project(x, layer.v);
    return Project(ops::Attention(pool(), q, k, v, rows.attention, config_.heads, pages), layer.o);
  }

  Tensor FeedForward(const Layer& layer, const Tensor& x) const {
    return Project(ops::SwiGlu(pool(), Project(x, layer.gate), Project(x, layer.up)), layer.down);
  }

  Tensor Project(const Tensor& x, size_t weight) const {
    return ops::Linear(pool(), x, Weight(weight), parameters_[weight].shape[0]);
  }

  Tensor Norm(const Tensor& x, size_t weight) const {
    return ops::RmsNorm(pool(), x, Weight(weight), static_cast<float>(config_.rms_norm_eps));
  }

  const Tensor& Weight(size_t index) const { return parameters_[index].value; }

  size_t AddMatrix(const std::string& name, int64_t out, int64_t in) {
    return Add({name, {out, in}, WeightLayout::kPacked, at::zeros({kernels::PackedSize(out, in)}, at::kFloat)});
  }
  size_t AddVector(const std::string& name, int64_t size) {
    return Add({name, {size}, WeightLayout::kPlain, at::zeros({size}, at::kFloat)});
  }
  size_t Add(Parameter parameter) {
    parameter.value.set_requires_grad(true);
    parameters_.push_back(std::move(parameter));
    return parameters_.size() - 1;
  }

  // Angles in float32, as transformers computes them.
  void FillRotaryTables() {
    const int64_t half = config_.head_dim / 2, positions = config_.max_position_embeddings;
    cosine_ = at::empty({positions, half}, at::kFloat);
    sine_ = at::empty({positions, half}, at::kFloat);
    float* cosine = cosine_.mutable_data_ptr<float>();
    float* sine = sine_.mutable_data_ptr<float>();
    for (int64_t i = 0; i < half; ++i) {
      const float exponent = static_cast<float>(2 * i) / static_cast<float>(config_.head_dim);
      const float frequency = 1.0f / std::pow(static_cast<float>(config_.rope_theta), exponent);
      for (int64_t position = 0; position < positions; ++position) {
        const float angle = static_cast<float>(position) * frequency;
        cosine[position * half + i] = std::cos(angle);
        sine[position * half + i] = std::sin(angle);
      }
    }
  }

  size_t embedding_, norm_, head_;
  std::vector<Layer> layers_;
  Tensor cosine_, sine_;  // [max_position_embeddings, head_dim / 2]
};

}  // namespace

std::unique_ptr<Model> NewLlama(const ModelConfig& config, ThreadPool* pool) {
  HONE_CHECK(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
  return std::make_unique<Llama>(config, pool);
}

}  // namespace hone
