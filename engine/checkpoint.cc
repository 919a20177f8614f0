#include "engine/checkpoint.h"

#include <set>

#include "absl/strings/match.h"
#include "engine/base/file.h"
#include "engine/lora.h"
#include "engine/peft.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

// Conversion goes in pieces of about this size, that a core's cache holds.
constexpr int64_t kPieceFloats = 1 << 16;

// A config.json that lies about sizes must not make NewModel ask for more memory than the weights could fill. Up to this much a message
// about the first wrong tensor is better.
constexpr double kHarmlessFloats = 1 << 28;

constexpr char kScoreWeights[] = "score.weight";

absl::Status CheckTotal(const std::string& folder, const ModelConfig& config, const SafetensorsFile& file) {
  // The stored ones are no more than this, whatever their type.
  const double wanted = static_cast<double>(config.estimated_parameters()), stored = file.data_bytes() / 2.0;
  if (wanted <= std::max(stored * 1.01, kHarmlessFloats)) return absl::OkStatus();
  return InputError(folder, ": config.json describes a model of ", wanted, " weights, the safetensors hold ",
                    file.data_bytes(), " bytes; they do not belong together");
}

// Every tensor that the model wants is there in its shape, and none is left over that would change the arithmetic.
absl::Status CheckTensors(const Model& model, const SafetensorsFile& file) {
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  const bool scores = model.config().head == ModelHead::kScore;
  std::set<std::string> wanted;
  if (scores) {
    HONE_RETURN_IF_ERROR(file.CheckShape(kScoreWeights, {1, model.config().hidden_size}));
    wanted = {kScoreWeights, head};
  }
  for (const Parameter& parameter : model.parameters()) {
    HONE_RETURN_IF_ERROR(file.CheckShape(parameter.name, parameter.shape));
    wanted.insert(parameter.name);
  }
  for (const std::string& name : file.names()) {
    // Old checkpoints keep the rotary frequencies, which follow from config.json.
    if (wanted.count(name) > 0 || absl::EndsWith(name, "rotary_emb.inv_freq")) continue;
    if (name == head && model.config().tie_word_embeddings) {
      // Versions of transformers differ in which of two different ones they use.
      if (file.Equal(head, embedding)) continue;
      return InputError(file.Where(head), " differs from '", embedding,
                        "', but config.json ties the two; set tie_word_embeddings to false or remove one");
    }
    return InputError(file.Where(name), " has no place in this ", model.config().family,
                      " model; without it the results would be others, so config.json or the file is wrong");
  }
  return absl::OkStatus();
}

// Straight from the mapped file into the parameter's layout.
absl::Status LoadParameter(const SafetensorsFile& file, ThreadPool& pool, Parameter& parameter) {
  const int64_t rows = parameter.shape[0], width = parameter.shape.size() == 2 ? parameter.shape[1] : 1;
  const int64_t piece = std::max<int64_t>(1, kPieceFloats / (width * kernels::kPanel)) * kernels::kPanel;
  const int64_t pieces = (rows + piece - 1) / piece;
  std::vector<absl::Status> done(pieces);
  file.Prefetch(parameter.name);
  pool.Run(pieces, [&](int64_t index) {
    const int64_t first = index * piece, count = std::min(piece, rows - first);
    std::vector<float> plain(count * width);
    done[index] = file.Read(parameter.name, first * width, count * width, plain.data());
    if (done[index].ok()) AssignPlainRows(parameter, first, count, plain.data(), parameter.value);
  });
  for (const absl::Status& status : done) HONE_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

// The model of `config`, which the folder's weights fit; of zeros.
absl::StatusOr<std::unique_ptr<Model>> EmptyModel(const std::string& folder, ModelConfig config,
                                                  const SafetensorsFile& file, ThreadPool* pool,
                                                  MatrixStorage storage) {
  const bool halves =
      storage == MatrixStorage::kExact ? file.MatricesAre(StorageType::kBfloat16) : storage == MatrixStorage::kBfloat16;
  if (halves) config.weight_type = kernels::WeightType::kBfloat16;
  HONE_RETURN_IF_ERROR(CheckTotal(folder, config, file));
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, NewModel(config, pool));
  HONE_RETURN_IF_ERROR(CheckTensors(*model, file));
  return model;
}

