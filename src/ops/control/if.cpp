// If: one of two bodies, both closed over the same captures. https://onnx.ai/onnx/operators/onnx__If.html
#include "ops/control/merge.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::boolean});
  const std::vector<Type> captures = captured_types(c);
  const Graph &then = *c.attributes().graph("then_branch"), &otherwise = *c.attributes().graph("else_branch");
  for (const Graph* branch : {&then, &otherwise}) {
    c.require(branch->inputs().size() == captures.size(), "a branch takes ", branch->inputs().size(), " captured values; ", captures.size(), " are given");
    c.require(static_cast<int>(branch->outputs.size()) >= c.outputs(), "a branch has ", branch->outputs.size(), " outputs; expected ", c.outputs());
  }
  const Tensor* condition = c.value(0);
  const bool known = condition && condition->count() == 1;
  const bool taken = known && condition->data<bool>()[0];
  std::vector<Type> types = c.subgraph(known && !taken ? otherwise : then, captures);
  if (!known) {
    const std::vector<Type> others = c.subgraph(otherwise, captures);
    for (size_t i = 0; i < types.size() && i < others.size(); ++i) types[i] = merge_types(types[i], others[i]);
  }
  for (int i = 0; i < c.outputs(); ++i) c.output(i, types[static_cast<size_t>(i)]);
}

void run(RunContext& ctx) {
  ctx.require(ctx.in(0).count() == 1, "the condition has ", ctx.in(0).count(), " elements; expected one");
  const bool condition = *ctx.in(0).as<bool>();
  std::vector<Datum> inputs;
  append_captures(ctx, inputs);
  std::vector<Datum> outputs = ctx.subgraph(condition ? "then_branch" : "else_branch").run(inputs);
  for (int i = 0; i < ctx.outputs(); ++i)
    if (ctx.wants(i)) ctx.set_datum(i, std::move(outputs[static_cast<size_t>(i)]));
}

}  // namespace

OUTPOST_DEFINE_OP(If, .name = "If", .since = 25, .first = 1, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, .max_outputs = -1,
                  .doc = "One of two subgraphs.", .infer = infer, .run = run);

}  // namespace outpost
