// InstanceNormalization and GroupNormalization: planes (one channel, or a group of channels, of one sample) to mean 0
// and variance 1, then a scale and bias per channel. GroupNormalization-18 had them per group, recognised by size.
// Source: ONNX InstanceNormalization-22, GroupNormalization-21.
#include "ops/rows.h"

namespace outpost {
namespace {

struct Prepared {
  int64_t groups;  // 0: one for each channel
  float epsilon;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(
      Prepared{c.attributes().integer("num_groups", 0), c.attributes().real("epsilon", 1e-5f)});
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  const int64_t groups = c.attributes().integer("num_groups", 0);
  c.require(groups >= 0 && (groups > 0 || c.node().op != "GroupNormalization"), "num_groups must be 1 or more");
  if (c.ranked(0)) {
    c.require(c.rank(0) >= 2, "X must be (batch, channels, ...); found ", c.input(0));
    const Dim channels = c.dims(0)[1];
    c.require(groups == 0 || !channels.known() || channels.size % groups == 0, channels.size,
              " channels do not divide into ", groups, " groups");
    for (int i : {1, 2}) {
      if (!c.ranked(i)) continue;
      c.require(c.rank(i) == 1, "input ", i, " must be a vector; found ", c.input(i));
      const Dim n = c.dims(i)[0];
      c.require(!n.known() || !channels.known() || n.size == channels.size || n.size == groups, "input ", i, " has ",
                n.size, " values; expected one for each of ", channels.size, " channels");
    }
  }
  c.output(0, c.input(0));
}

struct Planes {
  int64_t rows, length, groups, channels, inner;
  Planes(const Shape& x, const Prepared& p) {
    channels = x[1], inner = x.count(2, x.rank());
    groups = p.groups > 0 ? p.groups : channels;
    rows = x[0] * groups;
    length = groups > 0 ? channels / groups * inner : 0;
  }
};

size_t parameter_bytes(const View& x) {
  return slice_bytes(static_cast<size_t>(x.dim(1)) * (x.dtype == DType::f64 ? 8 : 4));
}

size_t scratch(const ScratchContext& c) {
  const View& x = c.in(0);
  const Planes s(x.shape(), *static_cast<const Prepared*>(c.prepared));
  return 2 * parameter_bytes(x) + row_stage_bytes(x.dtype, x.dtype, s.length) * static_cast<size_t>(c.threads);
}

void normalise(const float* x, float* y, int64_t n, float epsilon) {
  kernels::kernels().layer_norm_rows(x, nullptr, nullptr, epsilon, y, nullptr, nullptr, 1, n);
}
void normalise(const double* x, double* y, int64_t n, float epsilon) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n; ++i) mean += x[i];
  mean /= static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) square += (x[i] - mean) * (x[i] - mean);
  const double r = 1 / std::sqrt(square / static_cast<double>(n) + static_cast<double>(epsilon));
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * r;
}
void apply(float* y, float scale, float bias, int64_t n) { kernels::kernels().multiply_add(y, scale, bias, y, n); }
void apply(double* y, double scale, double bias, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] * scale + bias;
}

template <class T>
void run_as(RunContext& c) {
  const View& x = c.in(0);
  const Prepared& p = c.prepared<Prepared>();
  const Planes s(x.shape(), p);
  char* memory = c.scratch<char>();
  const T* scale = read<T>(c.in(1), 0, c.in(1).count(), reinterpret_cast<T*>(memory));
  const T* bias = read<T>(c.in(2), 0, c.in(2).count(), reinterpret_cast<T*>(memory + parameter_bytes(x)));
  const int64_t each = s.channels / s.groups;
  const int64_t scale_step = c.in(1).count() == s.channels ? 1 : each;
  const int64_t bias_step = c.in(2).count() == s.channels ? 1 : each;
  void* stages = memory + 2 * parameter_bytes(x);
  for_rows<T>(c, x, c.out(0), s.rows, s.length, stages, [&](const T* from, T* to, int64_t first, int64_t rows) {
    for (int64_t row = first; row < first + rows; ++row, from += s.length, to += s.length) {
      normalise(from, to, s.length, p.epsilon);
      for (int64_t i = 0; i < each; ++i) {
        const int64_t channel = row % s.groups * each + i;
        apply(to + i * s.inner, scale[channel / scale_step], bias[channel / bias_step], s.inner);
      }
    }
  });
}

