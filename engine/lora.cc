#include "engine/lora.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/base/text.h"
#include "engine/model/model.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

constexpr char kAllLinear[] = "all-linear";
constexpr size_t kShownBytes = 40;
// Beyond the streams of a model's own weights.
constexpr uint64_t kFirstStream = uint64_t{1} << 32;

bool IsTarget(const Parameter& parameter, const LoraOptions& options) {
  return std::any_of(options.targets.begin(), options.targets.end(), [&](const std::string& target) {
    return absl::EndsWith(parameter.name, absl::StrCat(".", target, ".weight"));
  });
}

Parameter ZeroMatrix(const std::string& name, int64_t out, int64_t in) {
  return {name, {out, in}, WeightLayout::kPacked, at::zeros({kernels::PackedSize(out, in)}, at::kFloat)};
}

}  // namespace

float LoraOptions::scale() const {
  return static_cast<float>(alpha / (rank_stabilized ? std::sqrt(static_cast<double>(rank)) : rank));
}

const std::vector<std::string>& LoraTargets() {
  static const std::vector<std::string> targets = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                   "gate_proj", "up_proj", "down_proj"};
  return targets;
}

// Queries and values: what the paper found best of attention's matrices for a given number of weights (section 7.1), and PEFT's default for
// these families. Rank 16 and alpha 32 are what the paper's code has for DeBERTa; PEFT begins with 8 and 8. A rank of 16 is far above the
// few bits that a verdict tells a policy gradient (https://thinkingmachines.ai/blog/lora, which takes alpha 32 as well, and finds all-linear
// better).
absl::StatusOr<LoraOptions> ReadLora(Spec& spec) {
  LoraOptions options;
  options.rank = static_cast<int32_t>(spec.Int("rank", 16, 1, 4096));
  options.alpha = spec.Double("alpha", 32, 1e-6, 1e6);
  const std::string targets = spec.Text("targets", "q_proj+v_proj");
  options.rank_stabilized = spec.Bool("rank_stabilized", false);
  HONE_RETURN_IF_ERROR(spec.Finish());
  HONE_ASSIGN_OR_RETURN(options.targets, ParseLoraTargets(targets));
  return options;
}

absl::StatusOr<std::vector<std::string>> ParseLoraTargets(const std::string& text) {
  const std::vector<std::string>& all = LoraTargets();
  if (text == kAllLinear) return all;
  const std::vector<std::string> named = absl::StrSplit(text, '+');
  for (const std::string& name : named) {
    if (std::find(all.begin(), all.end(), name) != all.end()) continue;
    return InputError("lora: no target '", Visible(name, kShownBytes), "'; have: ", kAllLinear, ", or some of ",
                      absl::StrJoin(all, "+"), DidYouMean(name, all));
  }
  std::vector<std::string> ordered;
  for (const std::string& name : all) {
    if (std::find(named.begin(), named.end(), name) != named.end()) ordered.push_back(name);
  }
  return ordered;
}

int64_t LoraParameterCount(const ModelConfig& config, const LoraOptions& options) {
  const int64_t query = int64_t{config.heads} * config.head_dim, kv = int64_t{config.kv_heads} * config.head_dim;
  const int64_t hidden = config.hidden_size, wide = config.intermediate_size;
  const int64_t sides[] = {hidden + query, hidden + kv,   hidden + kv,  // in the order of LoraTargets()
                           query + hidden, hidden + wide, hidden + wide, wide + hidden};
  int64_t count = 0;
  for (size_t i = 0; i < LoraTargets().size(); ++i) {
    const auto& targets = options.targets;
    if (std::find(targets.begin(), targets.end(), LoraTargets()[i]) != targets.end()) count += options.rank * sides[i];
  }
  return count * config.layers;
}

void AttachLora(Model& model, const LoraOptions& options, const std::string& base, uint64_t seed) {
  Adapter adapter{options, base, {}, {}};
  for (const Parameter& parameter : model.parameters()) {
    if (!IsTarget(parameter, options)) {
      adapter.places.push_back(-1);
      continue;
    }
    adapter.places.push_back(static_cast<int64_t>(adapter.parameters.size()));
    const std::string prefix =
        absl::StrCat("base_model.model.", parameter.name.substr(0, parameter.name.size() - strlen("weight")));
    const int64_t out = parameter.shape[0], in = parameter.shape[1];
    Parameter a = ZeroMatrix(prefix + "lora_A.weight", options.rank, in);
    RandomSequence random(seed, RandomStream::kWeights, kFirstStream + adapter.parameters.size());
    std::vector<float> plain(options.rank * in);
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    for (float& weight : plain) weight = static_cast<float>(bound * (2 * random.Uniform() - 1));
    AssignPlainWeights(a, plain.data(), a.value);
    adapter.parameters.push_back(std::move(a));
    adapter.parameters.push_back(ZeroMatrix(prefix + "lora_B.weight", out, options.rank));
  }
  model.Attach(std::move(adapter));
}

// B is packed as [out, rank] and W as [out, in]: with W^T = W^T + (scale A)^T B^T the sum comes out in W's own layout.
void MergeLora(Model& model) {
  HONE_CHECK(model.adapter() != nullptr);
  const Adapter adapter = model.Detach();
  const int64_t rank = adapter.options.rank;
  for (size_t i = 0; i < adapter.places.size(); ++i) {
    if (adapter.places[i] < 0) continue;
    const Parameter& a = adapter.parameters[adapter.places[i]];
    const Parameter& b = adapter.parameters[adapter.places[i] + 1];
    Parameter& w = model.parameters()[i];
    const int64_t out = w.shape[0], in = w.shape[1];
    std::vector<float> scaled = PlainWeights(a, a.value);
    for (float& weight : scaled) weight *= adapter.options.scale();
    kernels::Gemm(model.pool(), {scaled.data(), 1, in}, in, rank, b.value.const_data_ptr<float>(), out,
                  {w.value.mutable_data_ptr<float>(), kernels::kPanel, in * kernels::kPanel},
                  kernels::Accumulate::kYes);
  }
}

}  // namespace hone
