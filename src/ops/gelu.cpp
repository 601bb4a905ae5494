// Gelu and the gates that are its kin: x times a smooth step. The com.microsoft forms add a bias first.
//   exact  x Phi(x)            Hendrycks & Gimpel 2016
//   tanh   x (1 + tanh(k (x + c x^3))) / 2, k = sqrt(2/pi), c = 0.044715
//   swish  x sigmoid(alpha x)  (SiLU at alpha = 1; QuickGelu at 1.702)
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"

namespace outpost {

namespace {

using K = kernels::Unary;

constexpr double k = 0.7978845608028654, cubic = 0.044715;

constexpr auto exact = [](auto x, auto, auto) { return x / 2 * std::erfc(x * decltype(x)(-0.7071067811865476)); };
constexpr auto by_tanh = [](auto x, auto, auto) {
  using T = decltype(x);
  return x / 2 * (1 + std::tanh(T(k) * (x + T(cubic) * x * x * x)));
};
constexpr auto swish = [](auto x, auto alpha, auto) {
  const auto e = std::exp(-std::fabs(alpha * x));
  return x * ((alpha * x >= 0 ? decltype(x)(1) : e) / (1 + e));
};

constexpr UnaryRows exact_rows = float_rows<exact, K::gelu_erf>();
constexpr UnaryRows tanh_rows = float_rows<by_tanh, K::gelu_tanh>();
constexpr UnaryRows silu_rows = float_rows<swish, K::silu>();

// x sigmoid(alpha x) for any alpha, from the kernels there are.
void swish_row(const void* xv, void* yv, int64_t n, double alpha, double) {
  const auto& table = kernels::kernels();
  auto* x = static_cast<const float*>(xv);
  auto* y = static_cast<float*>(yv);
  float gate[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t m = std::min<int64_t>(256, n - i);
    table.multiply_add(x + i, static_cast<float>(alpha), 0, gate, m);
    table.unary[int(K::sigmoid)](gate, gate, m, 0, 0);
    table.binary[int(kernels::Binary::multiply)](x + i, 1, gate, 1, y + i, m);
  }
}
constexpr UnaryRows swish_rows{.f32 = swish_row, .f64 = unary_row<swish, double>};

// ---- what a node computes, chosen once
struct Gate {
  const UnaryRows* rows;
  double alpha;
};
std::shared_ptr<const void> gate(const UnaryRows& rows, double alpha = 1) {
  return std::make_shared<Gate>(Gate{&rows, alpha});
}

bool approximate(const Attributes& attributes) { return attributes.string("approximate", "none") == "tanh"; }

std::shared_ptr<const void> prepare_gelu(const PrepareContext& c) {
  return gate(approximate(c.attributes()) ? tanh_rows : exact_rows);
}
std::shared_ptr<const void> prepare_exact(const PrepareContext&) { return gate(exact_rows); }
std::shared_ptr<const void> prepare_fast(const PrepareContext&) { return gate(tanh_rows); }
std::shared_ptr<const void> prepare_swish_alpha(double alpha) {
  return gate(alpha == 1 ? silu_rows : swish_rows, alpha);
}
std::shared_ptr<const void> prepare_swish(const PrepareContext& c) {
  return prepare_swish_alpha(c.attributes().real("alpha", 1));
}
std::shared_ptr<const void> prepare_quick(const PrepareContext& c) {
  return prepare_swish_alpha(c.attributes().real("alpha", 1.702f));
}

void run_gate(RunContext& c) {
  const auto& g = c.prepared<Gate>();
  map_unary(c, *g.rows, c.in(0), c.out(0), g.alpha, 0);
}

// y = gate(x + bias): one pass over memory.
template <K kernel>
void biased_row(const void* a, int64_t a_step, const void* b, int64_t b_step, void* yv, int64_t n) {
  const auto& table = kernels::kernels();
  auto *x = static_cast<const float*>(a), *bias = static_cast<const float*>(b);
  auto* y = static_cast<float*>(yv);
  for (int64_t i = 0; i < n; i += 1024) {
    const int64_t m = std::min<int64_t>(1024, n - i);
    table.binary[int(kernels::Binary::add)](x + i * a_step, a_step, bias + i * b_step, b_step, y + i, m);
    table.unary[int(kernel)](y + i, y + i, m, 0, 0);
  }
}
constexpr auto biased_exact = [](auto x, auto bias) { return exact(x + bias, x, x); };
constexpr auto biased_tanh = [](auto x, auto bias) { return by_tanh(x + bias, x, x); };
constexpr BinaryRows biased_exact_rows{.f32 = biased_row<K::gelu_erf>, .f64 = binary_row<biased_exact, double>};
constexpr BinaryRows biased_tanh_rows{.f32 = biased_row<K::gelu_tanh>, .f64 = binary_row<biased_tanh, double>};

void run_biased(RunContext& c) { map_binary(c, biased_exact_rows, c.in(0), c.in(1), c.out(0)); }
void run_fast(RunContext& c) {
  if (c.has(1)) map_binary(c, biased_tanh_rows, c.in(0), c.in(1), c.out(0));
  else run_gate(c);
}

// Swish(a) b
void swiglu_row(const void* av, const void* bv, void* yv, int64_t n, double alpha) {
  float value[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t m = std::min<int64_t>(256, n - i);
    auto* b = static_cast<const float*>(bv) + i;
    if (alpha == 1) kernels::kernels().unary[int(K::silu)](static_cast<const float*>(av) + i, value, m, 0, 0);
    else swish_row(static_cast<const float*>(av) + i, value, m, alpha, 0);
    kernels::kernels().binary[int(kernels::Binary::multiply)](value, 1, b, 1, static_cast<float*>(yv) + i, m);
  }
}
void swiglu_row_f64(const void* av, const void* bv, void* yv, int64_t n, double alpha) {
  auto *a = static_cast<const double*>(av), *b = static_cast<const double*>(bv);
  for (int64_t i = 0; i < n; ++i) static_cast<double*>(yv)[i] = swish(a[i], alpha, 0.0) * b[i];
}
void run_swiglu(RunContext& c) {
  const View &a = c.in(0), &b = c.in(1);
  View& y = c.out(0);
  const double alpha = c.prepared<Gate>().alpha;
  const DType compute = y.dtype == DType::f64 ? DType::f64 : DType::f32;
  const auto row = compute == DType::f64 ? swiglu_row_f64 : swiglu_row;
  c.parallel_ranges(y.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    TileBuffer left, right;
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load_tile(a.dtype, a.data, i, n, compute, left.bytes);
      load_tile(b.dtype, b.data, i, n, compute, right.bytes);
      row(left.bytes, right.bytes, left.bytes, n, alpha);
      store_tile(compute, left.bytes, n, y.dtype, y.data, i);
    }
  });
}

