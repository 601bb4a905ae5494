// Quantised layers of com.microsoft that are DequantizeLinear, the float operator, QuantizeLinear: QLinearAveragePool,
// QLinearGlobalAveragePool, QLinearSoftmax; and NhwcMaxPool, which is MaxPool with channels last.
// Source: onnxruntime ContribOperators.md.
#include <algorithm>

#include "ops/pool.h"

namespace outpost {
namespace {

void check_types(InferContext& c) {
  c.require_dtype(0, {DType::i8, DType::u8});
  c.require_dtype(1, {DType::f32});
  c.require_same_dtype(0, 2);
  c.require_dtype(3, {DType::f32});
  c.require_same_dtype(0, 4);
}

Dims channels_first(Dims d) {
  if (d.size() > 2) std::rotate(d.begin() + 1, d.end() - 1, d.end());
  return d;
}
Dims channels_last(Dims d) {
  if (d.size() > 2) std::rotate(d.begin() + 1, d.begin() + 2, d.end());
  return d;
}

// Poolings over x's spatial axes; `last`: channels come last.
void infer_pooled(InferContext& c, bool last) {
  const PoolAttributes a = pool_attributes(c.node());
  c.require(a.window.kernel.length > 0, "kernel_shape is missing");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  c.require(c.rank(0) >= 3, "X must have spatial axes; found ", c.input(0));
  const Dims x = last ? channels_first(c.dims(0)) : c.dims(0);
  Dims out{x[0], x[1]};
  for (const Dim& d : window_dims(c, a.window, std::span(x).subspan(2), {})) out.push_back(d);
  c.output(0, c.dtype(0), last ? channels_last(out) : out);
}

void infer_average(InferContext& c) {
  check_types(c);
  infer_pooled(c, c.attributes().integer("channels_last", 0) != 0);
}

void infer_max(InferContext& c) {
  c.require_dtype(0, {DType::i8, DType::u8});
  infer_pooled(c, true);
}

void infer_global(InferContext& c) {
  check_types(c);
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  c.require(c.rank(0) >= 3, "X must have spatial axes; found ", c.input(0));
  const bool last = c.attributes().integer("channels_last", 0) != 0;
  Dims out = c.dims(0);
  for (size_t i = last ? 1 : 2; i < out.size() - (last ? 1 : 0); ++i) out[i] = Dim(1);
  c.output(0, c.dtype(0), std::move(out));
}

void infer_softmax(InferContext& c) {
  check_types(c);
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", -1), c.rank(0));
  c.output(0, c.input(0));
}

Value* moved(ExpandContext& c, Value* v, bool to_first) {
  if (!v->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the rank must be known");
  std::vector<int64_t> order;
  for (int64_t i = 0; i < v->type.rank(); ++i) order.push_back(i);
  if (to_first) std::rotate(order.begin() + 1, order.end() - 1, order.end());
  else std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  return c.emit("Transpose", {v}, {{"perm", order}});
}

Attributes without(const Attributes& a, std::initializer_list<std::string_view> names) {
  Attributes out;
  for (const auto& [name, value] : a)
    if (std::find(names.begin(), names.end(), name) == names.end()) out.set(name, value);
  return out;
}

// layer(x) of a dequantised x gives what is quantised.
template <class Layer>
void expand_quantised(ExpandContext& c, Layer&& layer) {
  Value* y = layer(c.emit("DequantizeLinear", {c.in(0), c.in(1), c.in(2)}));
  Value* zero = c.in(4);
  if (!zero) zero = c.scalar(c.in(0)->type.dtype, 0);  // also says the type
  c.replace(0, c.emit("QuantizeLinear", {y, c.in(3), zero}));
}

template <bool Global>
void expand_average(ExpandContext& c) {
  const bool last = c.attributes().integer("channels_last", 0) != 0;
  const Attributes a = without(c.attributes(), {"channels_last"});
  expand_quantised(c, [&](Value* x) {
    if (last) x = moved(c, x, true);
    Value* y = Global ? c.emit("GlobalAveragePool", {x}) : c.emit("AveragePool", {x}, a);
    return last ? moved(c, y, false) : y;
  });
}

void expand_softmax(ExpandContext& c) {
  const int64_t axis = c.attributes().integer("axis", -1), opset = c.attributes().integer("opset", 13);
  expand_quantised(c, [&](Value* x) {
    if (opset >= 13) return c.emit("Softmax", {x}, {{"axis", axis}});
    Value* flat = c.emit("Flatten", {x}, {{"axis", axis}});
    Value* y = c.emit("Softmax", {flat}, {{"axis", int64_t{-1}}});
    return c.emit("Reshape", {y, c.emit("Shape", {x})}, {{"allowzero", int64_t{1}}});
  });
}

void expand_nhwc(ExpandContext& c) {
  c.replace(0, moved(c, c.emit("MaxPool", {moved(c, c.in(0), true)}, c.attributes()), false));
}

}  // namespace

OUTPOST_DEFINE_OP(ms_QLinearAveragePool, .name = "QLinearAveragePool", .domain = "com.microsoft", .min_inputs = 4,
                  .max_inputs = 5, .doc = "AveragePool of quantised values", .infer = infer_average,
                  .expand = expand_average<false>, .no_gradient = "integers", .cases = R"(
  kernel_shape=[2,2] | u8[1,2,4,4] f32[]={0.5} u8[]={3} f32[]={0.25} u8[]={5}
  kernel_shape=[2,2] channels_last=1 | u8[1,4,4,3] f32[]={0.5} u8[]={3} f32[]={0.25} u8[]={5}
)");
OUTPOST_DEFINE_OP(ms_QLinearGlobalAveragePool, .name = "QLinearGlobalAveragePool", .domain = "com.microsoft",
                  .min_inputs = 5, .max_inputs = 5, .doc = "GlobalAveragePool of quantised values",
                  .infer = infer_global, .expand = expand_average<true>, .no_gradient = "integers", .cases = R"(
  | u8[1,2,4,4] f32[]={0.5} u8[]={3} f32[]={0.25} u8[]={5}
  channels_last=1 | i8[2,4,4,3] f32[]={0.5} i8[]={3} f32[]={0.25} i8[]={5}
)");
OUTPOST_DEFINE_OP(ms_QLinearSoftmax, .name = "QLinearSoftmax", .domain = "com.microsoft", .min_inputs = 5,
                  .max_inputs = 5, .doc = "Softmax of quantised values", .infer = infer_softmax,
                  .expand = expand_softmax, .no_gradient = "integers", .cases = R"(
  axis=-1 opset=13 | u8[2,8] f32[]={0.1} u8[]={128} f32[]={0.00390625} u8[]={0}
)");
OUTPOST_DEFINE_OP(ms_NhwcMaxPool, .name = "NhwcMaxPool", .domain = "com.microsoft",
                  .doc = "MaxPool of 8-bit integers, channels last", .infer = infer_max, .expand = expand_nhwc,
                  .no_gradient = "integers", .cases = R"(
  kernel_shape=[2,2] strides=[2,2] | u8[1,4,4,3]
)");

}  // namespace outpost
