// Adam, Adagrad and Momentum (ai.onnx.preview.training 1): one step of an optimizer on any number of tensors. Inputs are
// the rate R, the count T, then the tensors in groups: all values, all gradients, all moments. Sums, products and
// roots are written as the specification's pseudo code has them, in the tensors' own type.
#include <cmath>

#include "ops/op.h"

namespace outpost {
namespace {

constexpr int64_t grain = 8192;

// `groups` per tensor among the inputs; outputs are the values, then the moments.
void infer(InferContext& c, int groups) {
  const int tensors = (c.inputs() - 2) / groups;
  c.require(c.inputs() >= 2 + groups && (c.inputs() - 2) % groups == 0, "has ", c.inputs(), " inputs; expected 2 and a multiple of ", groups);
  c.require(c.outputs() == tensors * (groups - 1), "has ", c.outputs(), " outputs; expected ", tensors * (groups - 1));
  c.require_dtype(0, {DType::f32, DType::f64});
  c.require_dtype(1, {DType::i64});
  for (int i : {0, 1})
    if (c.ranked(i))
      for (Dim d : c.dims(i)) c.require(!d.known() || d.size == 1, "input ", i, " is ", to_string(c.input(i)), "; expected a scalar");
  for (int t = 0; t < tensors; ++t) {
    const int x = 2 + t;
    c.require_dtype(x, {DType::f32, DType::f64});
    for (int g = 1; g < groups; ++g) {
      const int other = x + g * tensors;
      c.require_same_dtype(x, other);
      c.require(compatible(c.input(x), c.input(other)), "inputs ", x, " and ", other, " differ: ", to_string(c.input(x)), " and ", to_string(c.input(other)));
    }
    for (int g = 0; g < groups - 1; ++g) c.output(t + g * tensors, c.input(x));
  }
}

double rate(const RunContext& c) { return c.in(0).dtype == DType::f64 ? *c.in(0).as<double>() : *c.in(0).as<float>(); }
int64_t step_count(const RunContext& c) { return *c.in(1).as<int64_t>(); }
double real(const RunContext& c, const char* name, float fallback) { return c.attributes().real(name, fallback); }

// body(type tag, tensor) for every tensor, in its type.
template <class F>
void for_each_tensor(const RunContext& c, int groups, F body) {
  const int tensors = (c.inputs() - 2) / groups;
  for (int t = 0; t < tensors; ++t) {
    if (c.in(2 + t).dtype == DType::f64) body(double(), t, tensors);
    else body(float(), t, tensors);
  }
}

template <class T>
const T* input(const RunContext& c, int group, int t, int tensors) { return c.in(2 + group * tensors + t).as<T>(); }
template <class T>
T* output(const RunContext& c, int group, int t, int tensors) {
  return c.wants(group * tensors + t) ? c.out(group * tensors + t).as<T>() : nullptr;
}

void run_adam(RunContext& c) {
  const double alpha = real(c, "alpha", 0.9f), beta = real(c, "beta", 0.999f), count = static_cast<double>(step_count(c));
  const double adjusted = count > 0 ? rate(c) * std::sqrt(1 - std::pow(beta, count)) / (1 - std::pow(alpha, count)) : rate(c);
  for_each_tensor(c, 4, [&](auto tag, int t, int n) {
    using T = decltype(tag);
    const T *x = input<T>(c, 0, t, n), *g = input<T>(c, 1, t, n), *v = input<T>(c, 2, t, n), *h = input<T>(c, 3, t, n);
    T *x_new = output<T>(c, 0, t, n), *v_new = output<T>(c, 1, t, n), *h_new = output<T>(c, 2, t, n);
    const T a = T(alpha), b = T(beta), r = T(adjusted), norm = T(real(c, "norm_coefficient", 0)), post = T(1 - real(c, "norm_coefficient_post", 0)),
            epsilon = T(real(c, "epsilon", 1e-6f));
    c.parallel_ranges(c.in(2 + t).count(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T slope = norm * x[i] + g[i], mean = a * v[i] + (1 - a) * slope, square = b * h[i] + (1 - b) * slope * slope;
        if (x_new) x_new[i] = post * (x[i] - r * mean / (std::sqrt(square) + epsilon));
        if (v_new) v_new[i] = mean;
        if (h_new) h_new[i] = square;
      }
    });
  });
}

void run_adagrad(RunContext& c) {
  const double scaled = rate(c) / (1 + static_cast<double>(step_count(c)) * real(c, "decay_factor", 0));
  for_each_tensor(c, 3, [&](auto tag, int t, int n) {
    using T = decltype(tag);
    const T *x = input<T>(c, 0, t, n), *g = input<T>(c, 1, t, n), *h = input<T>(c, 2, t, n);
    T *x_new = output<T>(c, 0, t, n), *h_new = output<T>(c, 1, t, n);
    const T r = T(scaled), norm = T(real(c, "norm_coefficient", 0)), epsilon = T(real(c, "epsilon", 1e-6f));
    c.parallel_ranges(c.in(2 + t).count(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T slope = norm * x[i] + g[i], square = h[i] + slope * slope;
        if (x_new) x_new[i] = x[i] - r * slope / (std::sqrt(square) + epsilon);
        if (h_new) h_new[i] = square;
      }
    });
  });
}

