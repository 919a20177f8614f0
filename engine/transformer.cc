#include "engine/transformer.h"

#include <ATen/ops/zeros.h>

#include <optional>

#include "engine/base/check.h"
#include "engine/config_reader.h"
#include "engine/rope.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

using kernels::kWholeSequence;

// Indices into Model::parameters().
struct Projection {
  size_t weight;
  std::optional<size_t> bias;
};

struct Layer {
  size_t input_norm, post_norm;
  Projection q, k, v, o, gate, up, down;
  std::optional<size_t> q_norm, k_norm;
};

class Transformer : public Model {
 public:
  Transformer(const ModelConfig& config, const TransformerParts& parts, ThreadPool* pool)
      : Model(config, pool), rope_(config.rope, config.head_dim) {
    embedding_ = AddMatrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size);
    for (int32_t index = 0; index < config.layers; ++index) AddLayer(absl::StrCat("model.layers.", index, "."), parts);
    norm_ = AddVector("model.norm.weight", config.hidden_size);
    head_ =
        config.tie_word_embeddings ? embedding_ : AddMatrix("lm_head.weight", config.vocab_size, config.hidden_size);
  }

  Tensor Forward(const ModelRows& rows, const KvCache& cache) const override {
    const RopeAngles angles = rope_.Angles(pool(), rows.positions);
    Tensor x = ops::Embedding(pool(), Weight(embedding_), config_.hidden_size, rows.tokens);
    for (size_t index = 0; index < layers_.size(); ++index) {
      // Computed again, a layer writes its keys and values to the pages once more: they may be another layer's by then.
      const auto layer = [this, index, &rows, angles, &pages = cache.layer(index)](const Tensor& input) {
        return Through(index, input, rows, angles, pages);
      };
      x = activation_checkpointing_ ? ops::Recompute(x, layer) : layer(x);
    }
    return Norm(x, norm_);
  }

  const Tensor& head() const override { return Weight(head_); }

 private:
  Tensor Through(size_t index, Tensor x, const ModelRows& rows, const RopeAngles& angles,
                 const kernels::KvPages& pages) const {
    const Layer& layer = layers_[index];
    x = ops::Add(pool(), x, Attend(index, Norm(x, layer.input_norm), rows, angles, pages));
    return ops::Add(pool(), x, FeedForward(layer, Norm(x, layer.post_norm)));
  }

  Tensor Attend(size_t index, const Tensor& x, const ModelRows& rows, const RopeAngles& angles,
                const kernels::KvPages& pages) const {
    const Layer& layer = layers_[index];
    const Tensor q = Rotate(Project(x, layer.q), layer.q_norm, angles);
    const Tensor k = Rotate(Project(x, layer.k), layer.k_norm, angles);
    const Tensor v = Project(x, layer.v);
    if (attention_observer_) attention_observer_(static_cast<int64_t>(index), q, k);
    return Project(ops::Attention(pool(), q, k, v, rows.attention, config_.heads, config_.window(index), pages),
                   layer.o);
  }

  Tensor FeedForward(const Layer& layer, const Tensor& x) const {
    return Project(ops::SwiGlu(pool(), Project(x, layer.gate), Project(x, layer.up)), layer.down);
  }

  // x [rows, heads * head_dim].
  Tensor Rotate(const Tensor& x, std::optional<size_t> norm, const RopeAngles& angles) const {
    return ops::Rope(pool(), norm ? Norm(x, *norm) : x, angles.cosine, angles.sine, config_.head_dim);
  }

  Tensor Project(const Tensor& x, const Projection& projection) const {
    const int64_t width = parameters_[projection.weight].shape[0];
    const Tensor& weight = Weight(projection.weight);
    const std::optional<ops::LowRank> added = low_rank(projection.weight);
    Tensor y = added ? ops::AdaptedLinear(pool(), x, weight, width, *added) : ops::Linear(pool(), x, weight, width);
    return projection.bias ? ops::AddBias(pool(), y, Weight(*projection.bias)) : y;
  }

  Tensor Norm(const Tensor& x, size_t weight) const {
    return ops::RmsNorm(pool(), x, Weight(weight), static_cast<float>(config_.rms_norm_eps));
  }

  const Tensor& Weight(size_t index) const { return parameters_[index].value; }

  void AddLayer(const std::string& prefix, const TransformerParts& parts) {
    const int64_t hidden = config_.hidden_size, feed_forward = config_.intermediate_size;
    const int64_t query_width = int64_t{config_.heads} * config_.head_dim;
    const int64_t kv_width = int64_t{config_.kv_heads} * config_.head_dim;
    Layer layer;
    layer.input_norm = AddVector(prefix + "input_layernorm.weight", hidden);
    layer.q = AddProjection(prefix + "self_attn.q_proj", query_width, hidden, parts.qkv);
    layer.k = AddProjection(prefix + "self_attn.k_proj", kv_width, hidden, parts.qkv);
    layer.v = AddProjection(prefix + "self_attn.v_proj", kv_width, hidden, parts.qkv);
    layer.o = AddProjection(prefix + "self_attn.o_proj", hidden, query_width, parts.output);
    if (parts.head_norms) {
      layer.q_norm = AddVector(prefix + "self_attn.q_norm.weight", config_.head_dim);
      layer.k_norm = AddVector(prefix + "self_attn.k_norm.weight", config_.head_dim);
    }
    layer.post_norm = AddVector(prefix + "post_attention_layernorm.weight", hidden);
    layer.gate = AddProjection(prefix + "mlp.gate_proj", feed_forward, hidden, parts.mlp);
    layer.up = AddProjection(prefix + "mlp.up_proj", feed_forward, hidden, parts.mlp);
    layer.down = AddProjection(prefix + "mlp.down_proj", hidden, feed_forward, parts.mlp);
    layers_.push_back(layer);
  }

  Projection AddProjection(const std::string& name, int64_t out, int64_t in, Bias bias) {
    Projection projection{AddMatrix(name + ".weight", out, in), std::nullopt};
    if (bias == Bias::kAdded) projection.bias = AddVector(name + ".bias", out);
    return projection;
  }
  size_t AddMatrix(const std::string& name, int64_t out, int64_t in) {
    const bool halves = config_.weight_type == kernels::WeightType::kBfloat16;
    return Add({name,
                {out, in},
                WeightLayout::kPacked,
                memory_.Zeros(kernels::PackedSize(out, in), halves ? at::kBFloat16 : at::kFloat)});
  }
  size_t AddVector(const std::string& name, int64_t size) {
    return Add({name, {size}, WeightLayout::kPlain, at::zeros({size}, at::kFloat)});
  }
  size_t Add(Parameter parameter) {
    parameter.value.set_requires_grad(parameter.value.scalar_type() == at::kFloat);
    parameters_.push_back(std::move(parameter));
    return parameters_.size() - 1;
  }

  Rope rope_;
  size_t embedding_, norm_, head_;
  std::vector<Layer> layers_;
};

}  // namespace

