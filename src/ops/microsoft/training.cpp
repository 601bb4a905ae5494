// com.microsoft operators of the training graphs that ONNX Runtime's artifact builder writes: gradients given as nodes,
// accumulation of gradients, and AdamW over sequences of tensors. Where the original changes an input in place, the new
// values are outputs here and the inputs stay.
#include <cmath>

#include "ops/elementwise.h"

namespace outpost {

namespace {

constexpr std::string_view ms = "com.microsoft";

// ---- ReluGrad: dy, y
void expand_relu_grad(ExpandContext& c) {
  c.replace(0, c.emit("Where", {c.emit("Greater", {c.in(1), c.like(c.in(1), 0)}), c.in(0), c.like(c.in(0), 0)}));
}
void infer_relu_grad(InferContext& c) {
  require_types(c, 0, floats);
  c.require_same_dtype(0, 1);
  c.output(0, c.input(0));
}

// ---- SoftmaxCrossEntropyLossGrad: dy, log probabilities (N, C, …), labels (N, …), weights (C)
//   dx = (softmax - one hot) w dy, divided by the sum of the w for the mean; w = 0 where the label is ignored
void expand_loss_grad(ExpandContext& c) {
  Value *dy = c.in(0), *log_probability = c.in(1), *labels = c.in(2);
  const auto reduction = c.attributes().string("reduction", "mean");
  const auto ignored = static_cast<double>(c.attributes().integer("ignore_index", -1));
  Value* classes = c.emit("Shape", {log_probability}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
  Value* levels = c.emit("CastLike", {c.constant(Tensor::of({0.0f, 1.0f})), log_probability});
  Value* one_hot = c.emit("OneHot", {labels, classes, levels}, {{"axis", int64_t{1}}});
  Value* weight = nullptr;
  if (c.has(3)) {
    Value* last = c.sub(c.emit("CastLike", {classes, labels}), c.like(labels, 1));
    weight = c.emit("Gather", {c.in(3), c.emit("Min", {c.emit("Max", {labels, c.like(labels, 0)}), last})});
  }
  if (c.attributes().has("ignore_index")) {
    Value* kept =
        c.emit("CastLike", {c.emit("Not", {c.emit("Equal", {labels, c.like(labels, ignored)})}), log_probability});
    weight = weight ? c.mul(weight, kept) : kept;
  }
  Value* scale = weight ? c.mul(dy, weight) : dy;
  if (reduction == "mean") {
    Value* total = weight ? c.emit("ReduceSum", {weight}, {{"keepdims", int64_t{0}}})
                          : c.emit("CastLike", {c.emit("Size", {labels}), log_probability});
    scale = c.div(scale, total);
  }
  Value* difference = c.sub(c.emit("Exp", {log_probability}), one_hot);
  // A scale with one value a label is spread over the classes; a scalar is spread over everything.
  if (weight || reduction == "none") scale = c.emit("Unsqueeze", {scale, c.integers({1})});
  c.replace(0, c.mul(difference, scale));
}
void infer_loss_grad(InferContext& c) {
  require_types(c, 1, floats);
  c.require_dtype(2, {DType::i32, DType::i64});
  const auto reduction = c.attributes().string("reduction", "mean");
  c.require(reduction == "mean" || reduction == "sum" || reduction == "none", "reduction is \"", reduction,
            "\"; expected mean, sum or none");
  if (c.ranked(1)) c.require(c.rank(1) >= 2, "the log probabilities are ", c.input(1), "; expected (N, C, …)");
  c.output(0, c.input(1));
}

// ---- InPlaceAccumulatorV2: sum, value, overwrite -> done, new sum
void infer_accumulator(InferContext& c) {
  require_types(c, 0, floats);
  require_types(c, 1, floats);
  c.output(0, DType::boolean, Dims{Dim(1)});
  c.output(1, c.input(0));
}
void expand_accumulator(ExpandContext& c) {
  c.replace(0, c.constant(Tensor::of({true})));
  if (!c.wants(1)) return;
  Value* value = c.emit("CastLike", {c.in(1), c.in(0)});
  Value* sum = c.add(c.in(0), value);
  if (c.has(2)) sum = c.emit("Where", {c.in(2), value, sum});
  c.replace(1, c.emit("Reshape", {sum, c.emit("Shape", {c.in(0)})}, {{"allowzero", int64_t{1}}}));
}

// ---- AdamWOptimizer: rate, step, sequences of values, gradients, first and second moments, update signal
//   -> done, and the new values and moments as sequences
struct AdamW {
  float alpha, beta, epsilon, decay;
  double rate, correction1 = 1, correction2 = 1;
  bool late_decay;  // adam_mode 1: decay after the step, epsilon outside the correction (HuggingFace); 0: PyTorch
};

void adamw_step(const AdamW& o, const float* w, const float* g, const float* m, const float* v, float* w_new,
                float* m_new, float* v_new, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float mean = o.alpha * m[i] + (1 - o.alpha) * g[i], square = o.beta * v[i] + (1 - o.beta) * g[i] * g[i];
    float value = w[i];
    if (o.late_decay) {
      const auto size = static_cast<float>(o.rate * std::sqrt(o.correction2) / o.correction1);
      value -= size * mean / (std::sqrt(square) + o.epsilon);
      value -= static_cast<float>(o.rate) * o.decay * value;
    } else {
      value -= static_cast<float>(o.rate) * o.decay * value;
      const auto root = static_cast<float>(std::sqrt(square / o.correction2));
      value -= static_cast<float>(o.rate / o.correction1) * mean / (root + o.epsilon);
    }
    w_new[i] = value;
    m_new[i] = mean;
    v_new[i] = square;
  }
}

void run_adamw(RunContext& c) {
  const auto& a = c.attributes();
  AdamW o{a.real("alpha", 0.9f),
          a.real("beta", 0.999f),
          a.real("epsilon", 1e-8f),
          a.real("weight_decay", 0.01f),
          *c.in(0).as<float>(),
          1,
          1,
          a.integer("adam_mode", 0) == 1};
  if (a.integer("correct_bias", 1) != 0) {
    const auto step = static_cast<double>(*c.in(1).as<int64_t>());
    c.require(step >= 1, "step is ", step, "; expected 1 or more for bias correction");
    o.correction1 = 1 - std::pow(static_cast<double>(o.alpha), step);
    o.correction2 = 1 - std::pow(static_cast<double>(o.beta), step);
  }
  const bool update = !c.has(6) || *c.in(6).as<uint8_t>() != 0;
  Datum groups[4];
  for (int i = 0; i < 4; ++i) groups[i] = c.datum(2 + i);
  const size_t tensors = groups[0].items().size();
  std::vector<Datum> values, first, second;
  for (size_t t = 0; t < tensors; ++t) {
    const Tensor* in[4];
    for (int i = 0; i < 4; ++i) {
      c.require(groups[i].items().size() == tensors, "sequence ", i + 2, " has ", groups[i].items().size(),
                " tensors; expected ", tensors);
      in[i] = &groups[i].items()[t].tensor();
      c.require(in[i]->dtype() == DType::f32 && in[i]->shape() == in[0]->shape(), "tensor ", t, " of sequence ", i + 2,
                " is ", Type::of(*in[i]), "; expected ", Type::tensor(DType::f32, in[0]->shape()));
    }
    if (!update) {
      values.push_back(*in[0]);
      first.push_back(*in[2]);
      second.push_back(*in[3]);
      continue;
    }
    Tensor w(DType::f32, in[0]->shape()), m(DType::f32, in[0]->shape()), v(DType::f32, in[0]->shape());
    c.parallel_ranges(w.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
      const auto at = [begin](const Tensor& x) { return static_cast<const float*>(x.raw()) + begin; };
      const auto to = [begin](Tensor& x) { return static_cast<float*>(x.raw()) + begin; };
      adamw_step(o, at(*in[0]), at(*in[1]), at(*in[2]), at(*in[3]), to(w), to(m), to(v), end - begin);
    });
    values.push_back(std::move(w));
    first.push_back(std::move(m));
    second.push_back(std::move(v));
  }
  if (c.wants(0)) *c.out(0).as<bool>() = update;
  if (c.outputs() > 1) c.set_datum(1, Datum::sequence(std::move(values)));
  if (c.outputs() > 2) c.set_datum(2, Datum::sequence(std::move(first)));
  if (c.outputs() > 3) c.set_datum(3, Datum::sequence(std::move(second)));
}

void infer_adamw(InferContext& c) {
  require_types(c, 0, dtype_set({DType::f32}));
  c.require_dtype(1, {DType::i64});
  for (int i : {0, 1})
    if (c.ranked(i))
      for (const Dim& d : c.dims(i))
        c.require(!d.known() || d.size == 1, "input ", i, " is ", c.input(i), "; expected a scalar");
  for (int i = 2; i < 6; ++i)
    c.require(c.input(i).kind == Type::Kind::sequence || c.input(i).kind == Type::Kind::none, "input ", i, " is ",
              c.input(i), "; expected a sequence");
  require_types(c, 6, booleans);
  c.output(0, DType::boolean, Dims{Dim(1)});
  for (int i = 1; i < 4; ++i) c.output(i, Type::sequence(Type::tensor(DType::f32)));
}

constexpr std::string_view no_second_order = "a gradient itself; differentiate the operator it came from";

}  // namespace

