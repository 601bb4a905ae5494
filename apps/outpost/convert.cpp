// outpost convert: a model rewritten: brought to the newest opset, optimised, weights in half precision if asked.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/text.h"
#include "configuration.h"
#include "formats/onnx/onnx.h"
#include "ops/infer.h"
#include "ops/op.h"
#include "outpost/outpost.h"
#include "passes/passes.h"
#include "subcommands.h"
#include "tensor/convert.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model, out, weights = "f32";
};

// f32 constants become f16 or bf16 with a Cast behind them: the model keeps its types and takes half the space.
int halve_weights(Graph& graph, DType to) {
  std::vector<Value*> weights;
  for (const auto& v : graph.values())
    if (v->is_constant() && v->constant().dtype() == DType::f32 && v->constant().count() >= 64) weights.push_back(v.get());
  for (Value* v : weights) {
    Tensor half(to, v->constant().shape());
    convert(DType::f32, v->constant().raw(), to, half.raw(), half.count());
    Node* first = graph.nodes().empty() ? nullptr : graph.nodes().front().get();
    const std::string name = v->name;
    Value* cast = Builder(graph, first).emit("Cast", {graph.add_constant(std::move(half), name + "_" + std::string(outpost::name(to)))}, {{"to", int64_t{1}}});
    graph.replace_uses(v, cast);
  }
  graph.remove_dead();
  return static_cast<int>(weights.size());
}

int convert_model(const Options& o) {
  const Model model = Model::load(o.model);
  std::shared_ptr<Graph> graph = model.graph()->clone();
  PassOptions passes;
  passes.off = session_options().passes_off;
  passes.last = Stage::simplify;  // what other programs read has no operators of ours
  int changes = 0;
  for (const PassReport& p : optimise(*graph, passes)) changes += p.changes;
  int halved = 0;
  if (o.weights != "f32") halved = halve_weights(*graph, dtype_from_name(o.weights == "fp16" ? "f16" : o.weights));
  save_onnx(*graph, o.out);
  std::printf("%s: %zu nodes from %zu, %d changes, %d weights halved; %.2f MB from %.2f MB\n", o.out.c_str(), graph->nodes().size(), model.graph()->nodes().size(), changes, halved,
              static_cast<double>(std::filesystem::file_size(o.out)) / 1e6, static_cast<double>(std::filesystem::file_size(o.model)) / 1e6);
  return 0;
}

}  // namespace

void add_convert(CLI::App& program, Run& run) {
  auto o = std::make_shared<Options>();
  auto* command = program.add_subcommand("convert", "Rewrite a model: newest opset, optimised, weights in half precision");
  command->footer("Example: outpost convert model.onnx --weights fp16 --out small.onnx");
  command->add_option("MODEL", o->model, "an ONNX file")->required();
  command->add_option("--out,-o", o->out, "where to write the result")->required();
  command->add_option("--weights", o->weights, "how f32 weights are stored: f32, fp16 or bf16")->capture_default_str()->check(CLI::IsMember({"f32", "fp16", "f16", "bf16"}));
  command->callback([o, &run] { run = [o] { return convert_model(*o); }; });
}

}  // namespace outpost::cli
