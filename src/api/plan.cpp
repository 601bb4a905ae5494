// Session::plan: what the executor would do for given shapes, in numbers.
#include <algorithm>

#include "api/session_data.h"
#include "base/text.h"
#include "runtime/layout.h"

namespace outpost {
namespace {

size_t weights_bytes(const Graph& graph) {
  size_t bytes = 0;
  for (const auto& v : graph.values())
    if (v->is_constant()) bytes += v->stored().bytes();
  for (const auto& n : graph.nodes())
    for_each_subgraph(*n, [&](const std::string&, const std::shared_ptr<Graph>& g) { bytes += weights_bytes(*g); });
  return bytes;
}

PlanInfo::Step describe_step(const StepInfo& info, const Layout& layout, const Symbols& symbols) {
  std::vector<const Type*> types;
  for (int id : info.inputs) types.push_back(id < 0 ? nullptr : &layout.types[id]);
  for (int id : info.outputs) types.push_back(id < 0 ? nullptr : &layout.types[id]);
  const std::span<const Type* const> all(types);
  const Cost cost = cost_of(CostContext{*info.node, all.first(info.inputs.size()), all.subspan(info.inputs.size())});
  PlanInfo::Step step{info.node->op, info.node->domain, info.node->name, {}, cost.flops, cost.bytes};
  for (const Type* t : all.subspan(info.inputs.size())) step.outputs.push_back(t ? to_string(*t, symbols) : std::string());
  return step;
}

}  // namespace

PlanInfo Session::plan(std::span<const Shape> shapes) const {
  const std::vector<ValueInfo>& declared = inputs();
  if (shapes.size() != declared.size())
    fail(ErrorCode::invalid_argument, "a plan needs a shape for each of ", declared.size(), " inputs; ", shapes.size(), " were given");
  const Graph& graph = data_->program->graph();
  std::vector<Type> types;
  for (const Value* v : graph.inputs()) {
    if (types.size() == shapes.size()) break;
    if (std::any_of(graph.states.begin(), graph.states.end(), [&](const StateVariable& s) { return s.read == v; })) continue;
    const Type type = v->type.is_tensor() ? Type::tensor(v->type.dtype, shapes[types.size()]) : v->type;
    if (!compatible(v->type, type))
      fail(ErrorCode::invalid_argument, "input '", v->name, "' cannot have the shape ", shapes[types.size()], "; the model expects ",
           to_string(v->type, *graph.symbols));
    types.push_back(type);
  }
  const auto layout = data_->program->layout(std::move(types));
  PlanInfo plan;
  plan.arena_bytes = layout->arena_bytes;
  plan.live_bytes = layout->live_bytes;
  plan.scratch_bytes = layout->scratch_bytes;
  plan.weights_bytes = weights_bytes(graph);
  plan.complete = layout->deferred.empty();
  for (const LayoutStep& s : layout->steps) {
    plan.steps.push_back(describe_step(data_->program->steps()[s.step], *layout, *graph.symbols));
    plan.flops += plan.steps.back().flops;
    plan.bytes += plan.steps.back().bytes;
  }
  return plan;
}

}  // namespace outpost
