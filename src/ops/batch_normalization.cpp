// BatchNormalization: per channel, y = (x - mean) / sqrt(var + epsilon) * scale + bias. Inference uses the given
// statistics; training mode those of the batch, and blends them into the running ones. Older opsets said training by
// their outputs.
// Source: ONNX BatchNormalization-15.
#include "ops/staging.h"

#include <algorithm>

namespace outpost {
namespace {

struct Prepared {
  float epsilon, momentum;
  bool training;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const Attributes& a = c.attributes();
  return std::make_shared<Prepared>(
      Prepared{a.real("epsilon", 1e-5f), a.real("momentum", 0.9f), a.integer("training_mode", 0) != 0});
}

void infer(InferContext& c) {
  for (int i = 0; i < 5; ++i) c.require_dtype(i, {DType::f32, DType::f64, DType::f16, DType::bf16});
  Dim channels;
  for (int i = 1; i < 5; ++i) {
    if (!c.ranked(i)) continue;
    c.require(c.rank(i) == 1, "input ", i, " must have one value per channel; found ", c.input(i));
    if (channels.known() && c.dims(i)[0].known())
      c.require(channels.size == c.dims(i)[0].size, "inputs 1 to 4 differ in size: ", channels.size, " and ",
                c.input(i));
    if (c.dims(i)[0].known()) channels = c.dims(i)[0];
  }
  if (c.ranked(0)) {
    c.require(c.rank(0) >= 1, "X must have a batch axis");
    const Dim x = c.rank(0) > 1 ? c.dims(0)[1] : Dim(1);
    c.require(!x.known() || !channels.known() || x.size == channels.size, "X ", c.input(0), " has ", x.size,
              " channels; scale has ", channels.size);
  }
  c.output(0, c.input(0));
  for (int i : {1, 2})
    if (c.wants(i)) c.output(i, c.dtype(i + 2), Dims{channels});
}

// spatial = 0 normalised every element of a sample on its own: written out.
void upgrade_elementwise(UpgradeContext& c) {
  Value* x = c.in(0);
  Value* epsilon = c.like(x, c.attributes().real("epsilon", 1e-5f));
  Value* deviation = c.emit("Sqrt", {c.add(c.in(4), epsilon)});
  c.replace(0, c.add(c.mul(c.div(c.sub(x, c.in(3)), deviation), c.in(1)), c.in(2)));
}

void upgrade(UpgradeContext& c) {
  if (c.from >= 14) return;
  if (c.from < 9 && c.attributes().integer("spatial", 1) == 0) return upgrade_elementwise(c);
  for (const char* name : {"spatial", "is_test", "consumed_inputs"}) c.node.attributes.erase(name);
  if (c.wants(1) || c.wants(2)) c.node.attributes.set("training_mode", int64_t{1});
  for (int i : {4, 3}) {  // the saved statistics are gone
    if (c.wants(i)) fail(ErrorCode::unsupported, c.node.label(), ": output ", i, " (saved statistics) is used");
    if (c.node.output(i)) c.graph().drop_output(&c.node, i);
  }
}

struct Channels {
  int64_t batch, channels, inner;
  explicit Channels(const Shape& x)
      : batch(x[0]), channels(x.rank() > 1 ? x[1] : 1), inner(x.rank() > 2 ? x.count(2, x.rank()) : 1) {}
};

constexpr int64_t block = 4096;

// Scratch: factor and offset per channel | for each thread a block of x.
size_t scratch(const ScratchContext& c) {
  const size_t element = c.in(0).dtype == DType::f64 ? 8 : 4;
  const size_t channel = slice_bytes(static_cast<size_t>(Channels(c.in(0).shape()).channels) * element);
  return 2 * channel + static_cast<size_t>(c.threads) * block * element;
}

void apply(const float* x, float factor, float offset, float* y, int64_t n) {
  kernels::kernels().multiply_add(x, factor, offset, y, n);
}
void apply(const double* x, double factor, double offset, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor + offset;
}

// sum((x - shift)^power) over n values, power 1 or 2; x may be overwritten.
double sum_from(const float* x, float shift, int power, float* buffer, int64_t n) {
  const kernels::Kernels& k = kernels::kernels();
  float total;
  k.multiply_add(x, 1, -shift, buffer, n);
  k.reduce_rows[int(power == 1 ? kernels::Reduce::sum : kernels::Reduce::sum_square)](buffer, 1, n, n, &total);
  return total;
}
double sum_from(const double* x, double shift, int power, double*, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += power == 1 ? x[i] - shift : (x[i] - shift) * (x[i] - shift);
  return total;
}

template <class T>
T value_at(const View& v, int64_t i) {
  T value;
  return *read<T>(v, i, 1, &value);
}

// Mean of (x - shift)^power over the batch and the inner axes of one channel.
template <class T>
double channel_mean(const View& x, const Channels& s, int64_t channel, T shift, int power, T* buffer) {
  double total = 0;
  for (int64_t n = 0; n < s.batch; ++n) {
    const int64_t first = (n * s.channels + channel) * s.inner;
    for (int64_t i = 0; i < s.inner; i += block) {
      const int64_t m = std::min(block, s.inner - i);
      total += sum_from(read<T>(x, first + i, m, buffer), shift, power, buffer, m);
    }
  }
  return total / static_cast<double>(s.batch * s.inner);
}

template <class T>
struct Norm {
  const RunContext& c;
  const Prepared& p;
  Channels shape;
  T *factor, *offset, *stages;

  T* stage() const { return stages + RunContext::worker() * block; }

  void set_channel(int64_t i, double mean, double variance) const {
    const auto scale = static_cast<double>(value_at<T>(c.in(1), i));
    const auto bias = static_cast<double>(value_at<T>(c.in(2), i));
    const double f = scale / std::sqrt(variance + static_cast<double>(p.epsilon));
    factor[i] = static_cast<T>(f);
    offset[i] = static_cast<T>(bias - mean * f);
  }

