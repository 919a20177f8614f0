// Model folders: every way to store the weights gives the same model, and a folder whose parts do not belong together has its line.
#include "engine/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/base/file.h"

namespace hone {
namespace {

using testing::HasSubstr;

enum class Embeddings { kTied, kUntied };

// Sizes that fill no panel of a packed matrix.
ModelConfig SmallConfig(Embeddings embeddings) {
  ModelConfig config;
  config.vocab_size = 37;
  config.hidden_size = 20;
  config.intermediate_size = 45;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 10;
  config.max_position_embeddings = 64;
  config.tie_word_embeddings = embeddings == Embeddings::kTied;
  return config;
}

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// A model folder that a test changes before Load.
class FolderTest : public testing::Test {
 protected:
  void Make(Embeddings embeddings) {
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(MakeFolder(folder_).ok());
    const auto model = NewModel(SmallConfig(embeddings), &pool_);
    ASSERT_TRUE(model.ok()) << model.status();
    InitializeWeights(**model, 7);
    config_text_ = ModelConfigText((*model)->config(), StorageType::kFloat32);
    tensors_.clear();
    for (const Parameter& parameter : (*model)->parameters()) {
      tensors_.push_back({parameter.name, parameter.shape, PlainWeights(parameter, parameter.value)});
    }
  }

  NamedTensor& Named(const std::string& name) {
    for (NamedTensor& tensor : tensors_) {
      if (tensor.name == name) return tensor;
    }
    ADD_FAILURE() << name;
    return tensors_.front();
  }

  void Write(const std::string& file, StorageType type, size_t begin, size_t end) {
    std::vector<TensorToWrite> written;
    for (size_t i = begin; i < end; ++i) {
      written.push_back({tensors_[i].name, tensors_[i].shape, [this, i] { return tensors_[i].values; }});
    }
    ASSERT_TRUE(WriteSafetensors(folder_ + "/" + file, written, type).ok());
  }

  absl::StatusOr<std::unique_ptr<Model>> Load(StorageType type = StorageType::kFloat32) {
    EXPECT_TRUE(WriteFile(folder_ + "/config.json", config_text_).ok());
    Write("model.safetensors", type, 0, tensors_.size());
    return LoadModel(folder_, &pool_);
  }

  std::string Refusal() {
    const absl::Status status = Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_LE(status.message().size(), 400u);
    return std::string(status.message());
  }

  void Configure(const std::string& from, const std::string& to) {
    const size_t at = config_text_.find(from);
    ASSERT_NE(at, std::string::npos) << from << " in " << config_text_;
    config_text_.replace(at, from.size(), to);
  }

  ThreadPool pool_{2};
  std::string folder_ = "folder";
  std::string config_text_;
  std::vector<NamedTensor> tensors_;
};

// The nearest number of `bits` significant bits, for numbers that are normal in that type.
float Rounded(float value, int bits) {
  if (value == 0) return value;
  int exponent;
  const double fraction = std::frexp(value, &exponent);  // 0.5 <= |fraction| < 1
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits));
}

TEST_F(FolderTest, EveryTypeIsReadAsItWasRounded) {
  const std::pair<StorageType, int> types[] = {
      {StorageType::kFloat32, 24}, {StorageType::kBfloat16, 8}, {StorageType::kFloat16, 11}};
  for (const Embeddings embeddings : {Embeddings::kTied, Embeddings::kUntied}) {
    for (const auto& [type, bits] : types) {
      Make(embeddings);
      const auto model = Load(type);
      ASSERT_TRUE(model.ok()) << model.status();
      ASSERT_EQ((*model)->parameters().size(), tensors_.size());
      for (const Parameter& parameter : (*model)->parameters()) {
        const std::vector<float> read = PlainWeights(parameter, parameter.value),
                                 &written = Named(parameter.name).values;
        ASSERT_EQ(read.size(), written.size());
        for (size_t i = 0; i < read.size(); ++i) {
          // Below 2^-14 float16 has fewer bits.
          if (type == StorageType::kFloat16 && std::abs(written[i]) < 0x1p-14f) continue;
          ASSERT_EQ(read[i], Rounded(written[i], bits)) << parameter.name << " " << i;
        }
      }
    }
  }
}

