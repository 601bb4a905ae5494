// Softmax, LogSoftmax and Hardmax along one axis. Before opset 13 they worked on a matrix that the axis split, written
// here as Flatten, the operator, Reshape. Source: ONNX Softmax-13, LogSoftmax-13, Hardmax-13.
#include "ops/rows.h"

namespace outpost {
namespace {

using kernels::kernels;

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", -1), c.rank(0));
  c.output(0, c.input(0));
}

void upgrade(UpgradeContext& c) {
  if (c.from >= 13) return;
  const int64_t axis = c.attributes().integer("axis", 1);
  const Type& x = c.in(0)->type;
  if (axis == -1 || (x.ranked && axis == x.rank() - 1)) return c.node.attributes.set("axis", int64_t{-1});
  Value* flat = c.emit("Flatten", {c.in(0)}, {{"axis", axis}});
  Value* y = c.emit(c.node.op, {flat}, {{"axis", int64_t{-1}}});
  c.replace(0, c.emit("Reshape", {y, c.emit("Shape", {c.in(0)})}, {{"allowzero", int64_t{1}}}));
}

struct Prepared {
  int64_t axis;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{c.attributes().integer("axis", -1)});
}

AxisView view(const View& x, const Prepared& p) { return AxisView(x.shape(), wrap_axis(p.axis, x.rank())); }

size_t scratch(const ScratchContext& c) {
  return axis_scratch_bytes(c.in(0).dtype, view(c.in(0), *static_cast<const Prepared*>(c.prepared)), c.threads);
}

// ---- the lines

template <bool Log>
void softmax_line(const double* x, double* y, int64_t length, int64_t stride) {
  double m = -std::numeric_limits<double>::infinity(), total = 0;
  for (int64_t i = 0; i < length; ++i) m = x[i * stride] > m || std::isnan(x[i * stride]) ? x[i * stride] : m;
  for (int64_t i = 0; i < length; ++i) {
    const double e = std::exp(x[i * stride] - m);
    total += e;
    y[i * stride] = Log ? x[i * stride] - m : e;
  }
  for (int64_t i = 0; i < length; ++i) y[i * stride] = Log ? y[i * stride] - std::log(total) : y[i * stride] / total;
}

template <class T>
void hardmax_line(const T* x, T* y, int64_t length, int64_t stride) {
  int64_t best = 0;
  for (int64_t i = 1; i < length; ++i)
    if (x[i * stride] > x[best * stride]) best = i;
  for (int64_t i = 0; i < length; ++i) y[i * stride] = static_cast<T>(i == best);
}

void softmax_rows(const float* x, float* y, int64_t rows, int64_t columns) {
  kernels().softmax_rows(x, y, rows, columns);
}
void log_softmax_rows(const float* x, float* y, int64_t rows, int64_t columns) {
  kernels().log_softmax_rows(x, y, rows, columns);
}
void hardmax_rows(const float* x, float* y, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) hardmax_line(x + i * columns, y + i * columns, columns, 1);
}
void softmax_columns(const float* x, float* y, int64_t length, int64_t columns, int64_t stride) {
  kernels().softmax_columns(x, y, length, columns, stride);
}
void log_softmax_columns(const float* x, float* y, int64_t length, int64_t columns, int64_t stride) {
  kernels().log_softmax_columns(x, y, length, columns, stride);
}
void hardmax_columns(const float* x, float* y, int64_t length, int64_t columns, int64_t stride) {
  for (int64_t j = 0; j < columns; ++j) hardmax_line(x + j, y + j, length, stride);
}

constexpr AxisFunction softmax{softmax_rows, softmax_columns, softmax_line<false>};
constexpr AxisFunction log_softmax{log_softmax_rows, log_softmax_columns, softmax_line<true>};
constexpr AxisFunction hardmax{hardmax_rows, hardmax_columns, hardmax_line<double>};

template <const AxisFunction& F>
void run(RunContext& c) { run_along_axis(c, F, c.in(0), c.out(0), view(c.in(0), c.prepared<Prepared>())); }

// About 8 operations an element: subtract, exp, add, divide.
Cost cost(const CostContext& c) { return {8 * c.count(*c.in(0)), 2 * c.count(*c.in(0)) * bits(c.in(0)->dtype) / 8}; }

Value* sum_along(GradientContext& c, Value* v) {
  return c.emit("ReduceSum", {v, c.integers({c.attributes().integer("axis", -1)})});
}

// dX = y (dY - sum(dY y))
void gradient_softmax(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value *y = c.out(0), *dy = c.grad();
  c.set(0, c.mul(y, c.sub(dy, sum_along(c, c.mul(dy, y)))));
}

// dX = dY - exp(y) sum(dY)
void gradient_log_softmax(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  c.set(0, c.sub(c.grad(), c.mul(c.emit("Exp", {c.out(0)}), sum_along(c, c.grad()))));
}

constexpr std::string_view axis_cases = R"(
  | f32[2,3,17]
  axis=1 | f32[2,5,3]
  axis=0 | f32[7]
  axis=-2 | f32[2,3,70]
  axis=-1 | f32[3,1]
  axis=1 | f32[2,0,3]
)";

}  // namespace

OUTPOST_DEFINE_OP(Softmax, .name = "Softmax", .since = 13, .doc = "exp(x) / sum(exp(x)) along an axis", .infer = infer,
                  .run = run<softmax>, .upgrade = upgrade, .gradient = gradient_softmax, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}}, .cases = axis_cases);
OUTPOST_DEFINE_OP(LogSoftmax, .name = "LogSoftmax", .since = 13, .doc = "log(softmax(x)) along an axis", .infer = infer,
                  .run = run<log_softmax>, .upgrade = upgrade, .gradient = gradient_log_softmax, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}}, .cases = axis_cases);
OUTPOST_DEFINE_OP(Hardmax, .name = "Hardmax", .since = 13, .doc = "1 at the first largest value of an axis, else 0",
                  .infer = infer, .run = run<hardmax>, .upgrade = upgrade, .no_gradient = "piecewise constant",
                  .prepare = prepare, .scratch = scratch, .cases = axis_cases);

}  // namespace outpost
