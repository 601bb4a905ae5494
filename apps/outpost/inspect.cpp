// outpost inspect: what is in a model and what running it takes.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "base/text.h"
#include "configuration.h"
#include "graph/graph.h"
#include "graph/text.h"
#include "outpost/outpost.h"
#include "passes/passes.h"
#include "shapes.h"
#include "subcommands.h"

namespace outpost::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model;
  std::vector<std::string> shapes;
  bool json = false, passes = false, graph = false, steps = false;
};

void count_operators(const Graph& graph, std::map<std::string, int>& counts) {
  for (const auto& node : graph.nodes()) {
    ++counts[node->domain.empty() ? node->op : node->domain + "." + node->op];
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& body) { count_operators(*body, counts); });
  }
}

Json values(const std::vector<ValueInfo>& infos) {
  Json list = Json::array();
  for (const ValueInfo& v : infos) list.push_back({{"name", v.name}, {"type", to_string(v.type)}});
  return list;
}

// The graph that a session runs, and what each pass did to the model.
std::pair<std::shared_ptr<Graph>, std::vector<PassReport>> passes(const Model& model) {
  std::shared_ptr<Graph> graph = model.graph()->clone();
  std::vector<PassReport> reports = optimise(*graph, {.off = session_options().passes_off, .estimate = true});
  return {graph, reports};
}

Json report(const Options& o, const Model& model, const Session& session) {
  Json r{{"model", o.model}, {"inputs", values(model.inputs())}, {"outputs", values(model.outputs())}};
  for (const auto& [domain, version] : model.opsets()) r["opsets"][domain.empty() ? "ai.onnx" : domain] = version;
  for (const auto& [key, value] : model.metadata()) r["metadata"][key] = value;
  std::map<std::string, int> counts;
  count_operators(*model.graph(), counts);
  r["operators"] = counts;
  r["parameters"] = model.parameter_count();
  const std::vector<Shape> shapes = plannable_shapes(session, model, o.shapes);
  Json given = Json::object();
  for (size_t i = 0; i < shapes.size(); ++i) given[model.inputs()[i].name] = std::vector<int64_t>(shapes[i].begin(), shapes[i].end());
  const PlanInfo plan = session.plan(shapes);
  r["plan"] = {{"shapes", given}, {"steps", plan.steps.size()}, {"flops", plan.flops}, {"bytes", plan.bytes}, {"arena_bytes", plan.arena_bytes}, {"largest_live_set_bytes", plan.live_bytes},
               {"scratch_bytes", plan.scratch_bytes}, {"weights_bytes", plan.weights_bytes}, {"complete", plan.complete}};
  if (o.steps) {
    r["plan"]["step_list"] = Json::array();
    for (const auto& s : plan.steps) r["plan"]["step_list"].push_back({{"op", s.op}, {"node", s.node}, {"outputs", s.outputs}, {"flops", s.flops}, {"bytes", s.bytes}});
  }
  if (o.passes)
    for (const PassReport& p : passes(model).second)
      r["passes"].push_back({{"name", p.name}, {"changes", p.changes}, {"ms", p.milliseconds}, {"nodes_saved", p.nodes_saved}, {"flops_saved", p.flops_saved}, {"bytes_saved", p.bytes_saved}});
  return r;
}

std::string in_units(double bytes) {
  char line[32];
  if (bytes >= 1e9) std::snprintf(line, sizeof line, "%.2f GB", bytes / 1e9);
  else if (bytes >= 1e6) std::snprintf(line, sizeof line, "%.2f MB", bytes / 1e6);
  else std::snprintf(line, sizeof line, "%.1f kB", bytes / 1e3);
  return line;
}

// "-1.2 M", "" for none.
std::string change(double amount) {
  char line[32];
  const double size = std::abs(amount);
  if (size == 0) return "";
  if (size >= 1e9) std::snprintf(line, sizeof line, "%+.2f G", amount / 1e9);
  else if (size >= 1e6) std::snprintf(line, sizeof line, "%+.2f M", amount / 1e6);
  else std::snprintf(line, sizeof line, "%+.2f k", amount / 1e3);
  return line;
}

