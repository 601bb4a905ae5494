// LSTM (ONNX 22): i, o, f, c gates, peepholes, clipped or coupled gates, any activations.
//   i = f(Xi + H Ri + Pi C)   f = f(Xf + H Rf + Pf C)   c = g(Xc + H Rc)
//   C = f C + i c             o = f(Xo + H Ro + Po C)   H = o h(C)
#include <algorithm>

#include "kernels/kernels.h"
#include "ops/recurrent/recurrent.h"

namespace outpost {
namespace {

using recurrent::Recurrent;
using recurrent::Squash;
using recurrent::Step;

constexpr std::initializer_list<Squash::Kind> squashes = {Squash::Kind::sigmoid, Squash::Kind::tanh, Squash::Kind::tanh};

void infer(InferContext& c) { recurrent::infer(c, 4, 8); }
Cost cost(const CostContext& c) { return recurrent::cost(c, 4); }

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto def = recurrent::prepare(c, 4, squashes);
  recurrent::set_parts(*def, {4});
  recurrent::pack_weights(c, *def);
  return def;
}

template <class T>
void add_product(T* y, const T* a, const T* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += a[i] * b[i];
}

template <class T>
void apply_clipped(const Step<T>& s, T* x, int64_t n) {
  s.clip(x, n);
  apply(s.squashes[0], x, n);
}

// One row of the batch.
template <class T>
void cell_row(const Step<T>& s, T* gates, T* cell, T* h) {
  const int64_t n = s.hidden;
  T *i = gates, *o = gates + n, *f = gates + 2 * n, *c = gates + 3 * n;
  if (s.peephole) {
    add_product(i, s.peephole, cell, n);
    add_product(f, s.peephole + 2 * n, cell, n);
  }
  if (!s.peephole) apply_clipped(s, i, 3 * n);  // o waits for nothing
  else apply_clipped(s, i, n), apply_clipped(s, f, n);
  s.clip(c, n);
  apply(s.squashes[1], c, n);
  if (s.def.input_forget)
    for (int64_t j = 0; j < n; ++j) f[j] = 1 - i[j];
  for (int64_t j = 0; j < n; ++j) cell[j] = f[j] * cell[j] + i[j] * c[j];
  if (s.peephole) {
    add_product(o, s.peephole + n, cell, n);
    apply_clipped(s, o, n);
  }
  std::copy_n(cell, n, c);
  apply(s.squashes[2], c, n);
  for (int64_t j = 0; j < n; ++j) h[j] = o[j] * c[j];
}

template <class T>
void step(const Step<T>& s) {
  const int64_t width = 4 * s.hidden;
  s.product(0, 4, s.h, s.gates, s.gates, width);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!s.peephole && usual_cell(s.def, s.squashes))
      return s.rows([&](int64_t first, int64_t last) {
        for (int64_t b = first; b < last; ++b)
          kernels::kernels().lstm_cell(s.gates + b * width, s.cell + b * s.hidden, s.h + b * s.hidden, s.hidden);
      });
  }
  s.rows([&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) cell_row(s, s.gates + b * width, s.cell + b * s.hidden, s.h + b * s.hidden);
  });
}

bool early_bias(const Recurrent&, int) { return true; }

void run(RunContext& c) {
  if (c.in(0).dtype == DType::f64) recurrent::run<double>(c, step<double>, early_bias);
  else recurrent::run<float>(c, step<float>, early_bias);
}

}  // namespace

OUTPOST_DEFINE_OP(LSTM, .name = "LSTM", .since = 22, .first = 1, .min_inputs = 3, .max_inputs = 8, .min_outputs = 0, .max_outputs = 3,
                  .doc = "long short-term memory over a sequence", .infer = infer, .run = run, .upgrade = recurrent::upgrade, .cost = cost,
                  .prepare = prepare, .scratch = recurrent::scratch,
                  .cases = R"(hidden_size=3 | f32[4,2,5] f32[1,12,5] f32[1,12,3]
hidden_size=2 direction="bidirectional" layout=1 clip=0.5 | f32[2,3,4] f32[2,8,4] f32[2,8,2] f32[2,16] i32[2]={3,1} f32[2,2,2] f32[2,2,2] f32[2,6]
hidden_size=2 direction="reverse" input_forget=1 activations=["HardSigmoid","Softsign","Affine"] activation_alpha=[0.3,0.9] | f32[3,1,2] f32[1,8,2] f32[1,8,2]
hidden_size=3 | f32[0,2,5] f32[1,12,5] f32[1,12,3])");

}  // namespace outpost
