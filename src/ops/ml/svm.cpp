// SVMRegressor and SVMClassifier (ai.onnx.ml 1): kernels of the input with support vectors, weighted; for classes, one
// such score for every pair, votes, and probabilities from pairwise ones by Wu, Lin and Weng (2004, second method), as
// libsvm has it. Without support vectors the model is linear (liblinear).
#include <algorithm>
#include <cmath>

#include "ops/carve.h"
#include "ops/ml/scores.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using ml::Labels;
using ml::PostTransform;

enum class Kernel : uint8_t { linear, poly, rbf, sigmoid };

struct Machine {
  Kernel kernel = Kernel::linear;
  float gamma = 0, coef0 = 0, degree = 0;
  int64_t vectors = 0, features = 0, classes = 1;  // vectors 0: linear
  PostTransform post = PostTransform::none;
  std::vector<float> support, weights, rho;  // (vectors, features); see below
  bool one_class = false;
  // classifier: weights (classes - 1, vectors), or (classes, features) without vectors
  std::vector<int64_t> per_class, first;
  std::vector<float> prob_a, prob_b;
  Labels labels;

  int64_t pairs() const { return classes * (classes - 1) / 2; }
  bool has_probabilities() const { return vectors > 0 && !prob_a.empty(); }
  int64_t raw_scores() const { return vectors > 0 && !has_probabilities() ? pairs() : classes; }
  // Two classes, one score: the other one's is made from it.
  bool second_class() const { return raw_scores() == 1 && labels.count() == 2 && rho.size() == 1; }
  int64_t scores() const { return second_class() ? 2 : raw_scores(); }
};

class Builder {
 public:
  explicit Builder(const Node& node) : node_(node), a_(node.attributes) {}
  template <class... A>
  void require(bool holds, const A&... what) const {
    if (!holds) fail(ErrorCode::invalid_model, node_.label(), ": ", what...);
  }

  Machine common() const {
    Machine m;
    const auto name = a_.string("kernel_type", "LINEAR");
    require(name == "LINEAR" || name == "POLY" || name == "RBF" || name == "SIGMOID", "kernel_type is '", name, "'; expected LINEAR, POLY, RBF or SIGMOID");
    m.kernel = name == "POLY" ? Kernel::poly : name == "RBF" ? Kernel::rbf : name == "SIGMOID" ? Kernel::sigmoid : Kernel::linear;
    const auto& p = a_.reals("kernel_params");
    require(p.empty() || p.size() == 3, "kernel_params has ", p.size(), " values; expected gamma, coef0 and degree");
    if (!p.empty()) m.gamma = p[0], m.coef0 = p[1], m.degree = p[2];
    m.post = ml::post_transform(node_);
    m.weights = a_.reals("coefficients");
    m.support = a_.reals("support_vectors");
    m.rho = a_.reals("rho");
    return m;
  }

  void set_features(Machine& m) const {
    const auto values = static_cast<int64_t>(m.support.size());
    require(values % m.vectors == 0, "support_vectors has ", values, " values, not a multiple of ", m.vectors, " vectors");
    m.features = values / m.vectors;
  }

  Machine regressor() const {
    Machine m = common();
    m.vectors = a_.integer("n_supports", 0);
    m.one_class = a_.integer("one_class", 0) != 0;
    require(m.vectors >= 0 && m.vectors <= static_cast<int64_t>(m.support.size()), "n_supports is ", m.vectors, "; support_vectors has ", m.support.size(), " values");
    require(!m.rho.empty(), "rho is missing");
    const auto weights = static_cast<int64_t>(m.weights.size());
    if (m.vectors > 0) {
      set_features(m);
      require(weights >= m.vectors, "coefficients has ", weights, " values; expected ", m.vectors);
    } else {
      m.kernel = Kernel::linear;
      m.features = weights;
    }
    return m;
  }

