#include "recipes/build.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/drafter.h"
#include "engine/lora.h"
#include "engine/tokenizer.h"
#include "recipes/algorithms.h"
#include "rewards/shaper.h"
#include "rewards/verifier.h"
#include "rollout/curriculum.h"
#include "rollout/gate.h"
#include "rollout/reward_model.h"
#include "rollout/task.h"
#include "trainer/advantage.h"
#include "trainer/composer.h"
#include "trainer/loss.h"
#include "trainer/noise_scale.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;

// What stands on a line of the menu. `make` reads the spec's options, and ends with Finish.
template <typename Product>
struct Component {
  const char* name;
  absl::StatusOr<Product> (*make)(Spec& spec);
  const char* description;
};

// A learning rate's shape and options, before the peak and the number of steps are known.
struct ScheduleOptions {
  ScheduleShape shape;
  double final_fraction = 0;
  int64_t warmup_steps = 0;
};

// beta2 0.95 rather than Adam's 0.999, as in GPT-3 (https://arxiv.org/abs/2005.14165) and Llama 2: the second moment then looks back 20
// steps instead of 1000, and an RL stage has a few hundred, over which its gradients change. No weight decay: what RL moves away
// from is the model it began with, and pulling weights to zero does not bring it back there.
absl::StatusOr<AdamWOptions> ReadAdamW(Spec& spec) {
  AdamWOptions options;
  options.beta1 = spec.Double("beta1", 0.9, 0, 0.9999999);
  options.beta2 = spec.Double("beta2", 0.95, 0, 0.9999999);
  options.epsilon = spec.Double("epsilon", 1e-8, 1e-30, 1);
  options.weight_decay = spec.Double("weight_decay", 0, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

absl::StatusOr<ScheduleOptions> ReadSchedule(Spec& spec, ScheduleShape shape) {
  ScheduleOptions options{shape};
  options.warmup_steps = spec.Int("warmup_steps", 0, 0, std::numeric_limits<int32_t>::max());
  // Down to nothing: the last steps then only settle, and the end is no arbitrary point of a noisy path.
  if (shape != ScheduleShape::kConstant) options.final_fraction = spec.Double("final", 0, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}
absl::StatusOr<ScheduleOptions> ReadConstant(Spec& spec) { return ReadSchedule(spec, ScheduleShape::kConstant); }
absl::StatusOr<ScheduleOptions> ReadLinear(Spec& spec) { return ReadSchedule(spec, ScheduleShape::kLinear); }
absl::StatusOr<ScheduleOptions> ReadCosine(Spec& spec) { return ReadSchedule(spec, ScheduleShape::kCosine); }

// A tokenizer cannot be made before there is text. Asked without any it fails, but by then it has read its options.
using TokenizerFactory = absl::StatusOr<std::unique_ptr<Tokenizer>> (*)(Spec&, const std::vector<std::string>&);
template <TokenizerFactory factory>
absl::StatusOr<bool> ReadTokenizerOptions(Spec& spec) {
  const std::vector<std::string> no_lines;
  (void)factory(spec, no_lines);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return true;
}

absl::StatusOr<std::unique_ptr<Shaper>> NewNoShaper(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::unique_ptr<Shaper>();
}

absl::StatusOr<std::unique_ptr<Gate>> NewNoGate(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::unique_ptr<Gate>();
}

absl::StatusOr<std::unique_ptr<Composer>> NewNoComposer(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::unique_ptr<Composer>();
}

absl::StatusOr<std::unique_ptr<Drafter>> NewNoDrafter(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::unique_ptr<Drafter>();
}

// Sizes of a model are fields of the recipe; engine/model/model.h makes it.
absl::StatusOr<bool> ReadNoOptions(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return true;
}

// Tasks and verifiers that hold others.
absl::StatusOr<std::unique_ptr<Task>> NewBatched(Spec& spec) { return NewBatchedTask(spec, BuildTask); }
absl::StatusOr<std::unique_ptr<Verifier>> NewBatch(Spec& spec) { return NewBatchVerifier(spec, BuildVerifier); }
absl::StatusOr<std::unique_ptr<Verifier>> NewSum(Spec& spec) { return NewSumVerifier(spec, BuildVerifier); }
absl::StatusOr<std::unique_ptr<Verifier>> NewByDomain(Spec& spec) { return NewByDomainVerifier(spec, BuildVerifier); }

constexpr Component<std::unique_ptr<Task>> kTasks[] = {
#define TASK(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Verifier>> kVerifiers[] = {
#define VERIFIER(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Drafter>> kDrafters[] = {
#define DRAFTER(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Curriculum>> kCurriculums[] = {
#define CURRICULUM(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Shaper>> kShapers[] = {
#define SHAPER(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Gate>> kGates[] = {
#define GATE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Composer>> kComposers[] = {
#define COMPOSER(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Advantage>> kAdvantages[] = {
#define ADVANTAGE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::unique_ptr<Loss>> kLosses[] = {
#define LOSS(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<PairRule> kPairRules[] = {
#define PAIRS(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<KeepRule> kKeepRules[] = {
#define KEEP_ABOVE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<KlOptions> kKls[] = {
#define KL(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<ReferenceOptions> kReferences[] = {
#define REFERENCE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<ValueModelOptions> kValueModels[] = {
#define VALUE_MODEL(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<PolicyEwmaOptions> kPolicyEwmas[] = {
#define POLICY_EWMA(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<LoraOptions> kLoras[] = {
#define LORA(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<std::optional<double>> kNoiseScales[] = {
#define NOISE_SCALE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<AdamWOptions> kOptimizers[] = {
#define OPTIMIZER(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<ScheduleOptions> kSchedules[] = {
#define SCHEDULE(name, factory, description) {name, factory, description},
#include "recipes/components.def"
};
constexpr Component<bool> kTokenizers[] = {
#define TOKENIZER(name, factory, description) {name, ReadTokenizerOptions<factory>, description},
#include "recipes/components.def"
};
constexpr Component<bool> kModels[] = {
#define MODEL(name, factory, description) {name, ReadNoOptions, description},
#include "recipes/components.def"
};

template <typename Product, size_t count>
absl::StatusOr<Product> Build(const char* slot, const Component<Product> (&menu)[count], absl::string_view text,
                              std::string* resolved) {
  HONE_ASSIGN_OR_RETURN(Spec spec, Spec::Parse(text));
  const auto found = std::find_if(menu, menu + count, [&](const auto& each) { return spec.name() == each.name; });
  if (found == menu + count) {
    std::vector<std::string> names;
    for (const auto& each : menu) names.push_back(each.name);
    std::sort(names.begin(), names.end());
    return InputError("no ", slot, " '", Visible(spec.name(), kShownBytes), "'; have: ", absl::StrJoin(names, ", "),
                      DidYouMean(spec.name(), names));
  }
  HONE_ASSIGN_OR_RETURN(Product product, found->make(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());  // in case the component forgot
  if (resolved != nullptr) *resolved = spec.ToString();
  return product;
}

// A component built from its bare name. One that insists on an option fails, but its options have been read by then.
template <typename Product>
ComponentInfo Describe(const char* slot, const Component<Product>& component) {
  absl::StatusOr<Spec> spec = Spec::Parse(component.name);
  HONE_CHECK(spec.ok());
  (void)component.make(*spec);
  ComponentInfo info{slot, component.name, spec->ToString(), "", ""};
  // "Description, https://a; more, https://b": the addresses apart.
  std::vector<absl::string_view> words, papers;
  for (absl::string_view word : absl::StrSplit(component.description, ' ')) {
    if (!absl::StartsWith(word, "https://")) {
      words.push_back(word);
      continue;
    }
    const bool goes_on = absl::ConsumeSuffix(&word, ";");
    papers.push_back(word);
    if (!words.empty()) absl::ConsumeSuffix(&words.back(), ",");
    if (goes_on && !words.empty()) words.push_back(";");
  }
  info.description = absl::StrReplaceAll(absl::StrJoin(words, " "), {{" ;", ";"}});
  info.paper = absl::StrJoin(papers, ", ");
  return info;
}

// The slots, each with what adds its components to a list.
struct Slot {
  const char* name;
  std::function<void(std::vector<ComponentInfo>&)> list;
};

template <typename Product, size_t count>
Slot MakeSlot(const char* name, const Component<Product> (&menu)[count]) {
  return {name, [name, &menu](std::vector<ComponentInfo>& list) {
            for (const auto& component : menu) list.push_back(Describe(name, component));
          }};
}

std::vector<Slot> AllSlots() {
  return {MakeSlot("task", kTasks),
          MakeSlot("verifier", kVerifiers),
          MakeSlot("model", kModels),
          MakeSlot("lora", kLoras),
          MakeSlot("tokenizer", kTokenizers),
          MakeSlot("drafter", kDrafters),
          MakeSlot("curriculum", kCurriculums),
          MakeSlot("shaper", kShapers),
          MakeSlot("gate", kGates),
          MakeSlot("composer", kComposers),
          MakeSlot("advantage", kAdvantages),
          MakeSlot("value_model", kValueModels),
          MakeSlot("loss", kLosses),
          MakeSlot("pairs", kPairRules),
          MakeSlot("keep_above", kKeepRules),
          MakeSlot("policy_ewma", kPolicyEwmas),
          MakeSlot("kl", kKls),
          MakeSlot("reference", kReferences),
          MakeSlot("optimizer", kOptimizers),
          MakeSlot("schedule", kSchedules),
          MakeSlot("noise_scale", kNoiseScales),
          {"algorithm", ListAlgorithms}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> BuildTask(absl::string_view spec, std::string* resolved) {
  return Build("task", kTasks, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Verifier>> BuildVerifier(absl::string_view spec, std::string* resolved) {
  return Build("verifier", kVerifiers, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Drafter>> BuildDrafter(absl::string_view spec, std::string* resolved) {
  return Build("drafter", kDrafters, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Curriculum>> BuildCurriculum(absl::string_view spec, std::string* resolved) {
  return Build("curriculum", kCurriculums, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Shaper>> BuildShaper(absl::string_view spec, std::string* resolved) {
  return Build("shaper", kShapers, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Gate>> BuildGate(absl::string_view spec, std::string* resolved) {
  return Build("gate", kGates, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Composer>> BuildComposer(absl::string_view spec, std::string* resolved) {
  return Build("composer", kComposers, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Advantage>> BuildAdvantage(absl::string_view spec, std::string* resolved) {
  return Build("advantage", kAdvantages, spec, resolved);
}

absl::StatusOr<std::unique_ptr<Loss>> BuildLoss(absl::string_view spec, std::string* resolved) {
  return Build("loss", kLosses, spec, resolved);
}

absl::StatusOr<PairRule> BuildPairs(absl::string_view spec, std::string* resolved) {
  return Build("pairs", kPairRules, spec, resolved);
}

absl::StatusOr<KeepRule> BuildKeepAbove(absl::string_view spec, std::string* resolved) {
  return Build("keep_above", kKeepRules, spec, resolved);
}

absl::StatusOr<KlOptions> BuildKl(absl::string_view spec, std::string* resolved) {
  return Build("kl", kKls, spec, resolved);
}

absl::StatusOr<ReferenceOptions> BuildReference(absl::string_view spec, std::string* resolved) {
  return Build("reference", kReferences, spec, resolved);
}

absl::StatusOr<ValueModelOptions> BuildValueModel(absl::string_view spec, std::string* resolved) {
  return Build("value_model", kValueModels, spec, resolved);
}

absl::StatusOr<PolicyEwmaOptions> BuildPolicyEwma(absl::string_view spec, std::string* resolved) {
  return Build("policy_ewma", kPolicyEwmas, spec, resolved);
}

absl::StatusOr<LoraOptions> BuildLora(absl::string_view spec, std::string* resolved) {
  return Build("lora", kLoras, spec, resolved);
}

absl::StatusOr<std::optional<double>> BuildNoiseScale(absl::string_view spec, std::string* resolved) {
  return Build("noise_scale", kNoiseScales, spec, resolved);
}

absl::StatusOr<AdamWOptions> BuildOptimizer(absl::string_view spec, std::string* resolved) {
  return Build("optimizer", kOptimizers, spec, resolved);
}

absl::StatusOr<Schedule> BuildSchedule(absl::string_view spec, double peak, int64_t total_steps,
                                       std::string* resolved) {
  HONE_ASSIGN_OR_RETURN(const ScheduleOptions options, Build("schedule", kSchedules, spec, resolved));
  if (options.warmup_steps > total_steps) {
    return InputError("'warmup_steps' is ", options.warmup_steps, ", but the stage has ", total_steps,
                      " optimizer steps");
  }
  return Schedule{options.shape, peak, options.final_fraction, options.warmup_steps, total_steps};
}

absl::Status CheckTokenizer(absl::string_view spec, std::string* resolved) {
  return Build("tokenizer", kTokenizers, spec, resolved).status();
}

absl::Status CheckModelFamily(absl::string_view name) { return Build("model", kModels, name, nullptr).status(); }

std::vector<std::string> ComponentSlots() {
  std::vector<std::string> names;
  for (const Slot& slot : AllSlots()) names.push_back(slot.name);
  return names;
}

absl::StatusOr<std::vector<ComponentInfo>> ListComponents(absl::string_view slot) {
  std::vector<ComponentInfo> list;
  for (const Slot& each : AllSlots()) {
    if (slot.empty() || slot == each.name) each.list(list);
  }
  if (!list.empty()) return list;
  const std::vector<std::string> names = ComponentSlots();
  return InputError("no slot '", Visible(slot, kShownBytes), "'; have: ", absl::StrJoin(names, ", "),
                    DidYouMean(slot, names));
}

}  // namespace hone
