// LinearRegressor and LinearClassifier (ai.onnx.ml 1): X W^T + b, then scores as the attributes ask.
#include <algorithm>

#include "ops/carve.h"
#include "ops/ml/scores.h"
#include "ops/multiply.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using ml::Labels;
using ml::PostTransform;

struct Linear {
  int64_t targets = 1, features = 0;
  PostTransform post = PostTransform::none;
  std::vector<float> weights, intercepts;  // (targets, features), (targets)
  std::shared_ptr<const void> packed;
  Labels labels;
  bool second_class = false;  // one score for two classes
};

kernels::Gemm product(const Linear& l, int64_t rows) {
  kernels::Gemm g;
  g.m = rows, g.n = l.targets, g.k = l.features;
  g.a_row_stride = l.features;
  g.b = l.weights.data();
  g.b_row_stride = 1, g.b_column_stride = l.features;
  g.packed_b = l.packed.get();
  g.c_row_stride = l.targets;
  g.epilogue.column_bias = l.intercepts.empty() ? nullptr : l.intercepts.data();
  return g;
}

// Targets from attributes; the rest follows.
int64_t regressor_targets(const Node& node) { return node.attributes.integer("targets", 1); }
int64_t classifier_targets(const Node& node) {
  const auto intercepts = static_cast<int64_t>(node.attributes.reals("intercepts").size());
  if (intercepts > 0) return intercepts;
  const int64_t classes = Labels::of(node.attributes, "classlabels_ints").count();
  return classes == 2 ? 1 : std::max<int64_t>(1, classes);
}

void check(const Node& node, int64_t targets) {
  const auto weights = static_cast<int64_t>(node.attributes.reals("coefficients").size()), intercepts = static_cast<int64_t>(node.attributes.reals("intercepts").size());
  auto require = [&](bool holds, const auto&... what) {
    if (!holds) fail(ErrorCode::invalid_model, node.label(), ": ", what...);
  };
  require(targets >= 1 && targets <= std::max<int64_t>(1, weights), "has ", targets, " targets and ", weights, " coefficients");
  require(weights % targets == 0, "has ", weights, " coefficients, not a multiple of ", targets, " targets");
  require(intercepts == 0 || intercepts == targets, "has ", intercepts, " intercepts; expected ", targets);
}

std::shared_ptr<Linear> prepare(const PrepareContext& c, int64_t targets) {
  check(c.node, targets);
  auto l = std::make_shared<Linear>();
  l->targets = targets;
  l->weights = c.attributes().reals("coefficients");
  l->intercepts = c.attributes().reals("intercepts");
  l->features = static_cast<int64_t>(l->weights.size()) / targets;
  l->post = ml::post_transform(c.node);
  l->packed = pack_right(c, "w", product(*l, 1));
  return l;
}

std::shared_ptr<const void> prepare_regressor(const PrepareContext& c) { return prepare(c, regressor_targets(c.node)); }
std::shared_ptr<const void> prepare_classifier(const PrepareContext& c) {
  auto l = prepare(c, classifier_targets(c.node));
  l->labels = Labels::of(c.attributes(), "classlabels_ints");
  l->second_class = l->targets == 1 && l->labels.count() == 2;
  return l;
}

void infer_features(InferContext& c, int64_t targets) {
  c.require_inputs(1, 1);
  ml::require_features(c, 0);
  check(c.node(), targets);
  const int64_t features = static_cast<int64_t>(c.attributes().reals("coefficients").size()) / targets;
  const Dim columns = ml::columns_of(c, 0);
  c.require(!columns.known() || columns.size == features, "the input has ", columns.size, " features; the coefficients are for ", features);
}

void infer_regressor(InferContext& c) {
  const int64_t targets = regressor_targets(c.node());
  infer_features(c, targets);
  c.output(0, DType::f32, {ml::rows_of(c, 0), targets});
}

void infer_classifier(InferContext& c) {
  const int64_t targets = classifier_targets(c.node());
  const Labels labels = Labels::of(c.attributes(), "classlabels_ints");
  c.require(labels.count() > 0, "has no class labels");
  infer_features(c, targets);
  c.output(0, labels.dtype(), {ml::rows_of(c, 0)});
  c.output(1, DType::f32, {ml::rows_of(c, 0), targets == 1 && labels.count() == 2 ? 2 : targets});
}

