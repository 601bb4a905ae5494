// The list of passes and their wrapper.
#include "passes/passes.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "ops/infer.h"

namespace outpost {
namespace {

int run_everywhere(const Pass& pass, Graph& graph) {
  int changes = 0;
  for (const auto& node : graph.nodes())
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { changes += run_everywhere(pass, *g); });
  return changes + pass.run(graph);
}

}  // namespace

const std::vector<Pass>& all_passes() {
  static const std::vector<Pass> list = {
      {"expand", expand_composites, true, "composite operators without an implementation become their definition"},
      {"identity", remove_identities, false, "nodes that return their input unchanged go"},
      {"fold", fold_constants, false, "what depends on constants only is computed once, unless the model would grow"},
      {"unused-outputs", drop_unused_outputs, false, "optional outputs that nobody reads are not made"},
      {"dead", remove_dead, false, "nodes and constants that nobody reads go"},
  };
  return list;
}

std::vector<PassReport> optimise(Graph& graph, const PassOptions& options) {
  std::vector<PassReport> reports;
  for (const std::string& name : options.off)
    if (name != "all" && std::none_of(all_passes().begin(), all_passes().end(), [&](const Pass& p) { return p.name == name; }))
      fail(ErrorCode::invalid_argument, "there is no pass '", name, "'");
  auto is_off = [&](const Pass& pass) {
    return !pass.required && std::any_of(options.off.begin(), options.off.end(), [&](const std::string& n) { return n == "all" || n == pass.name; });
  };
  for (const Pass& pass : all_passes()) reports.push_back({pass.name, 0, 0});
  for (int round = 0; round < 2; ++round) {
    int changes = 0;
    for (size_t i = 0; i < all_passes().size(); ++i) {
      const Pass& pass = all_passes()[i];
      if (is_off(pass)) continue;
      const auto begin = std::chrono::steady_clock::now();
      const int made = run_everywhere(pass, graph);
      reports[i].milliseconds += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
      reports[i].changes += made;
      changes += made;
      if (options.dump) options.dump(pass.name, graph);
    }
    if (changes == 0) break;
    infer_graph(graph);
  }
  return reports;
}

}  // namespace outpost
