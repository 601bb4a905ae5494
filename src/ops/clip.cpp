// Clip and Shrink: what lies beyond a bound is moved to it, or towards zero.
#include <algorithm>
#include <limits>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

// min(max(x, low), high): high wins where the bounds cross, NaN stays.
constexpr auto clip = [](auto x, auto low, auto high) {
  const auto y = x < low ? low : x;
  return y > high ? high : y;
};
constexpr UnaryRows clip_rows = float_rows<clip, kernels::Unary::clip>();

// The scalar in input i as `compute`, or `absent`.
template <class T>
T bound(RunContext& c, int i, T absent) {
  if (!c.has(i)) return absent;
  const View& v = c.in(i);
  if (v.count() != 1) c.fail("bound ", i == 1 ? "min" : "max", " has shape ", v.shape(), "; expected a scalar");
  T value;
  load(v.dtype, v.data, 0, 1, dtype_of<T>(), &value);
  return value;
}

template <class T>
void clip_integers(RunContext& c) {
  const T low = bound<T>(c, 1, std::numeric_limits<T>::min()), high = bound<T>(c, 2, std::numeric_limits<T>::max());
  map_flat(c, c.in(0), c.out(0), dtype_of<T>(), dtype_of<T>(), [=](const void* in, void* out, int64_t n) {
    auto* x = static_cast<const T*>(in);
    auto* y = static_cast<T*>(out);
    for (int64_t i = 0; i < n; ++i) y[i] = clip(x[i], low, high);
  });
}

void run_clip(RunContext& c) {
  switch (compute_type(c.in(0).dtype)) {
    case DType::i64: return clip_integers<int64_t>(c);
    case DType::u64: return clip_integers<uint64_t>(c);
    default: break;
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  map_unary(c, clip_rows, c.in(0), c.out(0), bound(c, 1, -infinity), bound(c, 2, infinity));
}

void infer_clip(InferContext& c) {
  require_types(c, 0, floats | integers);
  for (int i = 1; i < c.inputs(); ++i) {
    c.require_same_dtype(0, i);
    if (c.has(i) && c.ranked(i))
      for (const Dim& d : c.dims(i))
        c.require(!d.known() || d.size == 1, "input ", i, " is ", c.input(i), "; a bound is a scalar");
  }
  c.output(0, c.input(0));
}

// Bounds were attributes before opset 11.
void upgrade_clip(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  if (c.from >= 11) return;
  const DType dtype = c.in(0)->type.dtype == DType::undefined ? DType::f32 : c.in(0)->type.dtype;
  c.real_to_input("min", 1, dtype);
  c.real_to_input("max", 2, dtype);
}

// What was moved to a bound belongs to that bound.
void gradient_clip(GradientContext& c) {
  Value* zero = c.like(c.grad(), 0);
  if (c.wants(0)) c.set(0, c.emit("Where", {c.emit("Equal", {c.in(0), c.out(0)}), c.grad(), zero}));
  const auto beyond = [&](const char* comparison, int i) {
    if (c.wants(i))
      c.set(i, c.sum_to(c.emit("Where", {c.emit(comparison, {c.in(0), c.in(i)}), c.grad(), zero}), c.in(i)));
  };
  beyond("Less", 1);
  beyond("Greater", 2);
}

constexpr auto shrink = [](auto x, auto lambda, auto bias) {
  return x < -lambda ? x + bias : x > lambda ? x - bias : decltype(x)(0);
};
constexpr UnaryRows shrink_rows = float_rows<shrink>();

void run_shrink(RunContext& c) {
  const auto& p = c.prepared<UnaryParameters>();
  if (!contains(integers, c.in(0).dtype)) return map_unary(c, shrink_rows, c.in(0), c.out(0), p.a, p.b);
  // lambda and bias are fractions for integers too
  map_flat(c, c.in(0), c.out(0), DType::f64, DType::f64,
           [&p](const void* in, void* out, int64_t n) { shrink_rows.f64(in, out, n, p.a, p.b); });
}
std::shared_ptr<const void> prepare_shrink(const PrepareContext& c) {
  return std::make_shared<UnaryParameters>(
      UnaryParameters{c.attributes().real("lambd", 0.5f), c.attributes().real("bias", 0)});
}
void gradient_shrink(GradientContext& c) {
  Value* beyond = c.emit("Greater", {c.emit("Abs", {c.in(0)}), c.like(c.in(0), c.attributes().real("lambd", 0.5f))});
  c.set(0, c.emit("Where", {beyond, c.grad(), c.like(c.grad(), 0)}));
}

}  // namespace

OUTPOST_DEFINE_OP(Clip, .name = "Clip", .since = 13, .max_inputs = 3, .doc = "x limited to [min, max]",
                  .infer = infer_clip, .run = run_clip, .upgrade = upgrade_clip, .gradient = gradient_clip,
                  .in_place = {{0, 0}},
                  .cases =
                      "| f32[2,3,4](-4,4) f32[]={-1} f32[]={2}\n| f64[5](-4,4) - f64[]={0.5}\n| f32[2,0] f32[]={0}\n"
                      "| i8[6](-128,127) i8[]={-5} i8[]={7}\n| u64[3](0,9) u64[]={2}\n| f16[7](-4,4)");
OUTPOST_DEFINE_OP(Shrink, .name = "Shrink", .since = 9, .first = 9,
                  .doc = "0 within lambd, else x moved by bias towards 0", .infer = infer_unary<floats | integers>,
                  .run = run_shrink, .gradient = gradient_shrink, .prepare = prepare_shrink, .in_place = {{0, 0}},
                  .cases = "| f32[2,3,4](-4,4)\nlambd=1.5 bias=1.5 | f64[5](-4,4)\nlambd=1.5 | i32[5](-4,4)\n| f32[0]");

}  // namespace outpost
