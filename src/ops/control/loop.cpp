// Loop: a body run while a condition holds and a count lasts. https://onnx.ai/onnx/operators/onnx__Loop.html
//
// Inputs (count, condition, states…, captures…); body (iteration, condition, states…, captures…) gives
// (condition, states…, scans…). States pass from iteration to iteration as they are (tensors, sequences, optionals);
// scans are stacked along a new axis 0 in memory that doubles as it fills.
#include <algorithm>

#include "ops/control/merge.h"
#include "ops/control/stack.h"
#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

// Trailing absent inputs are trimmed, so that what stands at 0 or 1 may be a capture.
bool has_count(const Node& node) { return node.arity() > 0 && node.input(0); }
bool has_condition(const Node& node) { return node.arity() > 1 && node.input(1); }
int state_count(const Node& node) { return std::max(0, node.arity() - 2); }

void infer(InferContext& c) {
  if (has_count(c.node())) c.require_dtype(0, {DType::i64, DType::i32});
  if (has_condition(c.node())) c.require_dtype(1, {DType::boolean});
  c.require(has_count(c.node()) || has_condition(c.node()), "has neither a trip count nor a condition: it would never end");
  const Graph& body = *c.attributes().graph("body");
  const int states = state_count(c.node());
  const std::vector<Type> captures = captured_types(c);
  c.require(body.inputs().size() == 2 + captures.size() + static_cast<size_t>(states), "the body takes ", body.inputs().size(), " values; expected ",
            2 + captures.size() + static_cast<size_t>(states));
  const int scans = static_cast<int>(body.outputs.size()) - 1 - states;
  c.require(scans >= 0 && c.outputs() <= states + scans, "the body has ", body.outputs.size(), " outputs for ", states, " states and ", c.outputs(), " outputs");
  std::vector<Type> types;
  for (int i = 0; i < states; ++i) types.push_back(c.has(2 + i) ? c.input(2 + i) : Type());
  const std::vector<Type> outputs = infer_iterations(c, body, types, 1, [&](std::span<const Type> current) {
    std::vector<Type> inputs{Type::tensor(DType::i64, Dims{}), Type::tensor(DType::boolean, Dims{})};
    inputs.insert(inputs.end(), current.begin(), current.end());
    inputs.insert(inputs.end(), captures.begin(), captures.end());
    return inputs;
  });
  for (int i = 0; i < states; ++i) {  // an optional that the body turns into what it holds: that is what comes out
    const Type &held = types[static_cast<size_t>(i)], &made = outputs[static_cast<size_t>(i) + 1];
    const bool unwrapped = held.kind == Type::Kind::optional && held.element && made.kind != Type::Kind::optional && made.kind != Type::Kind::none;
    c.output(i, unwrapped ? *held.element : held);
  }
  for (int i = states; i < c.outputs(); ++i) {
    const Type& row = outputs[static_cast<size_t>(i) + 1];
    if (!row.is_tensor()) continue;
    Dims dims = row.dims;
    dims.insert(dims.begin(), Dim());
    if (row.ranked) c.output(i, row.dtype, std::move(dims));
    else c.output(i, row.dtype);
  }
}

bool truth(RunContext& ctx, const Datum& datum) {
  const Tensor& t = datum.tensor();
  ctx.require(t.dtype() == DType::boolean && t.count() == 1, "the condition is ", Type::of(t), "; expected one bool");
  return t.data<bool>()[0];
}

void run(RunContext& ctx) {
  const int states = state_count(ctx.node());
  const bool counted = has_count(ctx.node()), conditional = has_condition(ctx.node());
  if (counted) ctx.require(ctx.in(0).count() == 1, "the trip count has ", ctx.in(0).count(), " elements; expected one");
  const int64_t trips = counted ? Integers(ctx.in(0))[0] : INT64_MAX;
  bool go_on = !conditional || truth(ctx, ctx.datum(1));
  Tensor iteration = Tensor::scalar(int64_t{0}), condition = Tensor::scalar(go_on);
  std::vector<Datum> inputs{Datum(iteration), Datum(condition)};
  for (int i = 0; i < states; ++i) inputs.push_back(ctx.datum(2 + i));
  append_captures(ctx, inputs);
  std::vector<RowStack> stacks(static_cast<size_t>(std::max(0, ctx.outputs() - states)));
  SubgraphRunner& body = ctx.subgraph("body");
  for (int64_t i = 0; i < trips && go_on; ++i) {
    ctx.check_interrupt();
    *iteration.data<int64_t>() = i;
    *condition.data<bool>() = go_on;
    std::vector<Datum> outputs = body.run(inputs);
    if (conditional) go_on = truth(ctx, outputs[0]);
    for (int s = 0; s < states; ++s) inputs[static_cast<size_t>(2 + s)] = std::move(outputs[static_cast<size_t>(1 + s)]);
    for (size_t k = 0; k < stacks.size(); ++k)
      if (ctx.wants(states + static_cast<int>(k))) stacks[k].push(ctx, outputs[static_cast<size_t>(1 + states) + k].tensor());
  }
  for (int s = 0; s < states && s < ctx.outputs(); ++s)
    if (ctx.wants(s)) ctx.set_datum(s, std::move(inputs[static_cast<size_t>(2 + s)]));
  for (size_t k = 0; k < stacks.size(); ++k)
    if (ctx.wants(states + static_cast<int>(k))) stacks[k].finish(ctx, states + static_cast<int>(k));
}

}  // namespace

OUTPOST_DEFINE_OP(Loop, .name = "Loop", .since = 25, .first = 1, .min_inputs = 0, .max_inputs = -1, .min_outputs = 1, .max_outputs = -1,
                  .doc = "A subgraph run again and again.", .infer = infer, .run = run);

}  // namespace outpost
