// NegativeLogLikelihoodLoss (ONNX 22) and SoftmaxCrossEntropyLoss (ONNX 13): scores (batch, class, d1, …), one class
// index per position; the second is the first after a log-softmax over the classes, which it can also give out.
//   loss(p) = -weight(target(p)) logp(target(p), p);   mean = sum(loss) / sum(weight(target))
// Sums run in f64 in order, whatever the number of threads.
#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "ops/build.h"
#include "ops/carve.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { scores_input, target_input, weight_input };

struct Sizes {
  int64_t batch, classes, inner;
};

Sizes sizes(const View& x) { return {x.dim(0), x.dim(1), x.shape().count(2, x.rank())}; }

void infer(InferContext& c) {
  c.require_inputs(2, 3);
  c.require_dtype(scores_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_dtype(target_input, {DType::i32, DType::i64});
  c.require_same_dtype(scores_input, weight_input);
  const auto reduction = c.attributes().string("reduction", "mean");
  c.require(reduction == "mean" || reduction == "sum" || reduction == "none", "reduction is '", reduction, "'; expected none, sum or mean");
  Dims positions;
  bool ranked = false;
  if (c.ranked(scores_input)) {
    positions = c.dims(scores_input);
    c.require(positions.size() >= 2, "scores have rank ", positions.size(), "; expected at least 2");
    const Dim classes = positions[1];
    if (c.has(weight_input) && c.ranked(weight_input)) {
      const Dims& w = c.dims(weight_input);
      c.require(w.size() == 1 && (!w[0].known() || !classes.known() || w[0].size == classes.size), "weights are ", to_string(c.input(weight_input)),
                "; expected one for each of the classes");
    }
    positions.erase(positions.begin() + 1);
    ranked = true;
    if (c.ranked(target_input)) {
      const Dims& t = c.dims(target_input);
      c.require(t.size() == positions.size(), "the target has rank ", t.size(), "; expected ", positions.size());
      for (size_t i = 0; i < t.size(); ++i) {
        c.require(!t[i].known() || !positions[i].known() || t[i].size == positions[i].size, "the target has ", t[i].size, " on axis ", i, "; expected ",
                  positions[i].known() ? positions[i].size : 0);
        if (!positions[i].known()) positions[i] = t[i];
      }
    }
  } else if (c.ranked(target_input)) {
    positions = c.dims(target_input);
    ranked = true;
  }
  if (reduction != "none") c.output(0, c.dtype(scores_input), Dims{});
  else if (ranked) c.output(0, c.dtype(scores_input), positions);
  else c.output(0, c.dtype(scores_input));
  if (c.outputs() > 1) c.output(1, c.input(scores_input));
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

// x, y (classes, inner).
void log_softmax(const float* x, float* y, int64_t classes, int64_t inner) {
  const auto& k = kernels::kernels();
  if (inner == 1) k.log_softmax_rows(x, y, 1, classes);
  else k.log_softmax_columns(x, y, classes, inner, inner);
}
void log_softmax(const double* x, double* y, int64_t classes, int64_t inner) {
  for (int64_t i = 0; i < inner; ++i) {
    double peak = x[i], sum = 0;
    for (int64_t k = 1; k < classes; ++k) peak = std::max(peak, x[k * inner + i]);
    for (int64_t k = 0; k < classes; ++k) sum += std::exp(x[k * inner + i] - peak);
    const double log_sum = std::log(sum);
    for (int64_t k = 0; k < classes; ++k) y[k * inner + i] = x[k * inner + i] - peak - log_sum;
  }
}

template <class T>
struct Room {
  T *losses, *weights;  // (batch, inner)
  T* rows;              // per thread (classes, inner)
};
template <class T>
Room<T> lay_out(Carve& carve, const Sizes& s, int threads, bool softmax) {
  return {carve.take<T>(s.batch * s.inner), carve.take<T>(s.batch * s.inner), softmax ? carve.take<T>(s.classes * s.inner * threads) : nullptr};
}

template <class T>
class Loss {
 public:
  Loss(RunContext& c, bool softmax) : c_(c), x_(c.in(scores_input)), s_(sizes(x_)), softmax_(softmax) {
    Carve carve(c.scratch());
    room_ = lay_out<T>(carve, s_, c.threads(), softmax);
    ignoring_ = c.attributes().has("ignore_index");
    ignored_ = c.attributes().integer("ignore_index", 0);
  }

  void run() {
    const int64_t each = s_.classes * s_.inner;
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, softmax_ ? each : s_.inner));
    c_.parallel_ranges(s_.batch, grain, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) sample(n, softmax_ ? room_.rows + each * RunContext::worker() : nullptr);
    });
    reduce();
  }

 private:
  void sample(int64_t n, T* rows) {
    const int64_t each = s_.classes * s_.inner;
    if (softmax_) {
      const T* from = static_cast<const T*>(x_.data) + n * each;
      if (x_.dtype != type_of<T>) load(x_.dtype, x_.data, n * each, each, type_of<T>, rows), from = rows;
      const bool direct = c_.wants(1) && x_.dtype == type_of<T>;
      T* to = direct ? c_.out(1).as<T>() + n * each : rows;
      if (s_.classes > 0 && s_.inner > 0) log_softmax(from, to, s_.classes, s_.inner);
      if (c_.wants(1) && !direct) store(type_of<T>, to, each, x_.dtype, c_.out(1).data, n * each);
      rows = to;
    }
    for (int64_t i = 0; i < s_.inner; ++i) pick(n, i, rows);
  }

  void pick(int64_t n, int64_t i, const T* rows) {
    const int64_t at = n * s_.inner + i;
    const View& targets = c_.in(target_input);
    const int64_t target = targets.dtype == DType::i64 ? targets.as<int64_t>()[at] : targets.as<int32_t>()[at];
    if (ignoring_ && target == ignored_) {
      room_.losses[at] = room_.weights[at] = 0;
      return;
    }
    c_.require(target >= 0 && target < s_.classes, "the target at position ", at, " is ", target, "; expected 0..", s_.classes - 1,
               ignoring_ ? ", or ignore_index" : "");
    T value, weight = 1;
    if (rows) value = rows[target * s_.inner + i];
    else load(x_.dtype, x_.data, (n * s_.classes + target) * s_.inner + i, 1, type_of<T>, &value);
    if (c_.has(weight_input)) load(x_.dtype, c_.in(weight_input).data, target, 1, type_of<T>, &weight);
    room_.losses[at] = -value * weight;
    room_.weights[at] = weight;
  }

  void reduce() {
    const auto reduction = c_.attributes().string("reduction", "mean");
    const int64_t count = s_.batch * s_.inner;
    View& y = c_.out(0);
    if (reduction == "none") return store(type_of<T>, room_.losses, count, y.dtype, y.data, 0);
    double loss = 0, weight = 0;
    for (int64_t i = 0; i < count; ++i) loss += room_.losses[i], weight += room_.weights[i];
    const T result = static_cast<T>(reduction == "mean" ? loss / weight : loss);
    store(type_of<T>, &result, 1, y.dtype, y.data, 0);
  }

  RunContext& c_;
  const View& x_;
  const Sizes s_;
  const bool softmax_;
  Room<T> room_;
  bool ignoring_;
  int64_t ignored_;
};

