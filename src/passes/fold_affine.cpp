// What scales and shifts the channels of a product with constant weights goes into the weights and the bias:
//   BatchNormalization, Mul, Div, Add, Sub behind Conv, ConvTranspose, Gemm, MatMul.
// y = (w x + b) s + t = (s w) x + (s b + t), computed in f64 and rounded once. Weights that others use too stay as they
// are: folding must not make a model larger.
#include <cmath>

#include "passes/constants.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

struct Affine {
  std::vector<double> scale, shift;  // per channel
};

// A product with constant weights: which axes of w and of the output are the channels.
struct Linear {
  Node* node;
  int64_t channels;
  int rank, axis;  // of the output
};

std::optional<Linear> linear_of(const Value* v) {
  Node* n = nullptr;
  for (const char* op : {"Conv", "ConvTranspose", "Gemm", "MatMul"})
    if (!n) n = producer_if(v, op);
  if (!n || !is_floating(v) || !n->input(1)->is_constant() || !used_once(n->input(1)) || !v->type.ranked) return std::nullopt;
  if (n->input(2) && (!n->input(2)->is_constant() || !used_once(n->input(2)))) return std::nullopt;
  const Shape& w = n->input(1)->stored().shape();
  const int rank = v->type.rank();
  if (n->op == "Conv") return Linear{n, w[0], rank, 1};
  if (n->op == "ConvTranspose") return Linear{n, w[1] * n->attributes.integer("group", 1), rank, 1};
  const bool plain = n->attributes.real("alpha", 1) == 1 && n->attributes.real("beta", 1) == 1;
  if (w.rank() != 2 || !plain) return std::nullopt;
  return Linear{n, w[n->attributes.integer("transB", 0) ? 0 : 1], rank, rank - 1};
}

// w with every output channel times its factor.
Tensor scaled_weights(const Linear& l, const std::vector<double>& factors) {
  const Tensor& w = l.node->input(1)->stored();
  const Shape& s = w.shape();
  if (l.node->op == "Conv" || l.node->attributes.integer("transB", 0)) return scaled_along(w, 1, s.count(1, s.rank()), factors);
  if (l.node->op != "ConvTranspose") return scaled_along(w, s[0], 1, factors);
  // (in, out / groups, kernel): the channels of a group repeat over its inputs
  const int64_t groups = l.node->attributes.integer("group", 1), inputs = s[0] / groups;
  std::vector<double> repeated;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < inputs; ++i) repeated.insert(repeated.end(), factors.begin() + g * s[1], factors.begin() + (g + 1) * s[1]);
  return scaled_along(w, 1, s.count(2, s.rank()), repeated);
}

std::optional<Affine> batch_normalization(const Node& n, const Linear& l) {
  if (n.attributes.integer("training_mode", 0) || l.axis != 1) return std::nullopt;
  std::vector<double> p[4];
  for (int i = 0; i < 4; ++i) {
    if (!n.input(i + 1) || !n.input(i + 1)->is_constant() || n.input(i + 1)->constant().count() != l.channels) return std::nullopt;
    p[i] = values_of(n.input(i + 1)->constant());
  }
  Affine a{p[0], p[1]};
  for (size_t i = 0; i < a.scale.size(); ++i) {
    a.scale[i] /= std::sqrt(p[3][i] + static_cast<double>(n.attributes.real("epsilon", 1e-5f)));
    a.shift[i] -= p[2][i] * a.scale[i];
  }
  return a;
}

// The other operand, if the node does arithmetic with a constant per channel; `at` says which input the product is.
std::optional<Affine> affine_of(const Node& n, const Linear& l, int at) {
  if (is(&n, "BatchNormalization")) return at == 0 ? batch_normalization(n, l) : std::nullopt;
  if ((is(&n, "Div") || is(&n, "Sub")) && at != 0) return std::nullopt;
  const bool scales = is(&n, "Mul") || is(&n, "Div");
  if (!scales && !is(&n, "Add") && !is(&n, "Sub")) return std::nullopt;
  auto c = along_axis(n.input(1 - at), l.rank, l.axis, l.channels);
  if (!c) return std::nullopt;
  const size_t count = c->size();
  if (!scales) {
    if (is(&n, "Sub"))
      for (double& v : *c) v = -v;
    return Affine{std::vector<double>(count, 1.0), std::move(*c)};
  }
  if (is(&n, "Div"))
    for (double& v : *c) v = 1 / v;
  return Affine{std::move(*c), std::vector<double>(count, 0.0)};
}

std::optional<std::vector<double>> bias_of(const Linear& l) {
  const Value* b = l.node->input(2);
  if (!b) return std::vector<double>(static_cast<size_t>(l.channels), 0.0);
  const bool matrix = l.node->op == "Gemm";
  return along_axis(b, matrix ? 2 : 1, matrix ? 1 : 0, l.channels);
}

Value* fold(Builder& build, const Linear& l, const Affine& a) {
  const DType dtype = l.node->input(1)->type.dtype;
  const auto old = bias_of(l);
  if (!old) return nullptr;
  bool scaled = false, shifted = l.node->input(2) != nullptr;
  std::vector<double> sums;
  for (size_t i = 0; i < old->size(); ++i) {
    scaled = scaled || a.scale[i] != 1;
    shifted = shifted || a.shift[i] != 0;
    sums.push_back((*old)[i] * a.scale[i] + a.shift[i]);
  }
  if (l.node->op == "MatMul" && !scaled) return nullptr;  // it is MatMul and Add already
  Tensor bias = vector_of(dtype, sums), weights;
  if (scaled) weights = scaled_weights(l, a.scale);
  if (!bias.defined() || (scaled && !weights.defined())) return nullptr;
  std::vector<Value*> inputs{l.node->input(0), scaled ? build.constant(std::move(weights)) : l.node->input(1)};
  if (shifted) inputs.push_back(build.constant(std::move(bias)));
  if (l.node->op != "MatMul" || !shifted) return build.emit(l.node->op, inputs, l.node->attributes);
  if (l.rank == 2 && inputs[0]->type.ranked && inputs[0]->type.rank() == 2) return build.emit("Gemm", inputs);
  return build.add(build.emit("MatMul", {inputs[0], inputs[1]}), inputs[2]);
}

}  // namespace

int fold_affine(Graph& graph) {
  return rewrite_nodes(graph, [](Builder& build, Node& n) -> Value* {
    if (!n.domain.empty() || n.inputs().size() < 2) return nullptr;
    for (int at = 0; at < 2; ++at) {
      const auto l = linear_of(n.input(at));
      if (!l) continue;
      if (const auto a = affine_of(n, *l, at)) return fold(build, *l, *a);
    }
    return nullptr;
  });
}

}  // namespace outpost
