// LayerNormalization and RMSNormalization over the axes from `axis` on; SimplifiedLayerNormalization is the latter
// under ONNX Runtime's name. Statistics are two-pass, in f32 (f64 for f64), whatever the storage type.
// Source: ONNX LayerNormalization-17, RMSNormalization-23; onnxruntime ContribOperators.md.
#include "ops/rows.h"

namespace outpost {
namespace {

struct Prepared {
  int64_t axis;
  float epsilon;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const Attributes& a = c.attributes();
  return std::make_shared<Prepared>(Prepared{a.integer("axis", -1), a.real("epsilon", 1e-5f)});
}

DType stash_type(const Attributes& a) {
  switch (a.integer("stash_type", 1)) {
    case 10: return DType::f16;
    case 11: return DType::f64;
    case 16: return DType::bf16;
    default: return DType::f32;
  }
}

// The statistics: X's leading axes, then ones.
void infer_statistics(InferContext& c, int output) {
  if (!c.wants(output)) return;
  if (!c.ranked(0)) return c.output(output, stash_type(c.attributes()));
  Dims out = c.dims(0);
  const int axis = c.axis(c.attributes().integer("axis", -1), c.rank(0));
  for (size_t i = static_cast<size_t>(axis); i < out.size(); ++i) out[i] = 1;
  c.output(output, stash_type(c.attributes()), std::move(out));
}

// `parameter` must fit the normalised axes: broadcast to them, or one value.
void check_parameter(const InferContext& c, int parameter) {
  if (!c.has(parameter) || !c.ranked(parameter) || !c.ranked(0)) return;
  const Dims &p = c.dims(parameter), &x = c.dims(0);
  bool fits = p.size() <= x.size();
  for (size_t i = 0; fits && i < p.size(); ++i) {
    const Dim a = p[p.size() - 1 - i], b = x[x.size() - 1 - i];
    fits = !a.known() || !b.known() || a.size == 1 || a.size == b.size;
  }
  c.require(fits, "input ", parameter, " ", c.input(parameter), " does not broadcast to X ", c.input(0));
}

// X's type, or the scale's where they differ: RMSNormalization says so, and ONNX Runtime's older forms do the same.
Type normalised_type(const InferContext& c) {
  Type y = c.input(0);
  if (c.dtype(1) != DType::undefined) y.dtype = c.dtype(1);
  return y;
}

void infer_layer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", -1), c.rank(0));
  check_parameter(c, 1);
  check_parameter(c, 2);
  c.output(0, normalised_type(c));
  infer_statistics(c, 1);
  infer_statistics(c, 2);
}

void infer_rms(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", -1), c.rank(0));
  check_parameter(c, 1);
  c.output(0, normalised_type(c));
  infer_statistics(c, 1);
}

AxisView rows_of(const View& x, const Prepared& p) {
  return AxisView(x.shape(), wrap_axis(p.axis, x.rank()), x.rank());
}

// A parameter that varies along the row only, in the compute type: a whole row. `row` is scratch for `columns` values.
template <class T>
const T* row_parameter(const View& v, int64_t columns, T* row) {
  if (v.count() == columns) return read<T>(v, 0, columns, row);
  T value;
  value = *read<T>(v, 0, 1, &value);
  std::fill(row, row + columns, value);
  return row;
}

// Broadcasts v against x element by element: for the rare parameter that varies in other ways than along the row.
template <class T, class F>
void apply_broadcast(const View& v, const Shape& x, int64_t first, int64_t count, F&& f) {
  const int shift = x.rank() - v.rank();
  for (int64_t i = first; i < first + count; ++i) {
    int64_t rest = i, offset = 0, stride = 1;
    for (int axis = x.rank() - 1; axis >= shift; --axis) {
      if (v.dim(axis - shift) != 1) offset += rest % x[axis] * stride;
      stride *= v.dim(axis - shift);
      rest /= x[axis];
    }
    T value;
    f(i - first, *read<T>(v, offset, 1, &value));
  }
}

bool along_row(const View& v, const Shape& x, int axis) {
  const int shift = x.rank() - v.rank();
  if (v.count() == 1) return true;
  for (int i = 0; i < v.rank(); ++i)
    if (i + shift < axis ? v.dim(i) != 1 : v.dim(i) != x[i + shift]) return false;
  return shift <= axis;
}

// Scratch: rows of scale and bias | statistics in the compute type | staging for each thread.
struct Layout {
  size_t parameter, statistics, stage;
  Layout(DType x, DType y, const AxisView& a) {
    const size_t element = x == DType::f64 ? 8 : 4;
    parameter = slice_bytes(static_cast<size_t>(a.length) * element);
    statistics = slice_bytes(static_cast<size_t>(a.outer) * element);
    stage = row_stage_bytes(x, y, a.length);
  }
  size_t total(int threads) const { return 2 * parameter + 2 * statistics + stage * static_cast<size_t>(threads); }
};

size_t scratch(const ScratchContext& c) {
  const AxisView a = rows_of(c.in(0), *static_cast<const Prepared*>(c.prepared));
  return Layout(c.in(0).dtype, c.out(0).dtype, a).total(c.threads);
}

struct RowNorm {
  bool centred;  // subtract the mean: layer normalisation
  float epsilon;
};

void normalise(const RowNorm& n, const float* x, const float* scale, const float* bias, float* y, float* mean,
               float* inverse, int64_t rows, int64_t columns) {
  const kernels::Kernels& k = kernels::kernels();
  if (n.centred) k.layer_norm_rows(x, scale, bias, n.epsilon, y, mean, inverse, rows, columns);
  else k.rms_norm_rows(x, scale, n.epsilon, y, inverse, rows, columns);
}

void normalise(const RowNorm& n, const double* x, const double* scale, const double* bias, double* y, double* mean,
               double* inverse, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i, x += columns, y += columns) {
    double m = 0, square = 0;
    if (n.centred) {
      for (int64_t j = 0; j < columns; ++j) m += x[j];
      m /= static_cast<double>(columns);
    }
    for (int64_t j = 0; j < columns; ++j) square += (x[j] - m) * (x[j] - m);
    const double r = 1 / std::sqrt(square / static_cast<double>(columns) + static_cast<double>(n.epsilon));
    for (int64_t j = 0; j < columns; ++j) y[j] = (x[j] - m) * r * (scale ? scale[j] : 1) + (bias ? bias[j] : 0);
    if (mean) mean[i] = m;
    if (inverse) inverse[i] = r;
  }
}