void ReadLayerWindows(ConfigReader& reader, ModelConfig& config) {
  const bool used = reader.Bool("use_sliding_window", false);
  const int32_t size = reader.Int("sliding_window", 1, kWholeSequence, {.missing = 4096, .null = kWholeSequence});
  const int32_t first = reader.Int("max_window_layers", 0, INT32_MAX, {.missing = 28});
  const std::vector<std::string> types = reader.Texts("layer_types");
  const int32_t window = used ? size : kWholeSequence;
  config.windows.assign(config.layers, kWholeSequence);
  if (types.empty()) {
    for (int32_t layer = first; layer < config.layers; ++layer) config.windows[layer] = window;
    return;
  }
  if (static_cast<int32_t>(types.size()) != config.layers) {
    reader.Fail("layer_types", absl::StrCat(config.layers, " entries, one for each layer"));
    return;
  }
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    const bool slides = types[layer] == "sliding_attention" && window != kWholeSequence;
    if (slides) config.windows[layer] = window;
    if (!slides && types[layer] != "full_attention") {
      reader.Fail("layer_types", "full_attention, or sliding_attention with use_sliding_window and sliding_window");
    }
  }
}

std::unique_ptr<Model> NewTransformer(const ModelConfig& config, const TransformerParts& parts, ThreadPool* pool) {
  HONE_CHECK(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
  HONE_CHECK(config.windows.empty() || static_cast<int32_t>(config.windows.size()) == config.layers);
  return std::make_unique<Transformer>(config, parts, pool);
}

}  // namespace hone
