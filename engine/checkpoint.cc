#include "engine/checkpoint.h"

#include "engine/base/file.h"

namespace hone {

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& folder, ThreadPool* pool) {
  HONE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(folder));
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(folder + "/model.safetensors"));
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, NewModel(config, pool));
  for (Parameter& parameter : model->parameters()) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> plain, file.Read(parameter.name, parameter.shape));
    AssignPlainWeights(parameter, plain.data(), parameter.value);
  }
  return model;
}

absl::Status SaveModel(const Model& model, const Tokenizer& tokenizer, const std::string& folder, StorageType type) {
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : model.parameters()) {
    tensors.push_back(
        {parameter.name, parameter.shape, [&parameter] { return PlainWeights(parameter, parameter.value); }});
  }
  HONE_RETURN_IF_ERROR(WriteFile(folder + "/config.json", ModelConfigText(model.config(), type)));
  HONE_RETURN_IF_ERROR(WriteFile(folder + "/generation_config.json", GenerationConfigText(model.config())));
  HONE_RETURN_IF_ERROR(WriteSafetensors(folder + "/model.safetensors", tensors, type));
  return tokenizer.Save(folder);
}

}  // namespace hone