// ---- shapes
void infer_gelu(InferContext& c) {
  const auto name = c.attributes().string("approximate", "none");
  c.require(name == "none" || name == "tanh", "approximate is \"", name, "\"; expected \"none\" or \"tanh\"");
  infer_unary<floats>(c);
}
void infer_biased(InferContext& c) {
  require_types(c, 0, floats);
  c.require_same_dtype(0, 1);
  if (c.has(1) && c.ranked(0) && c.ranked(1))
    c.require(broadcast(c, c.dims(0), c.dims(1)).size() == c.dims(0).size(), "the bias ", c.input(1), " does not fit ",
              c.input(0));
  c.output(0, c.input(0));
}
void infer_swiglu(InferContext& c) {
  require_types(c, 0, floats);
  c.require_same_dtype(0, 1);
  if (c.ranked(0) && c.ranked(1)) {
    c.require(c.rank(0) == c.rank(1), "the gate is ", c.input(0), ", the value ", c.input(1),
              "; expected equal shapes");
    for (int i = 0; i < c.rank(0); ++i) {
      const Dim &a = c.dims(0)[static_cast<size_t>(i)], &b = c.dims(1)[static_cast<size_t>(i)];
      c.require(!a.known() || !b.known() || a.size == b.size, "the gate is ", c.input(0), ", the value ", c.input(1),
                "; expected equal shapes");
    }
  }
  c.output(0, c.input(0));
}