// Outputs 1.. : (mean, inverse deviation), or the inverse alone where it is not centred.
template <class T>
void run_as(RunContext& c, RowNorm norm) {
  const View &x = c.in(0), &y = c.out(0);
  const Prepared& p = c.prepared<Prepared>();
  const AxisView a = rows_of(x, p);
  const int axis = wrap_axis(p.axis, x.rank());
  const Layout l(x.dtype, y.dtype, a);
  norm.epsilon = p.epsilon;
  char* memory = c.scratch<char>();
  T *scale_row = reinterpret_cast<T*>(memory), *bias_row = reinterpret_cast<T*>(memory + l.parameter);
  const bool simple = along_row(c.in(1), x.shape(), axis) && (!c.has(2) || along_row(c.in(2), x.shape(), axis));
  const T* scale = simple ? row_parameter<T>(c.in(1), a.length, scale_row) : nullptr;
  const T* bias = simple && c.has(2) ? row_parameter<T>(c.in(2), a.length, bias_row) : nullptr;
  memory += 2 * l.parameter;
  const int mean_output = norm.centred ? 1 : -1, inverse_output = norm.centred ? 2 : 1;
  T* mean = norm.centred && c.wants(mean_output) ? reinterpret_cast<T*>(memory) : nullptr;
  T* inverse = c.wants(inverse_output) ? reinterpret_cast<T*>(memory + l.statistics) : nullptr;
  void* stages = memory + 2 * l.statistics;
  for_rows<T>(c, x, y, a.outer, a.length, stages, [&](const T* from, T* to, int64_t row, int64_t rows) {
    T *row_mean = mean ? mean + row : nullptr, *row_inverse = inverse ? inverse + row : nullptr;
    normalise(norm, from, scale, bias, to, row_mean, row_inverse, rows, a.length);
    if (simple) return;
    const int64_t first = row * a.length, count = rows * a.length;
    apply_broadcast<T>(c.in(1), x.shape(), first, count, [&](int64_t i, T v) { to[i] *= v; });
    if (c.has(2)) apply_broadcast<T>(c.in(2), x.shape(), first, count, [&](int64_t i, T v) { to[i] += v; });
  });
  if (mean) convert(dtype_of<T>(), mean, c.out(mean_output).dtype, c.out(mean_output).data, a.outer);
  if (inverse) convert(dtype_of<T>(), inverse, c.out(inverse_output).dtype, c.out(inverse_output).data, a.outer);
}

template <bool Centred>
void run(RunContext& c) {
  if (c.in(0).count() == 0) {  // statistics of empty rows
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (int i = 1; i < c.outputs(); ++i)
      for (int64_t j = 0; c.wants(i) && j < c.out(i).count(); ++j)
        store(DType::f32, &nan, 1, c.out(i).dtype, c.out(i).data, j);
    return;
  }
  if (c.in(0).dtype == DType::f64) run_as<double>(c, {Centred, 0});
  else run_as<float>(c, {Centred, 0});
}

