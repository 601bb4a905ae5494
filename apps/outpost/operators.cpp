// outpost operators: what the engine knows, with opset ranges; also writes the table of docs/operators.md.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "ops/op.h"
#include "subcommands.h"

namespace outpost::cli {
namespace {

std::string domain_of(const OpDef& def) { return def.domain.empty() ? "ai.onnx" : std::string(def.domain); }

const char* gradient_of(const OpDef& def) {
  if (def.gradient) return "yes";
  if (!def.no_gradient.empty()) return "none";
  return def.expand ? "expanded" : "not yet";
}

std::vector<const OpDef*> sorted() {
  std::vector<const OpDef*> list(all_ops().begin(), all_ops().end());
  std::sort(list.begin(), list.end(), [](const OpDef* a, const OpDef* b) { return a->domain != b->domain ? a->domain < b->domain : a->name < b->name; });
  return list;
}

int print(bool json, bool markdown) {
  auto report = nlohmann::ordered_json::array();
  if (markdown) std::printf("| domain | operator | opsets | gradient | |\n|---|---|---|---|---|\n");
  for (const OpDef* def : sorted()) {
    const std::string domain = domain_of(*def), name(def->name), doc(def->doc);
    if (json) {
      report.push_back({{"domain", domain}, {"name", name}, {"first_opset", def->first}, {"newest_form", def->since}, {"gradient", gradient_of(*def)}, {"composite", !def->run}, {"doc", doc}});
    } else if (markdown) {
      std::printf("| %s | %s | %d…%d | %s | %s |\n", domain.c_str(), name.c_str(), def->first, def->since, gradient_of(*def), doc.c_str());
    } else {
      std::printf("%-26s %-32s opset %2d..%-2d  %s\n", domain.c_str(), name.c_str(), def->first, def->since, doc.c_str());
    }
  }
  if (json) std::printf("%s\n", report.dump(2).c_str());
  else if (!markdown) std::printf("%zu operators\n", all_ops().size());
  return 0;
}

}  // namespace

void add_operators(CLI::App& program, Run& run) {
  auto json = std::make_shared<bool>(false), markdown = std::make_shared<bool>(false);
  auto* command = program.add_subcommand("operators", "List the operators that models may use");
  command->footer("Example: outpost operators --json");
  command->add_flag("--json", *json, "the list as JSON");
  command->add_flag("--markdown", *markdown, "the table of docs/operators.md");
  command->callback([=, &run] { run = [=] { return print(*json, *markdown); }; });
}

}  // namespace outpost::cli
