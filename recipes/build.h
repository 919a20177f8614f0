// From names to components. recipes/components.def is the menu, build.cc the only file that names implementations.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/drafter.h"
#include "recipes/recipe.h"
#include "trainer/policy_average.h"
#include "trainer/run_options.h"

namespace hone {

// A component from its spec's text, "grpo(std_normalize=false)". Errors: "no advantage 'gpro'; have: dr_grpo, grpo, rloo; did you mean
// 'grpo'?", the spec's syntax, or what the component says of its options. `resolved`, where given, becomes the spec with all
// options at their values in force; it builds an equal component.
absl::StatusOr<std::unique_ptr<Task>> BuildTask(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Verifier>> BuildVerifier(absl::string_view spec, std::string* resolved = nullptr);
// Null for "none".
absl::StatusOr<std::unique_ptr<Drafter>> BuildDrafter(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Curriculum>> BuildCurriculum(absl::string_view spec, std::string* resolved = nullptr);
// Null for "none", all three.
absl::StatusOr<std::unique_ptr<Shaper>> BuildShaper(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Gate>> BuildGate(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Composer>> BuildComposer(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Advantage>> BuildAdvantage(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::unique_ptr<Loss>> BuildLoss(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<PairRule> BuildPairs(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<KeepRule> BuildKeepAbove(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<KlOptions> BuildKl(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<ReferenceOptions> BuildReference(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<LoraOptions> BuildLora(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<AdamWOptions> BuildOptimizer(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<ValueModelOptions> BuildValueModel(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<PolicyEwmaOptions> BuildPolicyEwma(absl::string_view spec, std::string* resolved = nullptr);
absl::StatusOr<std::optional<double>> BuildNoiseScale(absl::string_view spec, std::string* resolved = nullptr);
// Over `total_steps` optimizer steps, at least 1.
absl::StatusOr<Schedule> BuildSchedule(absl::string_view spec, double peak, int64_t total_steps,
                                       std::string* resolved = nullptr);
// Names and options only: the tokenizer itself is trained later, on the task's text.
absl::Status CheckTokenizer(absl::string_view spec, std::string* resolved = nullptr);
absl::Status CheckModelFamily(absl::string_view name);

// Everything a run needs, checked and built. Errors name the place of the field: "FILE:LINE:COLUMN: ..." or "--set PATH: ...".
// RunOptions::recipe_text is the recipe with every default filled in; read and built again it gives the same text.
absl::StatusOr<RunOptions> BuildRun(const LoadedRecipe& loaded);

struct ComponentInfo {
  std::string slot;
  std::string name;
  std::string spec;                     // name(option=default, ...)
  std::string description;              // without the addresses
  std::string paper;                    // addresses, ", " between them
  std::vector<std::string> lines = {};  // of an algorithm: the fields that it fills, each with its source
};

// The slots in the order of a run: task, verifier, ...
std::vector<std::string> ComponentSlots();

// Components of one slot, or of all for "". An unknown slot is an input error with the nearest.
absl::StatusOr<std::vector<ComponentInfo>> ListComponents(absl::string_view slot);

}  // namespace hone