  Machine classifier() const {
    Machine m = common();
    m.labels = Labels::of(a_, "classlabels_ints");
    m.per_class = a_.integers("vectors_per_class");
    m.prob_a = a_.reals("prob_a"), m.prob_b = a_.reals("prob_b");
    m.classes = std::max<int64_t>(1, m.labels.count());
    require(m.labels.count() > 0, "has no class labels");
    for (int64_t n : m.per_class) {
      require(n >= 0 && n <= static_cast<int64_t>(m.support.size()), "vectors_per_class has ", n);
      m.first.push_back(m.vectors);
      m.vectors += n;
    }
    const auto weights = static_cast<int64_t>(m.weights.size()), rho = static_cast<int64_t>(m.rho.size());
    if (m.vectors == 0) {
      m.kernel = Kernel::linear;
      require(weights % m.classes == 0, "coefficients has ", weights, " values, not a multiple of ", m.classes, " classes");
      m.features = weights / m.classes;
      require(rho >= 1, "rho is missing");
      return m;
    }
    set_features(m);
    require(static_cast<int64_t>(m.per_class.size()) == m.classes, "vectors_per_class has ", m.per_class.size(), " values; expected ", m.classes);
    require(weights >= (m.classes - 1) * m.vectors, "coefficients has ", weights, " values; expected ", (m.classes - 1) * m.vectors);
    require(rho >= m.pairs(), "rho has ", rho, " values; expected ", m.pairs());
    require(m.prob_a.size() == m.prob_b.size() && (m.prob_a.empty() || static_cast<int64_t>(m.prob_a.size()) >= m.pairs()), "prob_a and prob_b have ",
            m.prob_a.size(), " and ", m.prob_b.size(), " values; expected ", m.pairs());
    return m;
  }

 private:
  const Node& node_;
  const Attributes& a_;
};

float evaluate(const Machine& m, const float* x, const float* v) {
  double sum = 0;
  if (m.kernel == Kernel::rbf) {
    for (int64_t i = 0; i < m.features; ++i) sum += (double(x[i]) - v[i]) * (double(x[i]) - v[i]);
    return static_cast<float>(std::exp(-m.gamma * sum));
  }
  for (int64_t i = 0; i < m.features; ++i) sum += double(x[i]) * v[i];
  if (m.kernel == Kernel::linear) return static_cast<float>(sum);
  sum = sum * m.gamma + m.coef0;
  return static_cast<float>(m.kernel == Kernel::poly ? std::pow(sum, m.degree) : std::tanh(sum));
}

std::shared_ptr<const void> prepare_regressor(const PrepareContext& c) { return std::make_shared<Machine>(Builder(c.node).regressor()); }
std::shared_ptr<const void> prepare_classifier(const PrepareContext& c) { return std::make_shared<Machine>(Builder(c.node).classifier()); }

void infer_input(InferContext& c, const Machine& m) {
  c.require_inputs(1, 1);
  ml::require_features(c, 0);
  const Dim columns = ml::columns_of(c, 0);
  c.require(!columns.known() || columns.size == m.features, "the input has ", columns.size, " features; the model is for ", m.features);
}

void infer_regressor(InferContext& c) {
  infer_input(c, Builder(c.node()).regressor());
  c.output(0, DType::f32, {ml::rows_of(c, 0), 1});
}

void infer_classifier(InferContext& c) {
  const Machine m = Builder(c.node()).classifier();
  infer_input(c, m);
  c.output(0, m.labels.dtype(), {ml::rows_of(c, 0)});
  c.output(1, DType::f32, {ml::rows_of(c, 0), m.scores()});
}

struct Room {
  float *x, *kernels, *scores, *votes;
  double* pairwise;  // (classes, classes) twice, and two vectors
};
Room lay_out(Carve& carve, const Machine& m) {
  return {carve.take<float>(m.features), carve.take<float>(m.vectors), carve.take<float>(std::max<int64_t>(2, std::max(m.pairs(), m.classes))),
          carve.take<float>(m.classes), carve.take<double>(m.has_probabilities() ? 2 * m.classes * (m.classes + 1) : 0)};
}
size_t room_bytes(const Machine& m) {
  Carve carve;
  lay_out(carve, m);
  return carve.bytes();
}
size_t scratch(const ScratchContext& c) { return room_bytes(*static_cast<const Machine*>(c.prepared)) * static_cast<size_t>(c.threads); }

