// GRU (ONNX 22): z, r, h gates; the reset gate before the recurrent product or after it (linear_before_reset).
//   z = f(Xz + H Rz)   r = f(Xr + H Rr)
//   h = g(Xh + (r H) Rh + bh)   or   g(Xh + r (H Rh + bh))
//   H = (1 - z) h + z H
#include "kernels/kernels.h"
#include "ops/recurrent/recurrent.h"

namespace outpost {
namespace {

using recurrent::Recurrent;
using recurrent::Squash;
using recurrent::Step;

constexpr std::initializer_list<Squash::Kind> squashes = {Squash::Kind::sigmoid, Squash::Kind::tanh};

void infer(InferContext& c) { recurrent::infer(c, 3, 6); }
Cost cost(const CostContext& c) { return recurrent::cost(c, 3); }

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto def = recurrent::prepare(c, 3, squashes);
  if (def->linear_before_reset) recurrent::set_parts(*def, {3});
  else recurrent::set_parts(*def, {2, 1});
  recurrent::pack_weights(c, *def);
  return def;
}

template <class T>
void blend(const T* z, const T* candidate, T* h, int64_t n) {
  for (int64_t j = 0; j < n; ++j) h[j] = (1 - z[j]) * candidate[j] + z[j] * h[j];
}

// The whole recurrent product first, then elementwise. Biases of z and r went in with the input's; h's is added here.
template <class T>
void step_linear_first(const Step<T>& s) {
  const int64_t n = s.hidden, width = 3 * n;
  s.product(0, 3, s.h, s.extra, nullptr, width);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (usual_cell(s.def, s.squashes))
      return s.rows([&](int64_t first, int64_t last) {
        const T* bias = s.recurrent_bias ? s.recurrent_bias + 2 * n : nullptr;
        for (int64_t b = first; b < last; ++b)
          kernels::kernels().gru_cell(s.gates + b * width, s.extra + b * width, bias, s.h + b * n, n);
      });
  }
  s.rows([&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      T *gates = s.gates + b * width, *recurrent = s.extra + b * width, *candidate = gates + 2 * n;
      for (int64_t j = 0; j < 2 * n; ++j) gates[j] += recurrent[j];
      s.clip(gates, 2 * n);
      apply(s.squashes[0], gates, 2 * n);
      if (s.recurrent_bias)
        for (int64_t j = 2 * n; j < width; ++j) recurrent[j] += s.recurrent_bias[j];
      for (int64_t j = 0; j < n; ++j) candidate[j] += gates[n + j] * recurrent[2 * n + j];
      s.clip(candidate, n);
      apply(s.squashes[1], candidate, n);
      blend(gates, candidate, s.h + b * n, n);
    }
  });
}

// z and r first, then the product of the state that r lets through.
template <class T>
void step_reset_first(const Step<T>& s) {
  const int64_t n = s.hidden, width = 3 * n;
  s.product(0, 2, s.h, s.gates, s.gates, width);
  s.rows([&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      T* gates = s.gates + b * width;
      s.clip(gates, 2 * n);
      apply(s.squashes[0], gates, 2 * n);
      for (int64_t j = 0; j < n; ++j) s.extra[b * n + j] = gates[n + j] * s.h[b * n + j];
    }
  });
  s.product(2, 1, s.extra, s.gates + 2 * n, s.gates + 2 * n, width);
  s.rows([&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      T* gates = s.gates + b * width;
      s.clip(gates + 2 * n, n);
      apply(s.squashes[1], gates + 2 * n, n);
      blend(gates, gates + 2 * n, s.h + b * n, n);
    }
  });
}

// The h gate's recurrent bias stands inside the reset when the product comes first.
bool early_bias(const Recurrent& def, int gate) { return gate < 2 || !def.linear_before_reset; }

void run(RunContext& c) {
  const bool linear_first = c.prepared<Recurrent>().linear_before_reset;
  if (c.in(0).dtype == DType::f64) recurrent::run<double>(c, linear_first ? step_linear_first<double> : step_reset_first<double>, early_bias);
  else recurrent::run<float>(c, linear_first ? step_linear_first<float> : step_reset_first<float>, early_bias);
}

}  // namespace

OUTPOST_DEFINE_OP(GRU, .name = "GRU", .since = 22, .first = 1, .min_inputs = 3, .max_inputs = 6, .min_outputs = 0, .max_outputs = 2,
                  .doc = "gated recurrent unit over a sequence", .infer = infer, .run = run, .upgrade = recurrent::upgrade, .cost = cost,
                  .prepare = prepare, .scratch = recurrent::scratch,
                  .cases = R"(hidden_size=3 | f32[4,2,5] f32[1,9,5] f32[1,9,3]
hidden_size=2 direction="bidirectional" layout=1 linear_before_reset=1 | f32[2,3,4] f32[2,6,4] f32[2,6,2] f32[2,12] i32[2]={3,1} f32[2,2,2]
hidden_size=2 direction="reverse" clip=0.4 activations=["HardSigmoid","LeakyRelu"] | f32[3,1,2] f32[1,6,2] f32[1,6,2] f32[1,12]
hidden_size=3 | f32[2,0,5] f32[1,9,5] f32[1,9,3])");

}  // namespace outpost