Cost cost(const CostContext& c) { return {8 * c.count(*c.in(0)), 2 * c.count(*c.in(0)) * bits(c.in(0)->dtype) / 8}; }

// With n = (x - mean) r and g = dY scale: dX = r (g - mean(g) - n mean(g n)); without centring mean(g) stays out.
template <bool Centred>
void gradient(GradientContext& c) {
  Value *x = c.in(0), *dy = c.grad();
  if (!dy) return;
  if (!x->type.ranked || x->type.dtype != c.in(1)->type.dtype)
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank and one type");
  const int64_t first = c.attributes().integer("axis", -1);
  std::vector<int64_t> axes;
  for (int64_t i = first < 0 ? first + x->type.rank() : first; i < x->type.rank(); ++i) axes.push_back(i);
  auto mean = [&](Value* v) { return c.emit("ReduceMean", {v, c.integers(axes)}); };
  Value* centred = Centred ? c.sub(x, mean(x)) : x;
  Value* variance = c.add(mean(c.mul(centred, centred)), c.like(x, c.attributes().real("epsilon", 1e-5f)));
  Value* r = c.emit("Reciprocal", {c.emit("Sqrt", {variance})});
  Value* n = c.mul(centred, r);
  if (c.wants(0)) {
    Value* g = c.mul(dy, c.in(1));
    Value* rest = c.sub(g, c.mul(n, mean(c.mul(g, n))));
    if (Centred) rest = c.sub(rest, mean(g));
    c.set(0, c.mul(rest, r));
  }
  if (c.wants(1)) c.set(1, c.reshape_like(c.sum_to(c.mul(dy, n), c.in(1)), c.in(1)));
  if (c.wants(2)) c.set(2, c.reshape_like(c.sum_to(dy, c.in(2)), c.in(2)));
}

constexpr std::string_view layer_cases = R"(
  | f32[2,3,8] f32[8] f32[8]
  axis=1 epsilon=0.1 | f32[2,3,4] f32[3,4]
  axis=0 | f32[3,4] f32[3,4] f32[3,4]
  axis=-2 | f32[2,3,35] f32[3,35] f32[3,35]
  | f32[0,3,8] f32[8] f32[8]
  axis=1 | f32[2,3,4] f32[3,4] f32[3,4] | 3
)";
constexpr std::string_view rms_cases = R"(
  | f32[2,3,8] f32[8]
  axis=1 epsilon=0.1 | f32[2,3,4] f32[3,4]
  axis=-2 | f32[2,3,35] f32[35]
  | f32[4,8] f32[4,1]
)";

}  // namespace

OUTPOST_DEFINE_OP(LayerNormalization, .name = "LayerNormalization", .since = 17, .first = 1, .min_inputs = 2,
                  .max_inputs = 3, .max_outputs = 3, .doc = "Rows to mean 0 and variance 1, then scale and bias",
                  .infer = infer_layer, .run = run<true>, .gradient = gradient<true>, .cost = cost, .prepare = prepare,
                  .scratch = scratch, .in_place = {{0, 0}}, .cases = layer_cases);
OUTPOST_DEFINE_OP(RMSNormalization, .name = "RMSNormalization", .since = 23, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Rows to root mean square 1, then scale", .infer = infer_rms, .run = run<false>,
                  .gradient = gradient<false>, .cost = cost, .prepare = prepare, .scratch = scratch,
                  .in_place = {{0, 0}}, .cases = rms_cases);
OUTPOST_DEFINE_OP(SimplifiedLayerNormalization, .name = "SimplifiedLayerNormalization", .min_inputs = 2,
                  .max_inputs = 2, .max_outputs = 2, .doc = "RMSNormalization under ONNX Runtime's name",
                  .infer = infer_rms, .run = run<false>, .gradient = gradient<false>, .cost = cost, .prepare = prepare,
                  .scratch = scratch, .in_place = {{0, 0}}, .cases = rms_cases);
OUTPOST_DEFINE_OP(ms_SimplifiedLayerNormalization, .name = "SimplifiedLayerNormalization", .domain = "com.microsoft",
                  .min_inputs = 2, .max_inputs = 2, .max_outputs = 2,
                  .doc = "RMSNormalization under ONNX Runtime's name", .infer = infer_rms, .run = run<false>,
                  .gradient = gradient<false>, .cost = cost, .prepare = prepare, .scratch = scratch,
                  .in_place = {{0, 0}}, .cases = rms_cases);

}  // namespace outpost