// body(row, room) with the row's features in room.x.
template <class F>
void for_each_row(RunContext& c, const Machine& m, F body) {
  const View& x = c.in(0);
  const auto [rows, columns] = ml::matrix(x);
  c.require(columns == m.features || rows == 0, "the input has ", columns, " features; the model is for ", m.features);
  const int64_t work = std::max<int64_t>(1, m.features * std::max(m.vectors, m.classes));
  const size_t bytes = room_bytes(m);
  c.parallel_ranges(rows, std::max<int64_t>(1, 16384 / work), [&](int64_t begin, int64_t end) {
    Carve carve(c.scratch<std::byte>() + bytes * static_cast<size_t>(RunContext::worker()));
    const Room room = lay_out(carve, m);
    for (int64_t r = begin; r < end; ++r) {
      load(x.dtype, x.data, r * m.features, m.features, DType::f32, room.x);
      for (int64_t v = 0; v < m.vectors; ++v) room.kernels[v] = evaluate(m, room.x, m.support.data() + v * m.features);
      body(r, room);
    }
  });
}

void run_regressor(RunContext& c) {
  const auto& m = c.prepared<Machine>();
  float* y = c.out(0).as<float>();
  for_each_row(c, m, [&](int64_t row, const Room& room) {
    double sum = m.vectors > 0 ? 0 : evaluate(m, room.x, m.weights.data());
    for (int64_t v = 0; v < m.vectors; ++v) sum += double(m.weights[static_cast<size_t>(v)]) * room.kernels[v];
    y[row] = static_cast<float>(sum + m.rho[0]);
    if (m.one_class) y[row] = y[row] > 0 ? 1.0f : -1.0f;
    else ml::transform(m.post, y + row, 1);
  });
}

// One score for each pair of classes i < j; positive is a vote for i.
void score_pairs(const Machine& m, const Room& room) {
  std::fill_n(room.votes, m.classes, 0.0f);
  auto part = [&](int64_t row, int64_t of) {
    double sum = 0;
    for (int64_t k = m.first[static_cast<size_t>(of)]; k < m.first[static_cast<size_t>(of)] + m.per_class[static_cast<size_t>(of)]; ++k)
      sum += double(m.weights[static_cast<size_t>(row * m.vectors + k)]) * room.kernels[k];
    return sum;
  };
  int64_t pair = 0;
  for (int64_t i = 0; i < m.classes; ++i)
    for (int64_t j = i + 1; j < m.classes; ++j, ++pair) {
      const double s = part(j - 1, i) + part(i, j) + m.rho[static_cast<size_t>(pair)];
      room.scores[pair] = static_cast<float>(s);
      ++room.votes[s > 0 ? i : j];
    }
}

// Pairwise probabilities r to one per class, minimising sum (r_ji p_i - r_ij p_j)^2 by Gauss-Seidel sweeps.
void couple(int64_t k, const double* r, double* q, double* p, double* qp) {
  for (int64_t t = 0; t < k; ++t) {
    p[t] = 1.0 / static_cast<double>(k);
    q[t * k + t] = 0;
    for (int64_t j = 0; j < k; ++j) {
      if (j == t) continue;
      q[t * k + t] += r[j * k + t] * r[j * k + t];
      q[t * k + j] = -r[j * k + t] * r[t * k + j];
    }
  }
  const double enough = 0.005 / static_cast<double>(k);
  for (int64_t sweep = 0; sweep < std::max<int64_t>(100, k); ++sweep) {
    double pqp = 0, worst = 0;
    for (int64_t t = 0; t < k; ++t) {
      qp[t] = 0;
      for (int64_t j = 0; j < k; ++j) qp[t] += q[t * k + j] * p[j];
      pqp += p[t] * qp[t];
    }
    for (int64_t t = 0; t < k; ++t) worst = std::max(worst, std::fabs(qp[t] - pqp));
    if (worst < enough) return;
    for (int64_t t = 0; t < k; ++t) {
      const double step = (pqp - qp[t]) / q[t * k + t], scale = 1 + step;
      p[t] += step;
      pqp = (pqp + step * (step * q[t * k + t] + 2 * qp[t])) / scale / scale;
      for (int64_t j = 0; j < k; ++j) {
        qp[j] = (qp[j] + step * q[t * k + j]) / scale;
        p[j] /= scale;
      }
    }
  }
}

