// hone list: every component by slot.
#include <cstdio>

#include "recipes/build.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace hone {

int ListCommand(int argc, char** argv) {
  std::string slot;
  Arguments arguments("list", "Lists the components of a slot, or of all, with their options, defaults and papers.");
  arguments.OptionalPositional("SLOT", "task, verifier, advantage, loss, algorithm, ...; an unknown one names all",
                               &slot);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  const auto components = ListComponents(slot);
  if (!components.ok()) return Report(components.status());
  std::string current;
  for (const ComponentInfo& component : *components) {
    if (component.slot != current) std::printf("%s%s\n", current.empty() ? "" : "\n", component.slot.c_str());
    current = component.slot;
    std::printf("  %s\n      %s\n", component.spec.c_str(), component.description.c_str());
    for (const std::string& line : component.lines) std::printf("      %s\n", line.c_str());
    if (!component.paper.empty()) std::printf("      %s\n", component.paper.c_str());
  }
  return 0;
}

}  // namespace hone