// ---- derivatives of the gates at x
Value* slope_exact(Builder& c, Value* x) {  // Phi(x) + x phi(x)
  Value* phi = c.mul(c.emit("Exp", {c.mul(c.mul(x, x), c.like(x, -0.5))}), c.like(x, 0.3989422804014327));
  Value* erf = c.emit("Erf", {c.mul(x, c.like(x, 0.7071067811865476))});
  return c.add(c.add(c.mul(erf, c.like(x, 0.5)), c.like(x, 0.5)), c.mul(x, phi));
}
Value* slope_tanh(Builder& c, Value* x) {  // (1 + t)/2 + x (1 - t^2) k (1 + 3 c x^2)/2
  Value* square = c.mul(x, x);
  Value* t = c.emit("Tanh", {c.mul(c.mul(x, c.like(x, k)), c.add(c.mul(square, c.like(x, cubic)), c.like(x, 1)))});
  Value* inner = c.mul(c.add(c.mul(square, c.like(x, 3 * cubic)), c.like(x, 1)), c.like(x, k / 2));
  Value* rest = c.mul(c.mul(x, c.sub(c.like(x, 1), c.mul(t, t))), inner);
  return c.add(c.mul(c.add(t, c.like(x, 1)), c.like(x, 0.5)), rest);
}
Value* slope_swish(Builder& c, Value* x, double alpha) {  // s + alpha x s (1 - s)
  Value* scaled = alpha == 1 ? x : c.mul(x, c.like(x, alpha));
  Value* s = c.emit("Sigmoid", {scaled});
  return c.mul(s, c.add(c.mul(scaled, c.sub(c.like(x, 1), s)), c.like(x, 1)));
}

void gradient_gelu(GradientContext& c) {
  c.set(0, c.mul(c.grad(), approximate(c.attributes()) ? slope_tanh(c, c.in(0)) : slope_exact(c, c.in(0))));
}
void gradient_exact(GradientContext& c) { c.set(0, c.mul(c.grad(), slope_exact(c, c.in(0)))); }
void gradient_swish(GradientContext& c) {
  c.set(0, c.mul(c.grad(), slope_swish(c, c.in(0), c.attributes().real("alpha", 1))));
}
void gradient_quick(GradientContext& c) {
  c.set(0, c.mul(c.grad(), slope_swish(c, c.in(0), c.attributes().real("alpha", 1.702f))));
}
template <Value* (*slope)(Builder&, Value*)>
void gradient_biased(GradientContext& c) {
  Value* x = c.has(1) ? c.add(c.in(0), c.in(1)) : c.in(0);
  Value* gradient = c.mul(c.grad(), slope(c, x));
  if (c.wants(0)) c.set(0, gradient);
  if (c.has(1) && c.wants(1)) c.set(1, c.sum_to(gradient, c.in(1)));
}
void gradient_swiglu(GradientContext& c) {
  const double alpha = c.attributes().real("alpha", 1);
  if (c.wants(0)) c.set(0, c.mul(c.mul(c.grad(), c.in(1)), slope_swish(c, c.in(0), alpha)));
  if (c.wants(1)) c.set(1, c.mul(c.grad(), c.emit("Swish", {c.in(0)}, {{"alpha", static_cast<float>(alpha)}})));
}

Cost cost_gate(const CostContext& c) {
  const double n = c.count(*c.in(0));
  return {10 * n, 2 * n * bits(c.in(0)->dtype) / 8};
}