template <bool softmax>
void run(RunContext& c) {
  if (c.in(scores_input).dtype == DType::f64) Loss<double>(c, softmax).run();
  else Loss<float>(c, softmax).run();
}

template <bool softmax>
size_t scratch(const ScratchContext& c) {
  Carve carve;
  const Sizes s = sizes(c.in(scores_input));
  if (c.in(scores_input).dtype == DType::f64) lay_out<double>(carve, s, c.threads, softmax);
  else lay_out<float>(carve, s, c.threads, softmax);
  return carve.bytes();
}

// What flows into each position: the loss's gradient times the position's share of the reduction.
Value* position_gradient(GradientContext& c, Value* target, Value* skip) {
  Value* share = build::cast(c, c.emit("Not", {skip}), c.in(scores_input)->type.dtype);  // 1 where the target counts
  if (c.has(weight_input)) share = c.mul(share, c.emit("Gather", {c.in(weight_input), target}));
  Value* g = c.mul(share, c.grad(0));
  if (c.attributes().string("reduction", "mean") == "mean") g = c.div(g, c.emit("ReduceSum", {share}, {{"keepdims", int64_t{0}}}));
  return build::unsqueeze(c, g, 1);
}

// d scores = (probabilities - onehot) g for the softmax, -onehot g without.
template <bool softmax>
void gradient(GradientContext& c) {
  if (!c.wants(scores_input)) return;
  Value* x = c.in(scores_input);
  const DType dtype = x->type.dtype;
  Value* target = build::cast(c, c.in(target_input), DType::i64);
  Value* skip = c.emit("Equal", {target, c.constant(Tensor::scalar(c.attributes().integer("ignore_index", -1)))});
  target = c.emit("Where", {skip, c.scalar(DType::i64, 0), target});
  Value* log_p = nullptr;
  if (softmax) log_p = c.out(1) ? c.out(1) : c.emit("LogSoftmax", {x}, {{"axis", int64_t{1}}});
  Value* result = nullptr;
  if (c.grad(0)) {
    Value* values = c.constant(dtype == DType::f64 ? Tensor::of<double>({0, 1}) : Tensor::of<float>({0, 1}));
    Value* hot = c.emit("OneHot", {target, build::squeeze(c, build::dims(c, x, 1, 2), 0), build::cast(c, values, dtype)}, {{"axis", int64_t{1}}});
    Value* difference = softmax ? c.sub(c.emit("Exp", {log_p}), hot) : c.neg(hot);
    result = c.mul(difference, position_gradient(c, target, skip));
  }
  if (softmax && c.grad(1)) {
    Value* total = c.emit("ReduceSum", {c.grad(1), c.integers({1})}, {{"keepdims", int64_t{1}}});
    Value* through = c.sub(c.grad(1), c.mul(c.emit("Exp", {log_p}), total));
    result = result ? c.add(result, through) : through;
  }
  if (result) c.set(scores_input, result);
}