void print(const Options& o, const Json& r) {
  auto list = [&](const char* what, const Json& infos) {
    std::printf("%s\n", what);
    for (const auto& v : infos) std::printf("  %-32s %s\n", v["name"].get<std::string>().c_str(), v["type"].get<std::string>().c_str());
  };
  std::printf("%s\n", o.model.c_str());
  list("inputs", r["inputs"]);
  list("outputs", r["outputs"]);
  std::printf("opsets\n ");
  for (const auto& [domain, version] : r["opsets"].items()) std::printf(" %s %d", domain.c_str(), version.get<int>());
  std::printf("\noperators\n");
  for (const auto& [name, count] : r["operators"].items()) std::printf("  %5d  %s\n", count.get<int>(), name.c_str());
  const Json& plan = r["plan"];
  std::printf("parameters       %lld\n", static_cast<long long>(r["parameters"].get<int64_t>()));
  std::printf("plan for ");
  for (const auto& [name, dims] : plan["shapes"].items()) std::printf(" %s=%s", name.c_str(), dims.dump().c_str());
  std::printf("\n  steps          %zu%s\n", plan["steps"].get<size_t>(), plan["complete"].get<bool>() ? "" : " until a shape depends on data");
  std::printf("  flops          %.4g G\n", plan["flops"].get<double>() / 1e9);
  std::printf("  arena          %s (largest live set %s)\n", in_units(plan["arena_bytes"]).c_str(), in_units(plan["largest_live_set_bytes"]).c_str());
  std::printf("  scratch        %s\n  weights        %s\n", in_units(plan["scratch_bytes"]).c_str(), in_units(plan["weights_bytes"]).c_str());
  if (o.passes) {
    std::printf("passes\n");
    std::printf("  %-18s %8s %8s %14s %14s %10s\n", "", "changes", "nodes", "flops", "bytes", "ms");
    for (const auto& p : r["passes"]) {
      if (p["changes"].get<int>() == 0) continue;
      std::printf("  %-18s %8d %8d %14s %14s %10.3f\n", p["name"].get<std::string>().c_str(), p["changes"].get<int>(), -p["nodes_saved"].get<int>(),
                  change(-p["flops_saved"].get<double>()).c_str(), change(-p["bytes_saved"].get<double>()).c_str(), p["ms"].get<double>());
    }
  }
  if (o.steps) {
    std::printf("steps\n");
    for (const auto& s : plan["step_list"]) {
      std::string outputs;
      for (const auto& t : s["outputs"]) outputs += " " + t.get<std::string>();
      std::printf("  %-24s%-40s %10.3f MFLOP  %s\n", s["op"].get<std::string>().c_str(), outputs.c_str(), s["flops"].get<double>() / 1e6, s["node"].get<std::string>().c_str());
    }
  }
}

int inspect(const Options& o) {
  const Model model = Model::load(o.model);
  if (o.graph) {
    std::printf("%s\n", to_text(o.passes ? *passes(model).first : *model.graph()).c_str());
    return 0;
  }
  const Session session(model, session_options());
  const Json r = report(o, model, session);
  if (o.json) std::printf("%s\n", r.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  else print(o, r);
  return 0;
}

}  // namespace

void add_inspect(CLI::App& program, Run& run) {
  auto o = std::make_shared<Options>();
  auto* command = program.add_subcommand("inspect", "Show inputs, outputs, operators, parameters and the memory plan of a model");
  command->footer("Example: outpost inspect yolo.onnx --shape images=1x3x640x640 --passes");
  command->add_option("MODEL", o->model, "an ONNX file")->required();
  command->add_option("--shape", o->shapes, "an input's shape where the model leaves it open: NAME=1x3x224x224");
  command->add_flag("--passes", o->passes, "what each optimisation pass changed: nodes, and an estimate of flops and bytes a run");
  command->add_flag("--steps", o->steps, "every step of the plan");
  command->add_flag("--graph", o->graph, "the graph as text, and nothing else; with --passes as it runs");
  command->add_flag("--json", o->json, "the report as JSON");
  command->callback([o, &run] { run = [o] { return inspect(*o); }; });
}

}  // namespace outpost::cli