  void given_statistics() const {
    for (int64_t i = 0; i < shape.channels; ++i)
      set_channel(i, static_cast<double>(value_at<T>(c.in(3), i)), static_cast<double>(value_at<T>(c.in(4), i)));
  }

  void batch_statistics() const {
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, shape.batch * shape.inner));
    c.parallel_ranges(shape.channels, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double mean = channel_mean<T>(c.in(0), shape, i, T{0}, 1, stage());
        const double variance = channel_mean<T>(c.in(0), shape, i, static_cast<T>(mean), 2, stage());
        set_channel(i, mean, variance);
        blend(1, i, mean);
        blend(2, i, variance);
      }
    });
  }

  void blend(int output, int64_t i, double current) const {
    if (!c.wants(output)) return;
    const double old = static_cast<double>(value_at<T>(c.in(output + 2), i)), m = static_cast<double>(p.momentum);
    const double value = old * m + current * (1 - m);
    store(DType::f64, &value, 1, c.out(output).dtype, c.out(output).data, i);
  }

  void apply_planes() const {
    const View &x = c.in(0), &y = c.out(0);
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / shape.inner);
    c.parallel_ranges(shape.batch * shape.channels, grain, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane)
        for (int64_t i = 0; i < shape.inner; i += block) {
          const int64_t first = plane * shape.inner + i, n = std::min(block, shape.inner - i);
          T* to = target<T>(y, first, stage());
          apply(read<T>(x, first, n, stage()), factor[plane % shape.channels], offset[plane % shape.channels], to, n);
          write<T>(y, first, n, to);
        }
    });
  }

  void run() const {
    if (p.training) batch_statistics();
    else given_statistics();
    if (c.out(0).count() > 0) apply_planes();
  }
};

template <class T>
void run_as(RunContext& c) {
  const Channels shape(c.in(0).shape());
  const size_t channel = slice_bytes(static_cast<size_t>(shape.channels) * sizeof(T));
  char* memory = c.scratch<char>();
  Norm<T>{c, c.prepared<Prepared>(), shape, reinterpret_cast<T*>(memory), reinterpret_cast<T*>(memory + channel),
          reinterpret_cast<T*>(memory + 2 * channel)}.run();
}

void run(RunContext& c) {
  if (c.in(0).dtype == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

Cost cost(const CostContext& c) { return {2 * c.count(*c.in(0)), 2 * c.count(*c.in(0)) * bits(c.in(0)->dtype) / 8}; }

// With n = (x - mean) r: dscale = sum(dY n), dbias = sum(dY), and dX = scale r dY, in training minus the parts that
// move the statistics: scale r (dY - mean(dY) - n mean(dY n)).
void gradient(GradientContext& c) {
  Value *x = c.in(0), *dy = c.grad();
  if (!dy) return;
  if (!x->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
  const bool training = c.attributes().integer("training_mode", 0) != 0;
  std::vector<int64_t> axes{0}, others;
  for (int64_t i = 2; i < x->type.rank(); ++i) axes.push_back(i), others.push_back(i - 1);
  auto wide = [&](Value* v) { return others.empty() ? v : c.emit("Unsqueeze", {v, c.integers(others)}); };
  auto sum = [&](Value* v) { return c.emit("ReduceSum", {v, c.integers(axes)}, {{"keepdims", int64_t{0}}}); };
  auto mean_of = [&](Value* v) { return c.emit("ReduceMean", {v, c.integers(axes)}); };
  Value* epsilon = c.like(x, c.attributes().real("epsilon", 1e-5f));
  Value* centred = c.sub(x, training ? mean_of(x) : wide(c.in(3)));
  Value* variance = training ? mean_of(c.mul(centred, centred)) : wide(c.in(4));
  Value* r = c.emit("Reciprocal", {c.emit("Sqrt", {c.add(variance, epsilon)})});
  Value* n = c.mul(centred, r);
  if (c.wants(0)) {
    Value* g = training ? c.sub(c.sub(dy, mean_of(dy)), c.mul(n, mean_of(c.mul(dy, n)))) : dy;
    c.set(0, c.mul(g, c.mul(wide(c.in(1)), r)));
  }
  if (c.wants(1)) c.set(1, sum(c.mul(dy, n)));
  if (c.wants(2)) c.set(2, sum(dy));
  if (training) return;
  if (c.wants(3)) c.set(3, c.neg(sum(c.mul(dy, c.mul(wide(c.in(1)), r)))));
  if (c.wants(4)) {  // d r / d var = -r³ / 2
    Value* factor = c.mul(c.mul(wide(c.in(1)), c.mul(r, r)), c.like(x, -0.5));
    c.set(4, sum(c.mul(c.mul(dy, n), factor)));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(BatchNormalization, .name = "BatchNormalization", .since = 15, .min_inputs = 5, .max_inputs = 5,
                  .max_outputs = 5, .doc = "Channels to given or batch statistics, then scale and bias",
                  .infer = infer, .run = run, .upgrade = upgrade, .gradient = gradient, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}}, .cases = R"(
  | f32[2,3,4,5] f32[3] f32[3] f32[3] f32[3](0.5,2)
  epsilon=0.1 | f32[2,3] f32[3] f32[3] f32[3] f32[3](0.5,2)
  training_mode=1 | f32[3,2,5] f32[2] f32[2] f32[2] f32[2](0.5,2) | 3
  training_mode=1 | f32[2,3,4] f32[3] f32[3] f32[3] f32[3](0.5,2)
  | f32[0,3,4] f32[3] f32[3] f32[3] f32[3](0.5,2)
)");

}  // namespace outpost
