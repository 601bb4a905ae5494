// SequenceMap: a body run for every position of its sequences (tensors among the inputs are the same each time), its
// outputs gathered into sequences. https://onnx.ai/onnx/operators/onnx__SequenceMap.html
#include "ops/control/merge.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  const Graph& body = *c.attributes().graph("body");
  c.require(body.inputs().size() == static_cast<size_t>(c.inputs()), "the body takes ", body.inputs().size(), " values; expected ", c.inputs());
  c.require(static_cast<int>(body.outputs.size()) >= c.outputs(), "the body has ", body.outputs.size(), " outputs; expected ", c.outputs());
  std::vector<Type> inputs;
  for (int i = 0; i < c.inputs(); ++i) {
    Type t = c.has(i) ? c.input(i) : Type();
    if (i < c.node().arity() && t.kind == Type::Kind::sequence) {  // items differ in shape
      const DType dtype = t.element ? t.element->dtype : DType::undefined;
      t = dtype == DType::undefined ? Type() : Type::tensor(dtype);
    }
    inputs.push_back(std::move(t));
  }
  const std::vector<Type> outputs = c.subgraph(body, inputs);
  for (int i = 0; i < c.outputs(); ++i) {
    const Type& t = outputs[static_cast<size_t>(i)];
    c.output(i, Type::sequence(t.is_tensor() ? Type::tensor(t.dtype) : Type()));
  }
}

void run(RunContext& ctx) {
  std::vector<Datum> inputs, given;
  for (int i = 0; i < ctx.node().arity(); ++i) given.push_back(ctx.datum(i));
  ctx.require(!given.empty() && given[0].kind() == Datum::Kind::sequence, "input 0 is not a sequence");
  const size_t length = given[0].items().size();
  for (const Datum& d : given)
    if (d.kind() == Datum::Kind::sequence) ctx.require(d.items().size() == length, "the sequences have ", length, " and ", d.items().size(), " items");
  inputs = given;
  append_captures(ctx, inputs);
  std::vector<std::vector<Datum>> results(static_cast<size_t>(ctx.outputs()));
  SubgraphRunner& body = ctx.subgraph("body");
  for (size_t k = 0; k < length; ++k) {
    ctx.check_interrupt();
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i].kind() == Datum::Kind::sequence) inputs[i] = given[i].items()[k];
    std::vector<Datum> outputs = body.run(inputs);
    for (size_t i = 0; i < results.size(); ++i) results[i].push_back(std::move(outputs[i]));
  }
  for (size_t i = 0; i < results.size(); ++i)
    if (ctx.wants(static_cast<int>(i))) ctx.set_datum(static_cast<int>(i), Datum::sequence(std::move(results[i])));
}

}  // namespace

OUTPOST_DEFINE_OP(SequenceMap, .name = "SequenceMap", .since = 17, .first = 17, .min_inputs = 1, .max_inputs = -1, .min_outputs = 1,
                  .max_outputs = -1, .doc = "A subgraph run on every item of a sequence.", .infer = infer, .run = run);

}  // namespace outpost
