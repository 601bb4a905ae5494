// TreeEnsemble (ai.onnx.ml 5), TreeEnsembleRegressor and TreeEnsembleClassifier (3). What two-class models mean by one
// vote, base values and transforms is what ONNX Runtime makes of them, since the specification does not say.
#include <algorithm>

#include "ops/carve.h"
#include "ops/ml/forest.h"
#include "ops/ml/scores.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using ml::Forest;
using ml::Labels;
using ml::PostTransform;

constexpr int64_t block = 64;  // rows
constexpr int64_t most_targets = 1 << 20;

struct Ensemble {
  Forest forest;
  PostTransform post = PostTransform::none;
  std::vector<double> base;
  // classifier
  Labels labels;
  int voted_class = -1;  // of two classes, when only one has votes
  bool positive = true;  // no negative vote
};

std::vector<double> base_values(const Node& node, int64_t targets) {
  std::vector<double> base;
  if (const Tensor* t = node.attributes.tensor("base_values_as_tensor")) {
    base.resize(static_cast<size_t>(t->count()));
    convert(t->dtype(), t->raw(), DType::f64, base.data(), t->count());
  } else {
    const auto& values = node.attributes.reals("base_values");
    base.assign(values.begin(), values.end());
  }
  if (static_cast<int64_t>(base.size()) > targets)
    fail(ErrorCode::invalid_model, node.label(), ": base_values has ", base.size(), " values; expected at most ", targets);
  return base;
}

int64_t target_count(const Node& node) {
  const int64_t n = node.attributes.integer("n_targets", 1);
  if (n < 1 || n > most_targets) fail(ErrorCode::invalid_model, node.label(), ": n_targets is ", n, "; expected 1..", most_targets);
  return n;
}

std::shared_ptr<const void> prepare_regressor(const PrepareContext& c) {
  auto e = std::make_shared<Ensemble>();
  const int64_t targets = target_count(c.node);
  e->forest = Forest::from_nodes(c.node, "target", targets);
  e->post = ml::post_transform(c.node);
  e->base = base_values(c.node, targets);
  return e;
}

std::shared_ptr<const void> prepare_ensemble(const PrepareContext& c) {
  auto e = std::make_shared<Ensemble>();
  e->forest = Forest::from_branches(c.node, target_count(c.node));
  e->post = static_cast<PostTransform>(c.attributes().integer("post_transform", 0));
  return e;
}

std::shared_ptr<const void> prepare_classifier(const PrepareContext& c) {
  auto e = std::make_shared<Ensemble>();
  e->labels = Labels::of(c.attributes(), "classlabels_int64s");
  const int64_t classes = std::max<int64_t>(1, e->labels.count());
  e->forest = Forest::from_nodes(c.node, "class", classes);
  e->post = ml::post_transform(c.node);
  e->base = base_values(c.node, classes);
  const auto& votes = e->forest.votes();
  if (classes == 2 && !votes.empty() && std::all_of(votes.begin(), votes.end(), [&](const auto& v) { return v.target == votes.front().target; }))
    e->voted_class = votes.front().target;
  e->positive = std::all_of(votes.begin(), votes.end(), [](const auto& v) { return v.weight >= 0; });
  return e;
}

void infer(InferContext& c, DType result, int output, Dim targets) {
  c.require_inputs(1, 1);
  ml::require_features(c, 0);
  c.output(output, result, {ml::rows_of(c, 0), targets});
}

void infer_regressor(InferContext& c) { infer(c, DType::f32, 0, target_count(c.node())); }

void infer_ensemble(InferContext& c) {
  const int64_t post = c.attributes().integer("post_transform", 0);
  c.require(post >= 0 && post <= 4, "post_transform is ", post, "; expected 0..4");
  infer(c, c.dtype(0), 0, target_count(c.node()));
}

void infer_classifier(InferContext& c) {
  const Labels labels = Labels::of(c.attributes(), "classlabels_int64s");
  c.require(labels.count() > 0, "has no class labels");
  infer(c, DType::f32, 1, labels.count() == 1 ? Dim() : Dim(labels.count()));
  if (labels.count() == 1) c.output(1, DType::f32, {ml::rows_of(c, 0), 1});
  c.output(0, labels.dtype(), {ml::rows_of(c, 0)});
}

struct Room {
  double* x;  // (block, columns)
  double* values;
  bool* voted;
  float* scores;
};

Room lay_out(Carve& carve, int64_t columns, int64_t targets, bool converts) {
  return {converts ? carve.take<double>(block * columns) : nullptr, carve.take<double>(block * targets), carve.take<bool>(block * targets),
          carve.take<float>(std::max<int64_t>(2, targets))};
}

bool converts(DType dtype) { return dtype != DType::f32 && dtype != DType::f64; }

size_t room_bytes(const View& x, const Forest& forest) {
  Carve carve;
  lay_out(carve, ml::matrix(x).columns, forest.targets(), converts(x.dtype));
  return carve.bytes();
}

size_t scratch(const ScratchContext& c) {
  return room_bytes(c.in(0), static_cast<const Ensemble*>(c.prepared)->forest) * static_cast<size_t>(c.threads);
}