Cost cost(const CostContext& c) { return {8 * c.count(*c.in(0)), 8 * c.count(*c.in(0))}; }

}  // namespace

OUTPOST_DEFINE_OP(NegativeLogLikelihoodLoss, .name = "NegativeLogLikelihoodLoss", .since = 22, .first = 12, .min_inputs = 2, .max_inputs = 3,
                  .doc = "minus the log-probability of the target class, weighted and reduced", .infer = infer, .run = run<false>,
                  .gradient = gradient<false>, .cost = cost, .scratch = scratch<false>,
                  .cases = R"( | f32[3,4] i64[3]={0,3,1}
reduction="none" | f32[2,3,2] i64[2,2]={0,2,1,1} f32[3]={0.5,1.5,2.0}
reduction="sum" ignore_index=1 | f32[2,3,1] i32[2,1]={0,1}
reduction="sum" | f32[0,4] i64[0])");

OUTPOST_DEFINE_OP(SoftmaxCrossEntropyLoss, .name = "SoftmaxCrossEntropyLoss", .since = 13, .first = 12, .min_inputs = 2, .max_inputs = 3,
                  .min_outputs = 1, .max_outputs = 2, .doc = "cross entropy of softmax(scores) with the target class", .infer = infer,
                  .run = run<true>, .gradient = gradient<true>, .cost = cost, .scratch = scratch<true>,
                  .cases = R"( | f32[3,4] i64[3]={0,3,1}
reduction="none" | f32[2,3,2] i64[2,2]={0,2,1,1} f32[3]={0.5,1.5,2.0}
reduction="mean" ignore_index=-7 | f32[2,3,1] i64[2,1]={0,-7}
reduction="sum" | f32[0,4] i64[0])");

}  // namespace outpost