TEST_F(FolderTest, MatrixOfManyPieces) {
  // 5000 x 20 floats are more than one thread converts at a time.
  Make(Embeddings::kTied);
  Configure("\"vocab_size\": 37", "\"vocab_size\": 5000");
  NamedTensor& embedding = Named("model.embed_tokens.weight");
  embedding.shape[0] = 5000;
  embedding.values.resize(5000 * 20);
  for (size_t i = 0; i < embedding.values.size(); ++i) embedding.values[i] = static_cast<float>(i);
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(PlainWeights((*model)->parameters()[0], (*model)->parameters()[0].value), embedding.values);
  embedding.values[99'998] = NAN;
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'model.embed_tokens.weight' holds nan at element 99998"));
}

TEST_F(FolderTest, Shards) {
  Make(Embeddings::kUntied);
  ASSERT_TRUE(WriteFile(folder_ + "/config.json", config_text_).ok());
  const size_t middle = tensors_.size() / 2;
  Write("one.safetensors", StorageType::kFloat32, 0, middle);
  Write("two.safetensors", StorageType::kFloat32, middle, tensors_.size());
  std::string map;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    absl::StrAppend(&map, i == 0 ? "" : ",", "\"", tensors_[i].name, "\":\"", i < middle ? "one" : "two",
                    ".safetensors\"");
  }
  ASSERT_TRUE(WriteFile(folder_ + "/model.safetensors.index.json", "{\"weight_map\":{" + map + "}}").ok());
  const auto model = LoadModel(folder_, &pool_);
  ASSERT_TRUE(model.ok()) << model.status();
  for (const Parameter& parameter : (*model)->parameters()) {
    EXPECT_EQ(PlainWeights(parameter, parameter.value), Named(parameter.name).values);
  }
}

TEST_F(FolderTest, HeadBesideTiedEmbeddings) {
  Make(Embeddings::kTied);
  tensors_.push_back({"lm_head.weight", {37, 20}, Named("model.embed_tokens.weight").values});
  EXPECT_TRUE(Load().ok());
  tensors_.back().values[3] += 1;
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'lm_head.weight' differs from 'model.embed_tokens.weight'"));
}

TEST_F(FolderTest, MissingTensors) {
  Make(Embeddings::kUntied);
  tensors_.pop_back();
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'lm_head.weight' is missing, the model wants it"));
}

TEST_F(FolderTest, WrongShapes) {
  Make(Embeddings::kTied);
  NamedTensor& tensor = Named("model.layers.1.mlp.up_proj.weight");
  std::swap(tensor.shape[0], tensor.shape[1]);
  EXPECT_THAT(Refusal(), HasSubstr("'model.layers.1.mlp.up_proj.weight' is [20, 45], the model wants [45, 20]"));
}

TEST_F(FolderTest, TensorsWithoutAPlace) {
  Make(Embeddings::kTied);
  // They follow from config.json.
  tensors_.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {5}, std::vector<float>(5)});
  EXPECT_TRUE(Load().ok());
  tensors_.push_back({"model.layers.0.self_attn.q_proj.bias", {20}, std::vector<float>(20)});
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'model.layers.0.self_attn.q_proj.bias' has no place in this llama model"));
  tensors_.pop_back();
  Configure("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'model.layers.1.input_layernorm.weight' has no place"));
}

TEST_F(FolderTest, WeightsThatAreNoNumbers) {
  for (const float wrong : {NAN, INFINITY}) {
    Make(Embeddings::kTied);
    Named("model.norm.weight").values[19] = wrong;
    EXPECT_THAT(Refusal(), HasSubstr(absl::StrCat("tensor 'model.norm.weight' holds ", wrong, " at element 19")));
  }
}

TEST_F(FolderTest, ConfigurationOfAnotherModel) {
  Make(Embeddings::kTied);
  Configure("\"hidden_size\": 20", "\"hidden_size\": 40");
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'model.embed_tokens.weight' is [37, 20], the model wants [37, 40]"));
  // One that asks for terabytes is refused before any is.
  Make(Embeddings::kTied);
  Configure("\"hidden_size\": 20", "\"hidden_size\": 100000");
  Configure("\"vocab_size\": 37", "\"vocab_size\": 10000000");
  EXPECT_THAT(Refusal(), HasSubstr("they do not belong together"));
}

}  // namespace
}  // namespace hone