// finish(row, values, voted, scores) for every row, scores being room for the targets.
template <class F>
void for_each_row(RunContext& c, const Ensemble& e, F finish) {
  const View& x = c.in(0);
  const auto [rows, columns] = ml::matrix(x);
  c.require(columns >= e.forest.features() || rows == 0, "the input has ", columns, " features; the trees ask for ", e.forest.features());
  const size_t bytes = room_bytes(x, e.forest);
  c.parallel_ranges(rows, block, [&, columns = columns](int64_t begin, int64_t end) {
    Carve carve(c.scratch<std::byte>() + bytes * static_cast<size_t>(RunContext::worker()));
    const Room room = lay_out(carve, columns, e.forest.targets(), converts(x.dtype));
    for (int64_t first = begin; first < end; first += block) {
      const int64_t n = std::min(block, end - first);
      if (x.dtype == DType::f32) {
        e.forest.predict(x.as<float>() + first * columns, columns, n, room.values, room.voted);
      } else {
        const double* values = x.as<double>() + first * columns;
        if (room.x) load(x.dtype, x.data, first * columns, n * columns, DType::f64, room.x), values = room.x;
        e.forest.predict(values, columns, n, room.values, room.voted);
      }
      for (int64_t r = 0; r < n; ++r) finish(first + r, room.values + r * e.forest.targets(), room.voted + r * e.forest.targets(), room.scores);
    }
  });
}

void run_regressor(RunContext& c) {
  const auto& e = c.prepared<Ensemble>();
  const int64_t targets = e.forest.targets();
  View& y = c.out(0);
  for_each_row(c, e, [&](int64_t row, const double* values, const bool*, float* scores) {
    if (e.post == PostTransform::none && y.dtype == DType::f64) return store(DType::f64, values, targets, y.dtype, y.data, row * targets);
    for (int64_t t = 0; t < targets; ++t)
      scores[t] = static_cast<float>(values[t] + (static_cast<size_t>(t) < e.base.size() ? e.base[static_cast<size_t>(t)] : 0));
    ml::transform(e.post, scores, targets);
    store(DType::f32, scores, targets, y.dtype, y.data, row * targets);
  });
}

// Votes for the first of two classes only: they speak for the second, and the first gets the complement or the negative.
int64_t finish_one_sided(const Ensemble& e, float score, float* scores) {
  const bool wins = score > (e.positive ? 0.5f : 0.0f);
  if (e.post == PostTransform::probit) {
    scores[0] = scores[1] = ml::probit(score);
  } else if (e.post == PostTransform::logistic) {
    scores[0] = ml::logistic(-score), scores[1] = ml::logistic(score);
  } else {
    scores[0] = e.positive ? 1 - score : -score, scores[1] = score;
  }
  return wins ? 1 : 0;
}

// Scores and the winner's number.
int64_t classify(const Ensemble& e, const double* values, float* scores) {
  const int64_t classes = e.forest.targets();
  const bool full_base = static_cast<int64_t>(e.base.size()) == classes;
  for (int64_t i = 0; i < classes; ++i) scores[i] = static_cast<float>(values[i] + (full_base ? e.base[static_cast<size_t>(i)] : 0));
  if (e.voted_class == 0 && !full_base) return finish_one_sided(e, scores[0] + (e.base.empty() ? 0 : static_cast<float>(e.base[0])), scores);
  int64_t winner = std::max_element(scores, scores + classes) - scores;
  if (e.voted_class == 1 && !full_base) winner = scores[1] > (e.positive ? 0.5f : 0.0f) ? 1 : 0;
  else if (!full_base && !e.base.empty()) scores[0] += static_cast<float>(e.base[0]);
  ml::transform(e.post, scores, classes);
  return winner;
}

void run_classifier(RunContext& c) {
  const auto& e = c.prepared<Ensemble>();
  const int64_t classes = e.forest.targets();
  for_each_row(c, e, [&](int64_t row, const double* values, const bool*, float* scores) {
    const int64_t winner = classify(e, values, scores);
    if (c.wants(0)) e.labels.write(c.out(0), row, winner);
    if (c.wants(1)) std::copy_n(scores, classes, c.out(1).as<float>() + row * classes);
  });
}

}  // namespace

OUTPOST_DEFINE_OP(ml_TreeEnsemble, .name = "TreeEnsemble", .domain = "ai.onnx.ml", .since = 5, .first = 5, .doc = "sums over decision trees",
                  .infer = infer_ensemble, .run = run_regressor, .no_gradient = ml::no_gradient, .prepare = prepare_ensemble,
                  .scratch = scratch);
OUTPOST_DEFINE_OP(ml_TreeEnsembleRegressor, .name = "TreeEnsembleRegressor", .domain = "ai.onnx.ml", .since = 3, .first = 1,
                  .doc = "regression by decision trees", .infer = infer_regressor, .run = run_regressor, .no_gradient = ml::no_gradient,
                  .prepare = prepare_regressor, .scratch = scratch,
                  .cases = R"(n_targets=2 nodes_treeids=[0,0,0] nodes_nodeids=[0,1,2] nodes_featureids=[1,0,0] nodes_values=[0.1,0.0,0.0] nodes_modes=["BRANCH_LEQ","LEAF","LEAF"] nodes_truenodeids=[1,0,0] nodes_falsenodeids=[2,0,0] target_treeids=[0,0] target_nodeids=[1,2] target_ids=[0,1] target_weights=[0.5,0.25] | f32[5,3])");
OUTPOST_DEFINE_OP(ml_TreeEnsembleClassifier, .name = "TreeEnsembleClassifier", .domain = "ai.onnx.ml", .since = 3, .first = 1,
                  .min_outputs = 1, .max_outputs = 2, .doc = "classification by decision trees", .infer = infer_classifier,
                  .run = run_classifier, .no_gradient = ml::no_gradient, .prepare = prepare_classifier, .scratch = scratch);

}  // namespace outpost
