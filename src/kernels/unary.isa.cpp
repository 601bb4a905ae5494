// Elementwise functions of one f32 operand: a loop over registers around each function of vector_math.h.
#include <cmath>

#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

struct Parameters {
  F32 a, b;
};

using Function = F32 (*)(F32 x, Parameters p);

template <Function function>
void map(const float* x, float* y, int64_t n, float a, float b) {
  const Parameters p{broadcast(a), broadcast(b)};
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const F32 first = load(x + i), second = load(x + i + lanes);
    store(y + i, function(first, p));
    store(y + i + lanes, function(second, p));
  }
  for (; i + lanes <= n; i += lanes) store(y + i, function(load(x + i), p));
  if (i < n) store_part(y + i, function(load_part(x + i, n - i), p), n - i);
}

inline F32 relu(F32 x, Parameters) { return select(x < 0.0f, F32{}, x); }
inline F32 leaky(F32 x, Parameters p) { return select(x < 0.0f, x * p.a, x); }
inline F32 negate(F32 x, Parameters) { return -x; }
inline F32 magnitude(F32 x, Parameters) { return absolute(x); }
inline F32 square(F32 x, Parameters) { return x * x; }
inline F32 root(F32 x, Parameters) { return square_root(x); }
inline F32 inverse_root(F32 x, Parameters) { return 1.0f / square_root(x); }
inline F32 reciprocal(F32 x, Parameters) { return 1.0f / x; }
inline F32 softsign(F32 x, Parameters) {
  return select(absolute(x) == infinity, copy_sign(broadcast(1.0f), x), x / (1.0f + absolute(x)));
}
inline F32 elu(F32 x, Parameters p) { return select(x < 0.0f, p.a * expm1(x), x); }
inline F32 celu(F32 x, Parameters p) { return select(x < 0.0f, p.a * expm1(x / p.a), x); }
inline F32 selu(F32 x, Parameters p) { return p.b * select(x < 0.0f, p.a * expm1(x), x); }
inline F32 clip(F32 x, Parameters p) { return clamp(x, p.a, p.b); }

template <F32 (*f)(F32)>
inline F32 plain(F32 x, Parameters) {
  return f(x);
}

inline F32 slope_offset(F32 x, Parameters p) { return hard_sigmoid(x, p.a, p.b); }

// Beyond 2^12 the reduction loses accuracy: those vectors go to libm, lane by lane.
template <int quarter>
inline F32 sine(F32 x, Parameters) {
  const I32 far = absolute(x) > 0x1p12f;
  int any = 0;
  for (int i = 0; i < lanes; ++i) any |= far[i];
  if (__builtin_expect(!any, 1)) return sin_quarter(x, quarter);
  for (int i = 0; i < lanes; ++i) x[i] = quarter ? ::cosf(x[i]) : ::sinf(x[i]);
  return x;
}

}  // namespace

void OUTPOST_ISA::fill_unary(Kernels& table) {
  const auto set = [&table](Unary name, UnaryKernel kernel) { table.unary[int(name)] = kernel; };
  set(Unary::relu, map<relu>);
  set(Unary::leaky, map<leaky>);
  set(Unary::negate, map<negate>);
  set(Unary::absolute, map<magnitude>);
  set(Unary::square, map<square>);
  set(Unary::sqrt, map<root>);
  set(Unary::rsqrt, map<inverse_root>);
  set(Unary::reciprocal, map<reciprocal>);
  set(Unary::exp, map<plain<exp>>);
  set(Unary::log, map<plain<log>>);
  set(Unary::tanh, map<plain<tanh>>);
  set(Unary::sigmoid, map<plain<sigmoid>>);
  set(Unary::erf, map<plain<erf>>);
  set(Unary::gelu_erf, map<plain<gelu_erf>>);
  set(Unary::gelu_tanh, map<plain<gelu_tanh>>);
  set(Unary::silu, map<plain<silu>>);
  set(Unary::softplus, map<plain<softplus>>);
  set(Unary::softsign, map<softsign>);
  set(Unary::hardswish, map<plain<hardswish>>);
  set(Unary::hard_sigmoid, map<slope_offset>);
  set(Unary::elu, map<elu>);
  set(Unary::celu, map<celu>);
  set(Unary::selu, map<selu>);
  set(Unary::mish, map<plain<mish>>);
  set(Unary::clip, map<clip>);
  set(Unary::floor, map<plain<floor>>);
  set(Unary::ceil, map<plain<ceil>>);
  set(Unary::round_even, map<plain<round_even>>);
  set(Unary::sin, map<sine<0>>);
  set(Unary::cos, map<sine<1>>);
}

}  // namespace outpost::kernels
