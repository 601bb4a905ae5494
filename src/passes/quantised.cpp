// QDQ groups become integer operators: DequantizeLinear → operator → QuantizeLinear is the operator on codes.
//   Conv → QLinearConv · Gemm, MatMul by constants (+ bias) → outpost.QuantizedLinear · MatMul → QLinearMatMul ·
//   Add, Mul → QLinearAdd, QLinearMul · Concat → QLinearConcat · Sigmoid, LeakyRelu → their QLinear form ·
//   MaxPool, Reshape, Transpose, … of one scale → the operator itself on codes · Relu, Clip before → Clip of codes.
// Sums are exact and rounded once, where the float graph rounds more often: results differ by at most one step of the
// output's scale. What stands between floats stays float.
#include "passes/quantised.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/passes.h"
#include "tensor/convert.h"

namespace outpost {
namespace quantised {
namespace {

Tensor as_f32(const Tensor& t) {
  Tensor out(DType::f32, t.shape());
  convert(t.dtype(), t.raw(), DType::f32, out.raw(), t.count());
  return out;
}

int code_at(const Tensor& t, int64_t i) {
  return t.dtype() == DType::i8 ? t.data<int8_t>()[i] : t.data<uint8_t>()[i];
}

bool all_zero(const Tensor& t) {
  const auto* codes = static_cast<const uint8_t*>(t.raw());
  return std::all_of(codes, codes + t.count(), [](uint8_t c) { return c == 0; });
}

}  // namespace

std::optional<Tensor> without_zero(const Tensor& codes, const Tensor* zero, int axis) {
  if (codes.dtype() == DType::i8 && (!zero || all_zero(*zero))) return codes;
  const Shape& shape = codes.shape();
  const int64_t inner = shape.count(axis + 1, shape.rank()), channels = shape[axis], count = codes.count();
  Tensor out(DType::i8, shape);
  int8_t* to = out.data<int8_t>();
  for (int64_t i = 0; i < count; ++i) {
    const int code = code_at(codes, i) - (zero ? code_at(*zero, zero->count() == 1 ? 0 : i / inner % channels) : 0);
    if (code < -128 || code > 127) return {};
    to[i] = static_cast<int8_t>(code);
  }
  return out;
}

std::optional<Weights> weights_of(const Value* v, int axis) {
  const Node* n = v ? v->producer() : nullptr;
  if (!n || n->op != "DequantizeLinear" || v->type.dtype != DType::f32 || n->attributes.integer("block_size", 0) != 0) return {};
  for (int i = 0; i < 3; ++i)
    if (n->input(i) && !n->input(i)->is_constant()) return {};
  const Tensor& codes = n->input(0)->constant();
  const Tensor& scale = n->input(1)->constant();
  if (!is_byte(codes.dtype()) || scale.dtype() != DType::f32 || codes.count() == 0) return {};
  const Shape& shape = codes.shape();
  if (axis >= shape.rank()) return {};
  int64_t along = n->attributes.integer("axis", 1);
  if (along < 0) along += shape.rank();
  if (scale.count() != 1 && (along != axis || scale.count() != shape[axis])) return {};
  if (n->input(2) && n->input(2)->constant().count() != 1 && n->input(2)->constant().count() != shape[axis]) return {};
  Weights w{codes, std::vector<float>(scale.data<float>(), scale.data<float>() + scale.count())};
  for (float v : w.scales)
    if (!(std::isfinite(v) && v >= 0)) return {};
  const Tensor* zero = n->input(2) ? &n->input(2)->constant() : nullptr;
  const std::optional<Tensor> plain = without_zero(codes, zero, axis);
  if (!plain) return {};
  w.codes = *plain;
  return w;
}

std::optional<std::vector<int32_t>> bias_of(const Value* v, int64_t count, float x_scale, const std::vector<float>& scales) {
  std::vector<int32_t> out;
  Tensor values;
  const Node* n = v->producer();
  const Tensor* codes = nullptr;
  if (v->is_constant() && v->constant().dtype() == DType::f32) {
    values = as_f32(v->constant());
  } else if (n && n->op == "DequantizeLinear" && n->input(0)->is_constant() && n->input(1)->is_constant() &&
             (!n->input(2) || n->input(2)->is_constant()) && n->attributes.integer("block_size", 0) == 0) {
    const Tensor& scale = n->input(1)->constant();
    codes = &n->input(0)->constant();
    if (codes->count() != count || scale.dtype() != DType::f32 || (scale.count() != 1 && scale.count() != count)) return {};
    if (codes->dtype() != DType::i32 && !is_byte(codes->dtype())) return {};
    if (n->input(2) && n->input(2)->constant().count() != 1 && n->input(2)->constant().count() != count) return {};
    values = Tensor(DType::f32, {count});
    for (int64_t i = 0; i < count; ++i) {
      const Tensor* zero = n->input(2) ? &n->input(2)->constant() : nullptr;
      double code = codes->dtype() == DType::i32 ? codes->data<int32_t>()[i] : code_at(*codes, i);
      if (zero) code -= codes->dtype() == DType::i32 ? zero->data<int32_t>()[zero->count() == 1 ? 0 : i] : code_at(*zero, zero->count() == 1 ? 0 : i);
      values.data<float>()[i] = static_cast<float>(code * scale.data<float>()[scale.count() == 1 ? 0 : i]);
    }
  } else {
    return {};
  }
  if (values.count() != count) return {};
  for (int64_t i = 0; i < count; ++i) {
    const double step = double(x_scale) * scales[scales.size() == 1 ? 0 : size_t(i)];
    const double sum = values.data<float>()[i] == 0 ? 0 : std::nearbyint(values.data<float>()[i] / step);
    if (!(std::abs(sum) < 2147483647.0)) return {};
    out.push_back(static_cast<int32_t>(sum));
  }
  return out;
}

bool replace(Node& node, Value* value) {
  Value* old = node.output(0);
  if (value == old || value->type.dtype != old->type.dtype) return false;
  if (old->type.is_static() && !value->type.is_static()) value->type = old->type;
  node.graph()->replace_uses(old, value);
  node.graph()->erase(&node);
  return true;
}

}  // namespace quantised

namespace {

using namespace quantised;

Value* zero_of(Builder& b, const Scale& s) { return s.zero ? s.zero : b.scalar(s.dtype, 0); }

// The axis of a constant's leading dims put to the front is the identity for (out, …) weights; (k, n) ones are turned.
Tensor turned(const Tensor& t) {
  const int64_t rows = t.shape()[0], columns = t.shape()[1];
  Tensor out(DType::i8, {columns, rows});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) out.data<int8_t>()[j * rows + i] = t.data<int8_t>()[i * columns + j];
  return out;
}

Tensor vector_of(const std::vector<float>& values) { return Tensor::of(values, Shape{static_cast<int64_t>(values.size())}); }

Value* conv(Builder& b, Node& n, const Scale& y) {
  const auto x = codes_of(n.input(0));
  const auto w = weights_of(n.input(1), 0);
  if (!x || !w) return nullptr;
  Value* bias = nullptr;
  if (n.input(2)) {
    const int64_t out = w->codes.shape()[0];
    const auto sums = bias_of(n.input(2), out, x->scale.real, w->scales);
    if (!sums) return nullptr;
    bias = b.constant(Tensor::of(*sums, Shape{out}));
  }
  Value* scales = b.constant(w->scales.size() == 1 ? Tensor::scalar(w->scales[0]) : vector_of(w->scales));
  return b.emit("QLinearConv", {x->value, x->scale.scale, zero_of(b, x->scale), b.constant(w->codes), scales, b.scalar(DType::i8, 0),
                                y.scale, zero_of(b, y), bias}, n.attributes);
}

// x (…, k) times (k, n) weights.
Value* linear(Builder& b, const Codes& x, const Weights& w, const Tensor& codes, const Value* bias, const Scale& y) {
  const int64_t n = codes.shape()[1];
  if (w.scales.size() != 1 && static_cast<int64_t>(w.scales.size()) != n) return nullptr;
  if (bias) {  // along the columns, and no rank of its own
    const Type &t = bias->type, &xt = x.value->type;
    if (!t.ranked || !xt.ranked || t.rank() < 1 || t.rank() > xt.rank() || !(t.dims.back() == Dim(n))) return nullptr;
  }
  std::vector<float> scales;
  for (int64_t i = 0; i < n; ++i) {
    scales.push_back(static_cast<float>(double(x.scale.real) * w.scales[w.scales.size() == 1 ? 0 : size_t(i)] / y.real));
    if (!std::isfinite(scales.back())) return nullptr;
  }
  Value* sums = nullptr;
  if (bias) {
    const auto values = bias_of(bias, n, x.scale.real, w.scales);
    if (!values) return nullptr;
    sums = b.constant(Tensor::of(*values, Shape{n}));
  }
  return b.emit("QuantizedLinear", {x.value, b.constant(codes), b.constant(vector_of(scales)), sums},
                {{"x_zero", int64_t{x.scale.point_u8()}}, {"y_zero", int64_t{y.point_u8()}}, {"to", static_cast<int64_t>(y.dtype)}}, "outpost");
}

Value* gemm(Builder& b, Node& n, const Scale& y) {
  const Attributes& a = n.attributes;
  if (a.real("alpha", 1) != 1 || a.integer("transA", 0) != 0 || (n.input(2) && a.real("beta", 1) != 1)) return nullptr;
  const bool turn = a.integer("transB", 0) != 0;
  const auto x = codes_of(n.input(0));
  const auto w = weights_of(n.input(1), turn ? 0 : 1);
  if (!x || !w) return nullptr;
  return linear(b, *x, *w, turn ? turned(w->codes) : w->codes, n.input(2), y);
}

Value* matmul(Builder& b, Node& n, const Scale& y, const Value* bias) {
  const auto x = codes_of(n.input(0));
  if (!x) return nullptr;
  if (const auto w = weights_of(n.input(1), 1); w && w->codes.shape().rank() == 2) return linear(b, *x, *w, w->codes, bias, y);
  const auto other = codes_of(n.input(1));
  if (!other || bias) return nullptr;
  return b.emit("QLinearMatMul", {x->value, x->scale.scale, zero_of(b, x->scale), other->value, other->scale.scale,
                                  zero_of(b, other->scale), y.scale, zero_of(b, y)});
}

// MatMul(x, w) + bias.
Value* biased(Builder& b, Node& n, const Scale& y) {
  for (int i = 0; i < 2; ++i) {
    Node* product = n.input(i) ? n.input(i)->producer() : nullptr;
    if (!match::is(product, "MatMul") || !match::used_once(n.input(i)) || codes_of(n.input(1 - i))) continue;
    
    if (Value* v = matmul(b, *product, y, n.input(1 - i))) return v;
  }
  return nullptr;
}

Value* pair(Builder& b, Node& n, const Scale& y) {
  const auto left = codes_of(n.input(0)), right = codes_of(n.input(1));
  if (!left || !right) return n.op == "Add" ? biased(b, n, y) : nullptr;
  if (left->scale.dtype != y.dtype || right->scale.dtype != y.dtype) return nullptr;
  return b.emit(n.op == "Add" ? "QLinearAdd" : "QLinearMul",
                {left->value, left->scale.scale, zero_of(b, left->scale), right->value, right->scale.scale, zero_of(b, right->scale),
                 y.scale, zero_of(b, y)}, {}, "com.microsoft");
}

Value* concat(Builder& b, Node& n, const Scale& y) {
  std::vector<Value*> inputs{y.scale, zero_of(b, y)};
  for (Value* v : n.inputs()) {
    const auto x = codes_of(v);
    if (!x || x->scale.dtype != y.dtype) return nullptr;
    inputs.insert(inputs.end(), {x->value, x->scale.scale, zero_of(b, x->scale)});
  }
  return b.emit("QLinearConcat", inputs, n.attributes, "com.microsoft");
}

// One operand, with both scales: QLinear + the operator's name, in com.microsoft.
Value* single(Builder& b, Node& n, const Scale& y) {
  const auto x = codes_of(n.input(0));
  if (!x || x->scale.dtype != y.dtype) return nullptr;
  return b.emit("QLinear" + n.op, {x->value, x->scale.scale, zero_of(b, x->scale), y.scale, zero_of(b, y)}, n.attributes, "com.microsoft");
}

bool moves(const Node& n) {
  for (const char* name : {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth", "Slice", "Gather", "Expand", "Tile"})
    if (n.op == name && n.domain.empty()) return true;
  return false;
}

// Operators that only choose among their values: the same on codes.
Value* movement(Builder& b, Node& n, const Scale& y) {
  const auto x = codes_of(n.input(0));
  if (!x || !(x->scale == y)) return nullptr;
  std::vector<Value*> inputs = n.inputs();
  inputs[0] = x->value;
  return b.emit(n.op, inputs, n.attributes);
}

Value* on_codes(Builder& b, Node& n, const Scale& y) {
  if (!n.domain.empty()) return nullptr;
  if (n.op == "Conv") return conv(b, n, y);
  if (n.op == "Gemm") return gemm(b, n, y);
  if (n.op == "MatMul") return matmul(b, n, y, nullptr);
  if (n.op == "Add" || n.op == "Mul") return pair(b, n, y);
  if (n.op == "Concat") return concat(b, n, y);
  if (n.op == "Sigmoid" || n.op == "LeakyRelu") return single(b, n, y);
  if (n.op == "MaxPool" && n.outputs().size() > 1 && n.output(1)) return nullptr;
  if (moves(n) || n.op == "MaxPool") return movement(b, n, y);
  return nullptr;
}

// Bounds on real values that an activation sets.
struct Bounds {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};

std::optional<Bounds> bounds_of(const Node& n) {
  if (match::is(&n, "Relu")) return Bounds{.low = 0};
  if (!match::is(&n, "Clip")) return {};
  Bounds bounds;
  for (int i = 1; i < 3; ++i) {
    if (!n.input(i)) continue;
    const auto v = match::scalar_of(n.input(i));
    if (!v || std::isnan(*v)) return {};
    (i == 1 ? bounds.low : bounds.high) = *v;
  }
  return bounds;
}

// Rounding is monotone, so that clipping the codes is rounding what was clipped.
Value* clipped(Builder& b, Value* codes, const Bounds& bounds, const Scale& y) {
  const double lowest = y.dtype == DType::i8 ? -128 : 0, highest = lowest + 255;
  auto code = [&](double v) {
    return std::clamp(std::nearbyint(std::clamp(v / double(y.real), -1e6, 1e6)) + y.point, lowest, highest);
  };
  const double low = code(bounds.low), high = code(bounds.high);
  if (low <= lowest && high >= highest) return codes;
  return b.emit("Clip", {codes, b.scalar(y.dtype, low), b.scalar(y.dtype, high)});
}

bool rewrite_group(Graph& graph, Node& q) {
  Value* x = q.input(0);
  if (x->type.dtype != DType::f32 || q.attributes.integer("block_size", 0) != 0) return false;
  if (const int64_t precision = q.attributes.integer("precision", 0); precision != 0 && precision != int64_t(DType::f32)) return false;
  const std::optional<Scale> y = scale_of(q.input(1), q.input(2), q.output(0)->type.dtype);
  if (!y) return false;
  Builder b(graph, &q);
  if (const auto same = codes_of(x); same && same->scale == *y) return replace(q, same->value);
  Bounds bounds;
  Node* n = x->producer();
  if (!n || !match::used_once(x)) return false;
  if (const auto limits = bounds_of(*n)) {
    bounds = *limits;
    x = n->input(0);
    n = x->producer();
    if (const auto same = codes_of(x); same && same->scale == *y) return replace(q, clipped(b, same->value, bounds, *y));
    if (!n || !match::used_once(x)) return false;
  }
  Value* codes = on_codes(b, *n, *y);
  return codes && replace(q, clipped(b, codes, bounds, *y));
}

// DequantizeLinear → Reshape becomes Reshape → DequantizeLinear, so that what follows finds its codes.
bool sink(Graph& graph, Node& n) {
  if (!moves(n) || n.outputs().size() != 1) return false;
  const auto x = codes_of(n.input(0));
  if (!x || !match::used_once(n.input(0)) || x->value->is_constant()) return false;
  for (const Use& use : n.output(0)->uses())
    if (use.node->op == "QuantizeLinear") return false;  // a group of its own
  Builder b(graph, &n);
  std::vector<Value*> inputs = n.inputs();
  inputs[0] = x->value;
  Value* moved = b.emit(n.op, inputs, n.attributes);
  return replace(n, b.emit("DequantizeLinear", {moved, x->scale.scale, x->scale.zero}));
}

}  // namespace

int recognise_quantised(Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  int changes = 0;
  for (Node* node : nodes) {
    if (node->op == "QuantizeLinear" && node->output(0)) changes += rewrite_group(graph, *node);
    else if (node->domain.empty()) changes += sink(graph, *node);
  }
  return changes;
}

}  // namespace outpost