constexpr std::string_view any_range =
    "| f32[2,3,4](-4,4)\n| f64[5](-4,4)\n| f32[](-1,1)\n| f32[2,0,3]\n| f16[7](-2,2)";
constexpr std::string_view any_alpha =
    "| f32[2,3,4](-4,4)\nalpha=0.5 | f64[5](-4,4)\nalpha=1.702 | f32[3,300](-4,4)\n| f32[0]\n| bf16[7](-2,2)";
constexpr std::string_view biased =
    "| f32[2,3,4](-4,4) f32[4]\n| f64[5](-4,4) f64[5]\n| f32[2,0] f32[0]\n| f16[3,7](-2,2) f16[7]";
constexpr std::string_view ms = "com.microsoft";

}  // namespace

OUTPOST_DEFINE_OP(
    Gelu, .name = "Gelu", .since = 20, .first = 20, .doc = "x Phi(x), exactly or by tanh", .infer = infer_gelu,
    .run = run_gate, .gradient = gradient_gelu, .cost = cost_gate, .prepare = prepare_gelu, .in_place = {{0, 0}},
    .cases =
        "| f32[2,3,4](-4,4)\napproximate=\"tanh\" | f64[5](-4,4)\n| f64[5](-4,4)\n"
        "approximate=\"tanh\" | f32[7](-4,4)\n| f32[2,0]\n| f16[7](-2,2)");
OUTPOST_DEFINE_OP(Swish, .name = "Swish", .since = 24, .first = 24, .doc = "x sigmoid(alpha x)",
                  .infer = infer_unary<floats>, .run = run_gate, .gradient = gradient_swish, .cost = cost_gate,
                  .prepare = prepare_swish, .in_place = {{0, 0}}, .cases = any_alpha);
OUTPOST_DEFINE_OP(
    SwiGLU, .name = "SwiGLU", .since = 28, .first = 28, .min_inputs = 2, .max_inputs = 2, .doc = "Swish(a) b",
    .infer = infer_swiglu, .run = run_swiglu, .gradient = gradient_swiglu, .cost = cost_gate, .prepare = prepare_swish,
    .in_place = {{0, 0}, {1, 0}},
    .cases = "| f32[2,3,4](-4,4) f32[2,3,4]\nalpha=0.5 | f64[5](-4,4) f64[5]\n| f32[0] f32[0]\n| f16[7] f16[7]");
OUTPOST_DEFINE_OP(ms_Gelu, .name = "Gelu", .domain = ms, .doc = "x Phi(x)", .infer = infer_unary<floats>,
                  .run = run_gate, .gradient = gradient_exact, .cost = cost_gate, .prepare = prepare_exact,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(ms_QuickGelu, .name = "QuickGelu", .domain = ms, .doc = "x sigmoid(alpha x), alpha 1.702",
                  .infer = infer_unary<floats>, .run = run_gate, .gradient = gradient_quick, .cost = cost_gate,
                  .prepare = prepare_quick, .in_place = {{0, 0}}, .cases = any_alpha);
OUTPOST_DEFINE_OP(ms_FastGelu, .name = "FastGelu", .domain = ms, .max_inputs = 2, .doc = "Gelu by tanh, of x + bias",
                  .infer = infer_biased, .run = run_fast, .gradient = gradient_biased<slope_tanh>, .cost = cost_gate,
                  .prepare = prepare_fast, .in_place = {{0, 0}},
                  .cases = "| f32[2,3,4](-4,4)\n| f32[2,3,4](-4,4) f32[4]\n| f64[2,3] f64[3]\n| f32[2,0] f32[0]");
OUTPOST_DEFINE_OP(ms_BiasGelu, .name = "BiasGelu", .domain = ms, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Gelu of x + bias", .infer = infer_biased, .run = run_biased,
                  .gradient = gradient_biased<slope_exact>, .cost = cost_gate, .in_place = {{0, 0}}, .cases = biased);

}  // namespace outpost