void probabilities(const Machine& m, const Room& room) {
  const int64_t k = m.classes;
  double *r = room.pairwise, *q = r + k * k, *p = q + k * k, *qp = p + k;
  int64_t pair = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i + 1; j < k; ++j, ++pair) {
      const auto at = static_cast<size_t>(pair);
      const double value = 1 - ml::logistic(room.scores[pair] * m.prob_a[at] + m.prob_b[at]);
      r[i * k + j] = std::clamp(value, 1e-7, 1 - 1e-7);
      r[j * k + i] = 1 - r[i * k + j];
    }
  couple(k, r, q, p, qp);
  for (int64_t i = 0; i < k; ++i) room.scores[i] = static_cast<float>(p[i]);
}

void run_classifier(RunContext& c) {
  const auto& m = c.prepared<Machine>();
  for_each_row(c, m, [&](int64_t row, const Room& room) {
    float* s = room.scores;
    if (m.vectors > 0) {
      score_pairs(m, room);
      if (m.has_probabilities()) probabilities(m, room);
    } else {
      for (int64_t k = 0; k < m.classes; ++k) s[k] = evaluate(m, room.x, m.weights.data() + k * m.features) + m.rho[0];
    }
    const float* judge = m.vectors > 0 ? room.votes : s;
    if (c.wants(0)) m.labels.write(c.out(0), row, std::max_element(judge, judge + m.classes) - judge);
    if (!c.wants(1)) return;
    if (m.second_class()) {
      s[1] = s[0], s[0] = -s[0];
      if (m.post == PostTransform::probit) s[0] = s[1] = ml::probit(s[1]);
      else ml::transform(m.post, s, 2);
    } else {
      ml::transform(m.post, s, m.scores());
    }
    std::copy_n(s, m.scores(), c.out(1).as<float>() + row * m.scores());
  });
}

}  // namespace

OUTPOST_DEFINE_OP(ml_SVMRegressor, .name = "SVMRegressor", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "support vector regression",
                  .infer = infer_regressor, .run = run_regressor, .no_gradient = ml::no_gradient, .prepare = prepare_regressor,
                  .scratch = scratch,
                  .cases = R"(kernel_type="RBF" kernel_params=[0.5,0.0,3.0] n_supports=2 support_vectors=[0.5,1.0,-1.0,0.25] coefficients=[1.0,-0.5] rho=[0.25] | f32[4,2]
coefficients=[1.0,-0.5] rho=[0.25] one_class=1 | f32[0,2])");
OUTPOST_DEFINE_OP(ml_SVMClassifier, .name = "SVMClassifier", .domain = "ai.onnx.ml", .since = 1, .first = 1, .min_outputs = 1,
                  .max_outputs = 2, .doc = "support vector classification", .infer = infer_classifier, .run = run_classifier,
                  .no_gradient = ml::no_gradient, .prepare = prepare_classifier, .scratch = scratch,
                  .cases = R"(kernel_type="POLY" kernel_params=[0.5,0.5,2.0] vectors_per_class=[1,1] support_vectors=[0.5,1.0,-1.0,0.25] coefficients=[1.0,-0.5] rho=[0.25] classlabels_ints=[2,4] | f32[4,2])");

}  // namespace outpost
