// RNN (ONNX 22): H = f(X W + H R + biases).
#include <algorithm>

#include "ops/recurrent/recurrent.h"

namespace outpost {
namespace {

using recurrent::Recurrent;
using recurrent::Squash;
using recurrent::Step;

void infer(InferContext& c) { recurrent::infer(c, 1, 6); }
Cost cost(const CostContext& c) { return recurrent::cost(c, 1); }

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto def = recurrent::prepare(c, 1, {Squash::Kind::tanh});
  recurrent::set_parts(*def, {1});
  recurrent::pack_weights(c, *def);
  return def;
}

template <class T>
void step(const Step<T>& s) {
  s.product(0, 1, s.h, s.gates, s.gates, s.hidden);
  s.rows([&](int64_t first, int64_t last) {
    T* gates = s.gates + first * s.hidden;
    const int64_t n = (last - first) * s.hidden;
    s.clip(gates, n);
    apply(s.squashes[0], gates, n);
    std::copy_n(gates, n, s.h + first * s.hidden);
  });
}

bool early_bias(const Recurrent&, int) { return true; }

void run(RunContext& c) {
  if (c.in(0).dtype == DType::f64) recurrent::run<double>(c, step<double>, early_bias);
  else recurrent::run<float>(c, step<float>, early_bias);
}

}  // namespace

OUTPOST_DEFINE_OP(RNN, .name = "RNN", .since = 22, .first = 1, .min_inputs = 3, .max_inputs = 6, .min_outputs = 0, .max_outputs = 2,
                  .doc = "simple recurrent layer over a sequence", .infer = infer, .run = run, .upgrade = recurrent::upgrade, .cost = cost,
                  .prepare = prepare, .scratch = recurrent::scratch,
                  .cases = R"(hidden_size=3 | f32[4,2,5] f32[1,3,5] f32[1,3,3]
hidden_size=2 direction="bidirectional" layout=1 activations=["Relu","ScaledTanh"] | f32[2,3,4] f32[2,2,4] f32[2,2,2] f32[2,4] i32[2]={3,1} f32[2,2,2]
hidden_size=3 | f32[0,2,5] f32[1,3,5] f32[1,3,3])");

}  // namespace outpost