struct Room {
  float *x, *scores;
  void* product;
};
Room lay_out(Carve& carve, const Linear& l, const View& x, int threads) {
  const int64_t rows = ml::matrix(x).rows;
  return {x.dtype == DType::f32 ? nullptr : carve.take<float>(x.count()), carve.take<float>(rows * l.targets),
          carve.take_bytes(multiply_scratch_bytes(product(l, rows), threads))};
}

size_t scratch(const ScratchContext& c) {
  Carve carve;
  lay_out(carve, *static_cast<const Linear*>(c.prepared), c.in(0), c.threads);
  return carve.bytes();
}

// Scores (rows, targets), before any transform.
void run_scores(RunContext& c, const Linear& l, const Room& room, float* scores) {
  const View& x = c.in(0);
  c.require(ml::matrix(x).columns == l.features, "the input has ", ml::matrix(x).columns, " features; the coefficients are for ", l.features);
  if (room.x) load(x.dtype, x.data, 0, x.count(), DType::f32, room.x);
  kernels::Gemm g = product(l, ml::matrix(x).rows);
  g.a = room.x ? room.x : x.as<float>();
  g.c = scores;
  multiply(c, g, room.product);
}

void run_regressor(RunContext& c) {
  const auto& l = c.prepared<Linear>();
  Carve carve(c.scratch());
  float* y = c.out(0).as<float>();
  run_scores(c, l, lay_out(carve, l, c.in(0), c.threads()), y);
  for (int64_t i = 0; i < ml::matrix(c.in(0)).rows; ++i) ml::transform(l.post, y + i * l.targets, l.targets);
}

// One score s of two classes: 1 - s and s, of the logistic of s if asked.
void write_two(PostTransform post, float s, float* y) {
  if (post == PostTransform::logistic) s = ml::logistic(s);
  y[0] = 1 - s, y[1] = s;
  if (post == PostTransform::probit) ml::transform(post, y, 2);
}

void run_classifier(RunContext& c) {
  const auto& l = c.prepared<Linear>();
  Carve carve(c.scratch());
  const Room room = lay_out(carve, l, c.in(0), c.threads());
  run_scores(c, l, room, room.scores);
  for (int64_t i = 0; i < ml::matrix(c.in(0)).rows; ++i) {
    float* s = room.scores + i * l.targets;
    const int64_t winner = l.targets == 1 ? s[0] > 0 : std::max_element(s, s + l.targets) - s;
    if (c.wants(0)) l.labels.write(c.out(0), i, winner);
    if (!c.wants(1)) continue;
    float* y = c.out(1).as<float>();
    if (l.second_class) {
      write_two(l.post, *s, y + 2 * i);
    } else {
      ml::transform(l.post, s, l.targets);
      std::copy_n(s, l.targets, y + i * l.targets);
    }
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ml_LinearRegressor, .name = "LinearRegressor", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "linear regression",
                  .infer = infer_regressor, .run = run_regressor, .no_gradient = ml::no_gradient, .prepare = prepare_regressor,
                  .scratch = scratch,
                  .cases = R"(coefficients=[0.5,-0.25,1.0,2.0,0.5,-1.0] intercepts=[0.5,0.25] targets=2 | f32[4,3]
coefficients=[0.5,-0.25,1.0] | i64[0,3])");
OUTPOST_DEFINE_OP(ml_LinearClassifier, .name = "LinearClassifier", .domain = "ai.onnx.ml", .since = 1, .first = 1, .min_outputs = 1,
                  .max_outputs = 2, .doc = "linear classification", .infer = infer_classifier, .run = run_classifier,
                  .no_gradient = ml::no_gradient, .prepare = prepare_classifier, .scratch = scratch,
                  .cases = R"(coefficients=[0.5,-0.25,1.0,2.0,0.5,-1.0] intercepts=[0.5,0.25] classlabels_ints=[3,5] post_transform="SOFTMAX" | f32[4,3]
coefficients=[0.5,-0.25,1.0] intercepts=[0.1] classlabels_strings=["no","yes"] post_transform="LOGISTIC" | f32[2,3])");

}  // namespace outpost
