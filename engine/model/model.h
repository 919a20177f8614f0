// SLOT: a model family. The forward pass is written once; generation, training and scoring call the same function over the
// same weights, so their log-probabilities are equal bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/tensor.h"
#include "engine/base/types.h"
#include "engine/huge_pages.h"
#include "engine/kv_cache.h"
#include "engine/lora.h"
#include "engine/model_config.h"
#include "engine/ops.h"
#include "kernels/thread_pool.h"

namespace hone {

enum class WeightLayout {
  kPlain,   // a vector
  kPacked,  // a matrix [out, in] in the panels of kernels/gemm.h, read by the product as it is
};

// One weight. `value` is a flat leaf tensor; where it requires a gradient the optimizer changes it in place, and generation reads the
// same memory. A vector is float32, a matrix of ModelConfig::weight_type; gradients are float32.
struct Parameter {
  std::string name;            // as in Hugging Face's checkpoints
  std::vector<int64_t> shape;  // as in Hugging Face's checkpoints
  WeightLayout layout;
  Tensor value;
};

// Conversion between a parameter and plain row-major numbers of its shape. `value` is float32, or bfloat16 in the packed layout.
std::vector<float> PlainWeights(const Parameter& parameter, const Tensor& value);
void AssignPlainWeights(const Parameter& parameter, const float* plain, Tensor& value);
// Rows first .. first + count - 1 of it, `first` a multiple of kernels::kPanel, from their plain numbers. Different rows may be assigned by
// different threads at a time.
void AssignPlainRows(const Parameter& parameter, int64_t first, int64_t count, const float* plain, Tensor& value);

// What low-rank adaptation adds to a model (engine/lora.h).
struct Adapter {
  LoraOptions options;
  std::string base;  // the folder of the model without it
  // Float32, named as in PEFT's files: of each adapted matrix, in the order of Model::parameters(), A [rank, in] and B [out, rank].
  std::vector<Parameter> parameters;
  std::vector<int64_t> places;  // of each of Model::parameters(): the index of its A, or -1
};

// exact, float32 -> stored, flat and of the same size: rounded to bfloat16, kept as such or as float32.
void RoundToBfloat16(ThreadPool& pool, const Tensor& exact, const Tensor& stored);

// The tokens of one pass: row r is tokens[r] at positions[r] of some sequence, described by `attention`.
struct ModelRows {
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions;
  ops::AttentionRows attention;
};

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  int64_t parameter_count() const;
  ThreadPool& pool() const { return *pool_; }

  // With an adapter its parameters learn, and the model's own are frozen. Null without.
  Adapter* adapter() { return adapter_ ? &*adapter_ : nullptr; }
  const Adapter* adapter() const { return adapter_ ? &*adapter_ : nullptr; }
  void Attach(Adapter adapter);
  Adapter Detach();  // the model's own parameters learn again
  // What requires a gradient, of the model or of its adapter.
  std::vector<Parameter*> TrainedParameters();

  // From here on the matrices lie in memory as `type`, and learn as before. To bfloat16 all numbers that learn are rounded, those of vectors
  // too, so that a checkpoint in bfloat16 holds them; `value` becomes another tensor, and the one before keeps its exact numbers.
  void StoreAs(kernels::WeightType type);

  // Whether the backward pass computes each layer's forward pass again instead of keeping what it gave; the same bits.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }

  // Called by Forward before each layer attends, with what it attends by: q [rows, heads * head_dim] and k [rows, kv_heads * head_dim],
  // rotated. Null, the default, calls nothing.
  using AttentionObserver = std::function<void(int64_t layer, const Tensor& q, const Tensor& k)>;
  void set_attention_observer(AttentionObserver observer) { attention_observer_ = std::move(observer); }

  // Final hidden states [rows, hidden_size] of all rows; keys and values go to `cache` at the places that rows.attention
  // names. `rows` and `cache` outlive the backward pass.
  virtual Tensor Forward(const ModelRows& rows, const KvCache& cache) const = 0;
  // The head's weight, packed [vocab_size, hidden_size].
  virtual const Tensor& head() const = 0;

 protected:
  Model(ModelConfig config, ThreadPool* pool) : config_(std::move(config)), pool_(pool) {}

  // What is added to the matrix of this index now.
  std::optional<ops::LowRank> low_rank(size_t index) const;

  ModelConfig config_;
  ThreadPool* pool_;
  std::vector<Parameter> parameters_;
  HugePageArena memory_;  // of matrices
  bool activation_checkpointing_ = false;
  AttentionObserver attention_observer_;

 private:
  friend class WithoutAdapter;

  std::optional<Adapter> adapter_;
  mutable bool adapter_is_on_ = true;  // WithoutAdapter's
};

// While it lives, the model is its base: the reference of a KL divergence, without a second copy of the weights. Nothing is trained
// meanwhile. Does nothing to a model without an adapter.
class WithoutAdapter {
 public:
  explicit WithoutAdapter(const Model* model) : model_(model), was_on_(model->adapter_is_on_) {
    model_->adapter_is_on_ = false;
  }
  ~WithoutAdapter() { model_->adapter_is_on_ = was_on_; }
  WithoutAdapter(const WithoutAdapter&) = delete;
  WithoutAdapter& operator=(const WithoutAdapter&) = delete;

 private:
  const Model* model_;
  bool was_on_;
};

// What transformers takes where config.json lacks a key; 0 stands for what follows from other sizes.
struct ConfigDefaults {
  int32_t positions = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  std::vector<TokenId> begin_tokens = {}, end_tokens = {};
};

class ConfigReader;

// A family: one per file in engine/model/, one line in model.cc.
struct ModelFamily {
  const char* name;          // config.json's model_type
  const char* architecture;  // transformers' class
  ConfigDefaults defaults;
  // Reads the keys that not every family has. The sizes have been read.
  void (*read)(ConfigReader& reader, ModelConfig& config);
  std::unique_ptr<Model> (*make)(const ModelConfig& config, ThreadPool* pool);
};

ModelFamily LlamaFamily();
ModelFamily MistralFamily();
ModelFamily Qwen2Family();
ModelFamily Qwen3Family();

// A model of the family; the weights are zero until InitializeWeights or a checkpoint fills them.
std::unique_ptr<Model> NewLlama(const ModelConfig& config, ThreadPool* pool);
std::unique_ptr<Model> NewMistral(const ModelConfig& config, ThreadPool* pool);
std::unique_ptr<Model> NewQwen2(const ModelConfig& config, ThreadPool* pool);
std::unique_ptr<Model> NewQwen3(const ModelConfig& config, ThreadPool* pool);

// The family of this name, or null; and the line that says which there are.
const ModelFamily* FindModelFamily(const std::string& name);
std::string NoModelFamily(const std::string& name);

// A model of config.family; an unknown family is an input error.
absl::StatusOr<std::unique_ptr<Model>> NewModel(const ModelConfig& config, ThreadPool* pool);

// Normal weights of standard deviation config.initializer_std, those that write to the residual stream divided by
// sqrt(2 * layers) as in GPT-2; norms 1, biases 0. A function of the seed.
void InitializeWeights(Model& model, uint64_t seed);

}  // namespace hone
