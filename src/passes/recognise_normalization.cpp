// Normalisation of rows that exporters wrote out in parts:
//   LayerNormalization   (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias
//   RMSNormalization     x / sqrt(mean(x^2) + epsilon) * scale
// The square is a Pow or a product; the quotient a Div, or a product with a Reciprocal, 1 / s or s^-1/2; casts around
// the statistics go, since the operators keep those in f32 by themselves.
#include <algorithm>

#include "passes/match.h"
#include "passes/passes.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using namespace match;

// What a match has bound.
struct Parts {
  Capture x, scale, bias, axes, variance_axes;
  Number epsilon;
};

Pattern mean_of(Pattern x, Capture& axes) { return op("ReduceMean", {std::move(x), constant(axes)}).with("keepdims", 1, 1); }

// value / sqrt(mean(value^2) + epsilon)
Pattern quotient(const Pattern& value, Parts& p) {
  const Pattern cast = through("Cast", value);
  const Pattern square = one_of({op("Pow", {cast, 2.0}), op("Mul", {cast, cast})});
  const Pattern sum = op("Add", {mean_of(square, p.variance_axes), p.epsilon});
  const Pattern root = op("Sqrt", {sum});
  const Pattern inverse = one_of({op("Reciprocal", {root}), op("Div", {1.0, root}), op("Pow", {sum, -0.5})});
  return through("Cast", one_of({op("Div", {cast, root}), op("Mul", {cast, inverse})}));
}

Pattern centred(Parts& p) { return quotient(op("Sub", {p.x, mean_of(p.x, p.axes)}), p); }

// The last axes of x, all of them to the end: the first of them, or nothing.
std::optional<int64_t> first_axis(const Value* x, const Value* axes) {
  if (!x->type.ranked) return std::nullopt;
  auto list = integers_of(axes);
  if (!list || list->empty()) return std::nullopt;
  const int64_t rank = x->type.rank(), count = static_cast<int64_t>(list->size());
  for (int64_t& a : *list) a = a < 0 ? a : a - rank;
  std::sort(list->begin(), list->end());
  for (int64_t i = 0; i < count; ++i)
    if ((*list)[static_cast<size_t>(i)] != i - count) return std::nullopt;
  return -count;
}

// A scale or bias that varies along the normalised axes alone.
bool fits(const Value* parameter, int64_t axis, const Value* x) {
  if (!parameter || !parameter->type.ranked || parameter->type.rank() > -axis || parameter->type.dtype != x->type.dtype) return false;
  for (int i = 1; i <= parameter->type.rank(); ++i) {
    const Dim p = parameter->type.dims[static_cast<size_t>(parameter->type.rank() - i)], d = x->type.dims[static_cast<size_t>(x->type.rank() - i)];
    if (!(p == d) && !(p.known() && p.size == 1)) return false;
  }
  return true;
}

// Ones, for a normalisation without a scale; needs the sizes.
Value* ones(Builder& b, const Value* x, int64_t axis) {
  Shape shape;
  for (int64_t i = axis; i < 0; ++i) {
    const Dim d = x->type.dims[static_cast<size_t>(i + x->type.rank())];
    if (!d.known()) return nullptr;
    shape.push_back(d.size);
  }
  if (shape.count() > 1 << 20) return nullptr;
  const std::vector<double> values(static_cast<size_t>(shape.count()), 1.0);
  Tensor t(x->type.dtype, shape);
  convert(DType::f64, values.data(), t.dtype(), t.raw(), t.count());
  return b.constant(std::move(t));
}

Value* layer_normalization(Builder& b, const Parts& p) {
  const auto axis = first_axis(p.x, p.axes), second = first_axis(p.x, p.variance_axes);
  if (!axis || axis != second || !is_floating(p.x)) return nullptr;
  if (p.bias.value && !fits(p.bias, *axis, p.x)) return nullptr;
  Value* scale = p.scale ? p.scale.value : ones(b, p.x, *axis);
  if (!scale || !fits(scale, *axis, p.x)) return nullptr;
  std::vector<Value*> inputs{p.x, scale};
  if (p.bias.value) inputs.push_back(p.bias);
  return b.emit("LayerNormalization", std::move(inputs), {{"axis", *axis}, {"epsilon", static_cast<float>(p.epsilon)}});
}

Value* rms_normalization(Builder& b, const Parts& p) {
  const auto axis = first_axis(p.x, p.variance_axes);
  if (!axis || !is_floating(p.x)) return nullptr;
  Value* x = p.x;
  // Statistics in f32 of what was narrow, and the scale narrow again: the cast in front is the operator's own affair.
  if (Node* cast = x->producer(); is(cast, "Cast") && p.scale && cast->input(0)->type.dtype == p.scale->type.dtype) x = cast->input(0);
  Value* scale = p.scale ? p.scale.value : ones(b, x, *axis);
  if (!scale || !fits(scale, *axis, x)) return nullptr;
  return b.emit("RMSNormalization", {x, scale}, {{"axis", *axis}, {"epsilon", static_cast<float>(p.epsilon)}});
}

}  // namespace

int recognise_normalization(Graph& graph) {
  Parts full, scaled, bare, rms, bare_rms;
  int changes = rewrite(graph, op("Add", {op("Mul", {centred(full), full.scale}), full.bias}), [&](Builder& b, Node&) { return layer_normalization(b, full); });
  changes += rewrite(graph, op("Mul", {centred(scaled), scaled.scale}), [&](Builder& b, Node&) { return layer_normalization(b, scaled); });
  changes += rewrite(graph, centred(bare), [&](Builder& b, Node&) { return layer_normalization(b, bare); });
  changes += rewrite(graph, op("Mul", {quotient(rms.x, rms), rms.scale}), [&](Builder& b, Node&) { return rms_normalization(b, rms); });
  return changes + rewrite(graph, quotient(bare_rms.x, bare_rms), [&](Builder& b, Node&) { return rms_normalization(b, bare_rms); });
}

}  // namespace outpost
