// Gradient (ai.onnx.preview.training): the derivative of a tensor of this graph with respect to others. It has no run: the
// `expand` pass differentiates the graph. https://github.com/onnx/onnx/blob/main/docs/Operators.md#ai.onnx.preview.training.Gradient
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  const size_t xs = c.attributes().strings("xs").size();
  c.require(c.attributes().has("y"), "attribute 'y', the tensor to differentiate, is missing");
  c.require(static_cast<size_t>(c.outputs()) <= xs, "has ", c.outputs(), " outputs; expected one for each of the ", xs, " names in 'xs'");
  c.require(static_cast<size_t>(c.inputs()) >= xs, "has ", c.inputs(), " inputs; expected one for each of the ", xs, " names in 'xs'");
  for (int i = 0; i < c.outputs(); ++i) c.output(i, c.input(i));
}

}  // namespace

OUTPOST_DEFINE_OP(training_Gradient, .name = "Gradient", .domain = "ai.onnx.preview.training", .since = 1, .first = 1, .min_inputs = 1,
                  .max_inputs = -1, .min_outputs = 1, .max_outputs = -1,
                  .doc = "The derivative of a tensor of the graph with respect to others.", .infer = infer,
                  .no_gradient = "second derivatives come from differentiating its expansion");

}  // namespace outpost