void run(RunContext& c) {
  if (c.in(0).count() == 0) return;
  if (c.in(0).dtype == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

// On X as (batch, groups, rest), with n = (x - mean) r and g = dY scale: dX = r (g - mean(g) - n mean(g n)).
void gradient(GradientContext& c) {
  Value *x = c.in(0), *dy = c.grad();
  if (!dy) return;
  const int64_t groups = c.attributes().integer("num_groups", 0);
  const Type& scale_type = c.in(1)->type;
  if (!x->type.ranked || !scale_type.ranked)
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
  std::vector<int64_t> axes{0}, others;
  for (int64_t i = 2; i < x->type.rank(); ++i) axes.push_back(i), others.push_back(i - 1);
  auto wide = [&](Value* v) { return others.empty() ? v : c.emit("Unsqueeze", {v, c.integers(others)}); };
  auto rows = [&](Value* v) { return c.emit("Reshape", {v, c.integers({0, groups > 0 ? groups : 0, -1})}); };
  auto mean = [&](Value* v) { return c.emit("ReduceMean", {v, c.integers({-1})}); };
  Value* planes = rows(x);
  Value* centred = c.sub(planes, mean(planes));
  Value* variance = c.add(mean(c.mul(centred, centred)), c.like(x, c.attributes().real("epsilon", 1e-5f)));
  Value* r = c.emit("Reciprocal", {c.emit("Sqrt", {variance})});
  Value* n = c.mul(centred, r);
  if (c.wants(0)) {
    Value* g = rows(c.mul(dy, wide(c.in(1))));
    Value* rest = c.sub(c.sub(g, mean(g)), c.mul(n, mean(c.mul(g, n))));
    c.set(0, c.reshape_like(c.mul(rest, r), x));
  }
  auto sum = [&](Value* v) { return c.emit("ReduceSum", {v, c.integers(axes)}, {{"keepdims", int64_t{0}}}); };
  if (c.wants(1)) c.set(1, sum(c.mul(dy, c.reshape_like(n, x))));
  if (c.wants(2)) c.set(2, sum(dy));
}

Cost cost(const CostContext& c) { return {8 * c.count(*c.in(0)), 2 * c.count(*c.in(0)) * bits(c.in(0)->dtype) / 8}; }

void upgrade(UpgradeContext& c) { c.node.attributes.erase("consumed_inputs"); }

// A scale per group becomes one per channel: (groups) -> (groups, channels / groups) -> (channels).
void upgrade_group(UpgradeContext& c) {
  if (c.from >= 21) return;
  const int64_t groups = c.attributes().integer("num_groups", 1);
  Value* channels = c.emit("Shape", {c.in(0)}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
  Value* each = c.div(channels, c.integers({groups}));
  Value* shape = c.emit("Concat", {c.integers({1}), each}, {{"axis", int64_t{0}}});
  for (int i : {1, 2}) {
    Value* column = c.emit("Unsqueeze", {c.in(i), c.integers({1})});
    c.node.set_input(i, c.emit("Reshape", {c.emit("Expand", {column, shape}), c.integers({-1})}));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(InstanceNormalization, .name = "InstanceNormalization", .since = 22, .min_inputs = 3,
                  .max_inputs = 3, .doc = "Planes to mean 0 and variance 1, then scale and bias", .infer = infer,
                  .run = run, .upgrade = upgrade, .gradient = gradient, .cost = cost, .prepare = prepare,
                  .scratch = scratch, .in_place = {{0, 0}}, .cases = R"(
  | f32[2,3,4,5] f32[3] f32[3]
  epsilon=0.1 | f32[2,3,7] f32[3] f32[3]
  | f32[0,3,7] f32[3] f32[3]
)");
OUTPOST_DEFINE_OP(GroupNormalization, .name = "GroupNormalization", .since = 21, .first = 18, .min_inputs = 3,
                  .max_inputs = 3, .doc = "Groups of channels to mean 0 and variance 1, then scale and bias",
                  .infer = infer, .run = run, .upgrade = upgrade_group, .gradient = gradient, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}}, .cases = R"(
  num_groups=2 | f32[2,4,3,3] f32[4] f32[4]
  num_groups=3 epsilon=0.1 | f32[1,3,5] f32[3] f32[3]
  num_groups=1 | f32[2,4,2] f32[4] f32[4]
)");

}  // namespace outpost
