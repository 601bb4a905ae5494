// The graphs on which ONNX Runtime tests its fusions: each computes with passes what it computes without, and every pass
// finds something to do on some of them.
#include <algorithm>
#include <map>

#include "passes/pass_check.h"
#include "formats/onnx/onnx.h"
#include "test_data.h"

namespace outpost::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> models(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".onnx") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool draws_random(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const auto& n) { return n->def && n->def->random; });
}

// Null where the model is none of ours: an operator that is not ONNX's, or a graph that was broken on purpose.
std::shared_ptr<Graph> load(const fs::path& path) {
  try {
    auto graph = load_onnx(path.string());
    upgrade_graph(*graph);
    return graph;
  } catch (const Error&) {
    return nullptr;
  }
}

double tolerance(const Graph& graph) {
  double worst = 1e-4;
  auto see = [&](const Value* v) { worst = std::max(worst, v && v->type.is_tensor() ? 8 * unit_of(v->type.dtype) : 0); };
  for (const auto& n : graph.nodes())
    for (const Value* v : n->inputs()) see(v);
  return worst;
}

double flops(const Graph& graph) {
  double total = 0;
  for (const auto& n : graph.nodes()) {
    std::vector<const Type*> types;
    for (const auto* list : {&n->inputs(), &n->outputs()})
      for (const Value* v : *list) types.push_back(v ? &v->type : nullptr);
    const std::span<const Type* const> all(types);
    total += cost_of(CostContext{*n, all.first(n->inputs().size()), all.subspan(n->inputs().size())}).flops;
  }
  return total;
}

TEST(FusionGraphs, compute_the_same_and_every_pass_fires) {
  const auto folder = OUTPOST_REQUIRE_TEST_DATA("models/ort-fusion");
  std::map<std::string, int> fired;
  int compared = 0, seen = 0;
  for (const fs::path& path : models(folder)) {
    SCOPED_TRACE(path.filename().string());
    ++seen;
    auto graph = load(path);
    if (!graph) continue;
    auto plain = graph->clone(), made = graph->clone();
    std::vector<PassReport> reports;
    optimise(*plain, {.off = {"all"}});
    try {
      reports = optimise(*made, {.verify = true});
    } catch (const Error& e) {  // shapes that contradict each other are found earlier than by the run
      EXPECT_THROW(run_graph(plain, random_inputs(*plain)), Error) << e.what();
      continue;
    }
    for (const PassReport& r : reports)
      if (r.changes) ++fired[std::string(r.name)];
    if (draws_random(*plain) || flops(*plain) > 2e9) continue;
    std::vector<Datum> a, b;
    const std::vector<Tensor> inputs = random_inputs(*plain);
    try {
      a = run_graph(plain, inputs);
    } catch (const Error&) {
      continue;  // zeros and ones are not what its integers may be
    }
    try {
      b = run_graph(made, inputs);
    } catch (const Error& e) {
      ADD_FAILURE() << e.what() << "\n" << to_text(*made);
      continue;
    }
    ++compared;
    const double limit = tolerance(*graph);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_LE(difference(a[i], b[i]), limit) << "output " << i << " of\n" << to_text(*made);
  }
  EXPECT_GE(compared, seen * 4 / 5) << "graphs that load and run on plain inputs";
  const std::map<std::string, int> least{{"cancel", 8}, {"common", 40}, {"expand", 2}, {"fold", 15}, {"fold-affine", 7}, {"fold-shapes", 18},
                                         {"fuse-conv", 8}, {"fuse-linear", 20}, {"fuse-matmul", 15}, {"identity", 12}, {"pads", 2}, {"unused-outputs", 8}};
  for (const auto& [name, count] : least) EXPECT_GE(fired[name], count) << "graphs that the pass " << name << " changes";
}

}  // namespace
}  // namespace outpost::test
