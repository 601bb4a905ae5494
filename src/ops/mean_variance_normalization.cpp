// MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over axes, a function of ordinary operators.
// Source: ONNX MeanVarianceNormalization-13.
#include "ops/op.h"

namespace outpost {
namespace {

std::vector<int64_t> axes_of(const Attributes& a) {
  return a.has("axes") ? a.integers("axes") : std::vector<int64_t>{0, 2, 3};
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (c.ranked(0))
    for (int64_t a : axes_of(c.attributes())) c.axis(a, c.rank(0));
  c.output(0, c.input(0));
}

void expand(ExpandContext& c) {
  Value* x = c.in(0);
  Value* axes = c.integers(axes_of(c.attributes()));
  Value* centred = c.sub(x, c.emit("ReduceMean", {x, axes}));
  Value* deviation = c.emit("Sqrt", {c.emit("ReduceMean", {c.mul(centred, centred), axes})});
  c.replace(0, c.div(centred, c.add(deviation, c.like(x, 1e-9))));
}

}  // namespace

OUTPOST_DEFINE_OP(MeanVarianceNormalization, .name = "MeanVarianceNormalization", .since = 13, .first = 9,
                  .doc = "Mean 0 and deviation 1 over axes", .infer = infer, .expand = expand, .cases = R"(
  | f32[2,3,4,5]
  axes=[-1] | f32[3,7]
)");

}  // namespace outpost
