// Elementary functions on one register of f32. Polynomials are minimax fits (Remez) of the stated expressions; ranges
// are reduced by two- or three-part constants (Cody and Waite 1980). Bounds in ulp against the exact value, over all
// finite inputs, as tests/kernels/unary_test.cpp checks them:
//   exp, expm1, log, log1p 2 · sigmoid, softplus 3 · silu, tanh, erf, mish 4 · sin, cos 2 (|x| <= 2^12, libm beyond)
//   silu, mish: besides that |x| 2^-149 where the factor is a denormal
//   gelu: |error| <= 2^-21 |x| (erf and tanh cancel against 1 for negative x).
#pragma once

#include "kernels/simd.h"

namespace outpost::kernels {
namespace {

constexpr float infinity = __builtin_inff();

// Nearest integer, ties to even; keeps the sign of zero. |x| >= 2^23 is whole already.
inline F32 round_even(F32 x) {
  const F32 magnitude = absolute(x);
  const F32 shifted = (magnitude + 0x1p23f) - 0x1p23f;
  return select(magnitude < 0x1p23f, copy_sign(shifted, x), x);
}
inline F32 floor(F32 x) {
  const F32 r = round_even(x);
  return copy_sign(select(r > x, r - 1.0f, r), x);
}
inline F32 ceil(F32 x) {
  const F32 r = round_even(x);
  return copy_sign(select(r < x, r + 1.0f, r), x);
}

// x = n ln 2 + r, |r| <= ln 2 / 2. `whole` is n as a float; |x| < 2^20.
struct ExpReduction {
  F32 r;
  I32 n;
  F32 whole;
};
inline ExpReduction reduce_exp(F32 x) {
  const F32 shifted = x * 0x1.715476p+0f + 0x1.8p23f;
  const F32 whole = shifted - 0x1.8p23f;
  const F32 r = x - whole * 0x1.62e4p-1f - whole * 0x1.7f7d1cp-20f;
  return {r, as_int(shifted) - 0x4b400000, whole};
}

// expm1(r) = r + r^2 P(r) for a reduced r; relative error of the polynomial 5e-11.
inline F32 expm1_reduced(F32 r) {
  F32 p = r * 0x1.a1b8c6p-13f + 0x1.6d9734p-10f;
  p = p * r + 0x1.11107cp-7f;
  p = p * r + 0x1.555480p-5f;
  p = p * r + 0x1.555556p-3f;
  p = p * r + 0.5f;
  return p * (r * r) + r;
}

// 2^n as a float, -126 <= n <= 127.
inline F32 power_of_two(I32 n) { return as_float((n + 127) << 23); }

// Scales in two steps, so that results below 2^-126 round once into the denormals and those above 2^127 overflow.
inline F32 scale_exp(F32 y, I32 n) {
  const I32 half = n >> 1;
  return y * power_of_two(half) * power_of_two(n - half);
}

inline F32 exp(F32 x) {
  const auto [r, n, whole] = reduce_exp(clamp(x, broadcast(-105.0f), broadcast(90.0f)));
  return scale_exp(expm1_reduced(r) + 1.0f, n);
}

inline F32 expm1(F32 x) {
  const auto [r, n, whole] = reduce_exp(clamp(x, broadcast(-30.0f), broadcast(90.0f)));
  const I32 half = n >> 1;
  const F32 first = power_of_two(half), second = power_of_two(n - half);
  // 2^n (expm1(r) + 1) - 1 with the 1 inside the first factor's scale, so that 2^128 does not overflow early.
  const F32 scale = first * second;
  const F32 small = expm1_reduced(r) * scale + (scale - 1.0f);
  const F32 large = (expm1_reduced(r) + 1.0f) * first * second;
  return select(x == 0.0f, x, select(whole > 24.0f, large, small));
}

// m in [sqrt 1/2, sqrt 2) and e with x = 2^e m, for x > 0; denormals are scaled up first.
inline F32 split_exponent(F32 x, F32& e) {
  const I32 tiny = x < 0x1p-126f;
  const I32 bits = as_int(select(tiny, x * 0x1p23f, x));
  const I32 shifted = bits - 0x3f3504f3;  // sqrt(1/2)
  e = __builtin_convertvector((shifted >> 23) - (tiny & 23), F32);
  return as_float((shifted & 0x007fffff) + 0x3f3504f3);
}

// log1p(f) for sqrt(1/2) <= 1 + f < sqrt(2): f - f^2/2 + f^3 P(f), plus e ln 2; `low` is added near the end.
inline F32 log_reduced(F32 f, F32 e, F32 low) {
  F32 p = f * 0x1.1b42d0p-4f - 0x1.e2e99cp-4f;
  p = p * f + 0x1.e6508ep-4f;
  p = p * f - 0x1.fb432ep-4f;
  p = p * f + 0x1.2332c2p-3f;
  p = p * f - 0x1.5562e4p-3f;
  p = p * f + 0x1.99a546p-3f;
  p = p * f - 0x1.ffffeep-3f;
  p = p * f + 0x1.555546p-2f;
  const F32 square = f * f;
  F32 y = p * (square * f) + (e * 0x1.7f7d1cp-20f + low);
  y = y - 0.5f * square;
  return e * 0x1.62e4p-1f + (f + y);
}

inline F32 log(F32 x) {
  F32 e;
  const F32 m = split_exponent(x, e);
  F32 y = log_reduced(m - 1.0f, e, broadcast(0.0f));
  y = select(x == infinity, x, y);
  y = select(x == 0.0f, broadcast(-infinity), y);
  return select((x < 0.0f) | (x != x), broadcast(__builtin_nanf("")), y);
}

// log(1 + u) for 0 <= u <= 1 or NaN; `low` carries what rounding 1 + u lost.
inline F32 log1p_unit(F32 u) {
  const F32 sum = 1.0f + u;
  const F32 lost = u - (sum - 1.0f);
  F32 e;
  const F32 m = split_exponent(sum, e);
  return select(u < 0x1p-24f, u, log_reduced(m - 1.0f, e, lost / sum));
}

inline F32 sigmoid(F32 x) {
  const F32 t = exp(-absolute(x));
  const F32 y = 1.0f / (1.0f + t);
  return select(x < 0.0f, t * y, y);
}
inline F32 silu(F32 x) { return select(x == -infinity, broadcast(-0.0f), x * sigmoid(x)); }

// -t / (t + 2) with t = expm1(-2|x|), and the sign of x.
inline F32 tanh(F32 x) {
  const F32 t = expm1(-2.0f * absolute(x));
  return copy_sign(t / (t + 2.0f), x);
}

// x P(x^2) below 1; 1 - exp(Q(x)) up to 4, where it rounds to 1.
inline F32 erf(F32 x) {
  const F32 magnitude = absolute(x), square = x * x;
  F32 p = square * 0x1.496a32p-14f - 0x1.a3f700p-11f;
  p = p * square + 0x1.5405b2p-8f;
  p = p * square - 0x1.b7f90ep-6f;
  p = p * square + 0x1.ce2cf8p-4f;
  p = p * square - 0x1.81273ep-2f;
  p = p * square + 0x1.20dd74p+0f;
  const F32 near = p * x;
  const F32 t = clamp(magnitude, broadcast(0.9f), broadcast(4.0f));
  F32 q = t * -0x1.630956p-16f + 0x1.c85bf6p-12f;
  q = q * t - 0x1.1196d2p-8f;
  q = q * t + 0x1.9bb50ep-6f;
  q = q * t - 0x1.bb926cp-4f;
  q = q * t - 0x1.444470p-1f;
  q = q * t - 0x1.212846p+0f;
  q = q * t + 0x1.70d55ap-13f;
  const auto [r, n, whole] = reduce_exp(q);
  const F32 far = 1.0f - (expm1_reduced(r) + 1.0f) * power_of_two(n);
  return select(magnitude < 1.0f, near, select(x != x, x, copy_sign(far, x)));
}

// x Phi(x) with Phi(x) = 1/2 + x P(x^2) up to 5.1, where it is 0 or 1 to 2^-22.4; P in powers of x^2 brought to -1..1,
// so that its terms do not cancel. |error of Phi| <= 2^-22.
inline F32 gelu_erf(F32 x) {
  constexpr float reach = 5.1f;
  const F32 w = (x * x) * 0x1.3af4aep-4f - 1.0f;
  F32 p = w * 0x1.2b3866p-13f - 0x1.acbda6p-12f;
  p = p * w + 0x1.fb8718p-12f;
  p = p * w - 0x1.bd50f4p-11f;
  p = p * w + 0x1.25938ap-9f;
  p = p * w - 0x1.1dd588p-8f;
  p = p * w + 0x1.d84f16p-8f;
  p = p * w - 0x1.783d9ap-7f;
  p = p * w + 0x1.1b0882p-6f;
  p = p * w - 0x1.8b7e7ap-6f;
  p = p * w + 0x1.042776p-5f;
  p = p * w - 0x1.4960b4p-5f;
  p = p * w + 0x1.9ffd44p-5f;
  p = p * w - 0x1.1aa376p-4f;
  p = p * w + 0x1.1bdd1ap-3f;
  const F32 near = x * (p * x + 0.5f);
  return select(absolute(x) > reach, max_second(x, broadcast(-0.0f)), near);
}
// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x sigmoid(2 ...)
inline F32 gelu_tanh(F32 x) {
  const F32 inner = x * 1.5957691216057308f * (1.0f + 0.044715f * x * x);
  return select(x < -20.0f, broadcast(-0.0f), x * sigmoid(inner));
}

inline F32 softplus(F32 x) { return max_nan(x, broadcast(0.0f)) + log1p_unit(exp(-absolute(x))); }

// x tanh(log(1 + e^x)) = x (t^2 + 2t) / (t^2 + 2t + 2), t = e^x; beyond 20 it is x.
inline F32 mish(F32 x) {
  const F32 t = exp(min_second(broadcast(20.0f), x));
  const F32 s = t * (t + 2.0f);
  return select(x > 20.0f, x, select(x == -infinity, broadcast(-0.0f), x * (s / (s + 2.0f))));
}

inline F32 hard_sigmoid(F32 x, F32 slope, F32 offset) {
  return clamp(x * slope + offset, broadcast(0.0f), broadcast(1.0f));
}
inline F32 hardswish(F32 x) {
  return select(x == -infinity, broadcast(-0.0f), x * hard_sigmoid(x, broadcast(1.0f / 6.0f), broadcast(0.5f)));
}

// sin(x + quarter * pi / 2) for |x| <= 2^12: x = n pi/2 + r, |r| <= pi/4. The parts of pi/2 have 11 bits, so that
// their products with n are exact without a fused multiply-add too.
inline F32 sin_quarter(F32 x, int quarter) {
  const F32 shifted = x * 0x1.45f306p-1f + 0x1.8p23f;
  const F32 whole = shifted - 0x1.8p23f;
  const I32 n = as_int(shifted) + quarter;  // the low two bits count quarters
  F32 r = x - whole * 0x1.92p+0f;
  r = r - whole * 0x1.fb4p-12f;
  r = r - whole * 0x1.444p-24f;
  r = r - whole * 0x1.68c234p-39f;
  const F32 u = r * r;
  F32 s = u * 0x1.6cd5ecp-19f - 0x1.a00f94p-13f;
  s = s * u + 0x1.111108p-7f;
  s = s * u - 0x1.555556p-3f;
  s = select(r == 0.0f, r, s * (u * r) + r);
  F32 c = u * -0x1.24290ap-22f + 0x1.a01118p-16f;
  c = c * u - 0x1.6c16b8p-10f;
  c = c * u + 0x1.555556p-5f;
  c = c * (u * u) + (1.0f - 0.5f * u);
  const F32 y = select((n & 1) != 0, c, s);
  return as_float(as_int(y) ^ ((n & 2) << 30));
}

}  // namespace
}  // namespace outpost::kernels