absl::StatusOr<std::unique_ptr<Model>> FillModel(const std::string& folder, ModelConfig config,
                                                 const SafetensorsFile& file, ThreadPool* pool, MatrixStorage storage) {
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, EmptyModel(folder, std::move(config), file, pool, storage));
  for (Parameter& parameter : model->parameters()) HONE_RETURN_IF_ERROR(LoadParameter(file, *pool, parameter));
  return model;
}

absl::StatusOr<std::unique_ptr<Model>> LoadAdapted(const std::string& folder, ThreadPool* pool, MatrixStorage storage) {
  HONE_ASSIGN_OR_RETURN(const PeftConfig config, ReadPeftConfig(folder));
  if (IsAdapterFolder(config.base))
    return InputError(folder, ": its base ", config.base, " is an adapter itself; export that one to a model first");
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, LoadModel(config.base, pool, storage));
  AttachLora(*model, config.lora, config.base, /*seed=*/0);
  HONE_RETURN_IF_ERROR(FillAdapter(folder, *model));
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& folder, ThreadPool* pool, MatrixStorage storage) {
  if (IsAdapterFolder(folder)) return LoadAdapted(folder, pool, storage);
  HONE_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder));
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::OpenFolder(folder));
  return FillModel(folder, std::move(config), file, pool, storage);
}

absl::StatusOr<ScoreModel> LoadScoreModel(const std::string& folder, ThreadPool* pool, MatrixStorage storage) {
  HONE_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder, ModelHead::kScore));
  const int64_t hidden = config.hidden_size;
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::OpenFolder(folder));
  ScoreModel model;
  HONE_ASSIGN_OR_RETURN(model.body, FillModel(folder, std::move(config), file, pool, storage));
  HONE_ASSIGN_OR_RETURN(model.score_weights, file.Read(kScoreWeights, {1, hidden}));
  return model;
}

absl::StatusOr<StoredModel> OpenModel(const std::string& folder, ThreadPool* pool) {
  if (IsAdapterFolder(folder)) {
    return InputError(folder, " holds a LoRA adapter, not a model; 'hone export --run RUN --output DIR' merges it");
  }
  StoredModel model;
  HONE_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder));
  HONE_ASSIGN_OR_RETURN(model.weights, SafetensorsFile::OpenFolder(folder));
  HONE_ASSIGN_OR_RETURN(model.outline,
                        EmptyModel(folder, std::move(config), model.weights, pool, MatrixStorage::kFloat32));
  return model;
}

StorageType ExactType(const Model& model) {
  return model.config().weight_type == kernels::WeightType::kBfloat16 ? StorageType::kBfloat16 : StorageType::kFloat32;
}

absl::Status SaveModel(const Model& model, const Tokenizer& tokenizer, const std::string& folder, StorageType type) {
  if (model.adapter() != nullptr) {
    HONE_RETURN_IF_ERROR(SaveAdapter(*model.adapter(), folder));
    return tokenizer.Save(folder);
  }
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : model.parameters()) {
    tensors.push_back(
        {parameter.name, parameter.shape, [&parameter] { return PlainWeights(parameter, parameter.value); }});
  }
  return SaveTensors(model.config(), tensors, tokenizer, folder, type);
}

absl::Status SaveTensors(const ModelConfig& config, const std::vector<TensorToWrite>& tensors,
                         const Tokenizer& tokenizer, const std::string& folder, StorageType type) {
  HONE_RETURN_IF_ERROR(WriteFile(folder + "/config.json", ModelConfigText(config, type)));
  HONE_RETURN_IF_ERROR(WriteFile(folder + "/generation_config.json", GenerationConfigText(config)));
  HONE_RETURN_IF_ERROR(WriteSafetensors(folder + "/model.safetensors", tensors, type));
  return tokenizer.Save(folder);
}

}  // namespace hone