void run_momentum(RunContext& c) {
  const bool nesterov = c.attributes().string("mode", "standard") == "nesterov";
  for_each_tensor(c, 3, [&](auto tag, int t, int n) {
    using T = decltype(tag);
    const T *x = input<T>(c, 0, t, n), *g = input<T>(c, 1, t, n), *v = input<T>(c, 2, t, n);
    T *x_new = output<T>(c, 0, t, n), *v_new = output<T>(c, 1, t, n);
    const T r = T(rate(c)), norm = T(real(c, "norm_coefficient", 0)), a = T(real(c, "alpha", 0)),
            b = T(step_count(c) > 0 ? real(c, "beta", 1) : 1);
    c.parallel_ranges(c.in(2 + t).count(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T slope = norm * x[i] + g[i], speed = a * v[i] + b * slope;
        if (x_new) x_new[i] = x[i] - r * (nesterov ? slope + a * speed : speed);
        if (v_new) v_new[i] = speed;
      }
    });
  });
}

void infer_adam(InferContext& c) { infer(c, 4); }
void infer_adagrad(InferContext& c) { infer(c, 3); }
void infer_momentum(InferContext& c) {
  const auto mode = c.attributes().string("mode", "standard");
  c.require(mode == "standard" || mode == "nesterov", "mode is '", mode, "'; expected standard or nesterov");
  infer(c, 3);
}

constexpr std::string_view why = "an optimizer's step is where gradients end";

}  // namespace

OUTPOST_DEFINE_OP(training_Adam, .name = "Adam", .domain = "ai.onnx.preview.training", .since = 1, .first = 1, .min_inputs = 6, .max_inputs = -1,
                  .min_outputs = 3, .max_outputs = -1, .doc = "one step of Adam", .infer = infer_adam, .run = run_adam, .no_gradient = why,
                  .cases = R"(alpha=0.9 norm_coefficient=0.01 | f32[](0,1) i64[]={3} f32[4,3] f32[4,3] f32[4,3] f32[4,3](0,1)
 | f32[1](0,1) i64[]={0} f32[0] f32[2] f32[0] f32[2] f32[0] f32[2] f32[0](0,1) f32[2](0,1) | 6)");

OUTPOST_DEFINE_OP(training_Adagrad, .name = "Adagrad", .domain = "ai.onnx.preview.training", .since = 1, .first = 1, .min_inputs = 5,
                  .max_inputs = -1, .min_outputs = 2, .max_outputs = -1, .doc = "one step of Adagrad", .infer = infer_adagrad,
                  .run = run_adagrad, .no_gradient = why,
                  .cases = R"(decay_factor=0.1 | f32[](0,1) i64[]={3} f32[4,3] f32[4,3] f32[4,3](0,1))");

OUTPOST_DEFINE_OP(training_Momentum, .name = "Momentum", .domain = "ai.onnx.preview.training", .since = 1, .first = 1, .min_inputs = 5,
                  .max_inputs = -1, .min_outputs = 2, .max_outputs = -1, .doc = "one step of gradient descent with momentum",
                  .infer = infer_momentum, .run = run_momentum, .no_gradient = why,
                  .cases = R"(mode="nesterov" alpha=0.9 beta=0.5 norm_coefficient=0.01 | f32[](0,1) i64[]={3} f32[4,3] f32[4,3] f32[4,3]
mode="standard" alpha=0.9 beta=0.5 norm_coefficient=0.0 | f32[](0,1) i64[]={0} f32[5] f32[5] f32[5])");

}  // namespace outpost