OUTPOST_DEFINE_OP(ms_ReluGrad, .name = "ReluGrad", .domain = ms, .min_inputs = 2, .max_inputs = 2,
                  .doc = "the gradient of Relu, given its output", .infer = infer_relu_grad, .expand = expand_relu_grad,
                  .cases = "| f32[2,3] f32[2,3]\n| f64[5] f64[5]\n| f32[0] f32[0]");
OUTPOST_DEFINE_OP(
    ms_SoftmaxCrossEntropyLossGrad, .name = "SoftmaxCrossEntropyLossGrad", .domain = ms, .min_inputs = 3,
    .max_inputs = 5, .doc = "the gradient of SoftmaxCrossEntropyLoss, given log probabilities",
    .infer = infer_loss_grad, .expand = expand_loss_grad,
    .cases =
        "| f32[] f32[4,3](-3,-0.1) i64[4](0,3)\n"
        "reduction=\"sum\" ignore_index=1 | f32[] f32[4,3,2](-3,-0.1) i32[4,2](0,3)\n"
        "reduction=\"none\" | f32[4] f32[4,3](-3,-0.1) i64[4](0,3) f32[3](0.5,2)");
OUTPOST_DEFINE_OP(
    ms_InPlaceAccumulatorV2, .name = "InPlaceAccumulatorV2", .domain = ms, .min_inputs = 2, .max_inputs = 3,
    .max_outputs = 2, .doc = "a sum of gradients, or a new one; the new sum is output 1", .infer = infer_accumulator,
    .expand = expand_accumulator, .no_gradient = no_second_order,
    .cases = "| f32[2,3] f32[2,3] bool[1]={false} | 2\n| f64[5] f64[5] bool[1]={true} | 2\n| f32[0] f32[0] | 2");
OUTPOST_DEFINE_OP(ms_AdamWOptimizer, .name = "AdamWOptimizer", .domain = ms, .min_inputs = 6, .max_inputs = 7,
                  .max_outputs = 4, .doc = "a step of AdamW; new values and moments are outputs 1 to 3",
                  .infer = infer_adamw, .run = run_adamw, .no_gradient = no_second_order);

}  // namespace outpost
