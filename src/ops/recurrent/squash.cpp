// The activation functions of recurrent cells. Names are matched without case; constants are consumed in order by the
// functions that have them, and default to those of the operator of the same name.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "kernels/kernels.h"
#include "ops/recurrent/recurrent.h"

namespace outpost::recurrent {
namespace {

struct Known {
  std::string_view name;
  Squash::Kind kind;
  bool has_alpha, has_beta;
  float alpha, beta;
};
constexpr Known known[] = {
    {"relu", Squash::Kind::relu, false, false, 0, 0},
    {"tanh", Squash::Kind::tanh, false, false, 0, 0},
    {"sigmoid", Squash::Kind::sigmoid, false, false, 0, 0},
    {"affine", Squash::Kind::affine, true, true, 1, 0},
    {"leakyrelu", Squash::Kind::leaky, true, false, 0.01f, 0},
    {"thresholdedrelu", Squash::Kind::thresholded, true, false, 1, 0},
    {"scaledtanh", Squash::Kind::scaled_tanh, true, true, 1, 1},
    {"hardsigmoid", Squash::Kind::hard_sigmoid, true, true, 0.2f, 0.5f},
    {"elu", Squash::Kind::elu, true, false, 1, 0},
    {"softsign", Squash::Kind::softsign, false, false, 0, 0},
    {"softplus", Squash::Kind::softplus, false, false, 0, 0},
};

const Known& find(const Node& node, const std::string& name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  for (const Known& k : known)
    if (k.name == lower) return k;
  fail(ErrorCode::invalid_model, node.label(), ": activation '", name, "' is not known; use Relu, Tanh, Sigmoid, Affine, LeakyRelu, ",
       "ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign or Softplus");
}

double squash(const Squash& s, double x) {
  switch (s.kind) {
    case Squash::Kind::relu: return x > 0 || x != x ? x : 0;
    case Squash::Kind::tanh: return std::tanh(x);
    case Squash::Kind::sigmoid: return 1 / (1 + std::exp(-x));
    case Squash::Kind::affine: return s.alpha * x + s.beta;
    case Squash::Kind::leaky: return x >= 0 ? x : s.alpha * x;
    case Squash::Kind::thresholded: return x >= s.alpha || x != x ? x : 0;
    case Squash::Kind::scaled_tanh: return s.alpha * std::tanh(s.beta * x);
    case Squash::Kind::hard_sigmoid: return x != x ? x : std::min(std::max(s.alpha * x + s.beta, 0.0), 1.0);
    case Squash::Kind::elu: return x >= 0 ? x : s.alpha * std::expm1(x);
    case Squash::Kind::softsign: return x / (1 + std::fabs(x));
    case Squash::Kind::softplus: return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
  return x;
}

}  // namespace

void apply(const Squash& s, double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = squash(s, x[i]);
}

void apply(const Squash& s, float* x, int64_t n) {
  using kernels::Unary;
  const auto& k = kernels::kernels();
  auto unary = [&](Unary f) { k.unary[static_cast<int>(f)](x, x, n, s.alpha, s.beta); };
  switch (s.kind) {
    case Squash::Kind::relu: return unary(Unary::relu);
    case Squash::Kind::tanh: return unary(Unary::tanh);
    case Squash::Kind::sigmoid: return unary(Unary::sigmoid);
    case Squash::Kind::affine: return k.multiply_add(x, s.alpha, s.beta, x, n);
    case Squash::Kind::leaky: return unary(Unary::leaky);
    case Squash::Kind::hard_sigmoid: return unary(Unary::hard_sigmoid);
    case Squash::Kind::elu: return unary(Unary::elu);
    case Squash::Kind::softsign: return unary(Unary::softsign);
    case Squash::Kind::softplus: return unary(Unary::softplus);
    case Squash::Kind::scaled_tanh:
      k.multiply_add(x, s.beta, 0, x, n);
      unary(Unary::tanh);
      return k.multiply_add(x, s.alpha, 0, x, n);
    case Squash::Kind::thresholded:
      for (int64_t i = 0; i < n; ++i) x[i] = x[i] >= s.alpha || x[i] != x[i] ? x[i] : 0;
  }
}

std::vector<Squash> parse_squashes(const Node& node, std::initializer_list<Squash::Kind> defaults, int directions) {
  std::vector<Squash> out;
  const auto& names = node.attributes.strings("activations");
  if (names.empty()) {
    for (int d = 0; d < directions; ++d)
      for (Squash::Kind kind : defaults) out.push_back({kind, 0, 0});
    return out;
  }
  // Trailing extra names are tolerated: RNN's own default lists two for either direction.
  const size_t wanted = defaults.size() * static_cast<size_t>(directions);
  if (names.size() < wanted)
    fail(ErrorCode::invalid_model, node.label(), ": activations has ", names.size(), " names; expected ", wanted);
  const auto &alphas = node.attributes.reals("activation_alpha"), &betas = node.attributes.reals("activation_beta");
  size_t a = 0, b = 0;
  for (size_t i = 0; i < wanted; ++i) {
    const Known& k = find(node, names[i]);
    out.push_back({k.kind, k.has_alpha && a < alphas.size() ? alphas[a++] : k.alpha, k.has_beta && b < betas.size() ? betas[b++] : k.beta});
  }
  return out;
}

}  // namespace outpost::recurrent
