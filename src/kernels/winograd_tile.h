// The transforms of Winograd convolution for 3x3 kernels, F(m x m). Along an axis n = m + 2 inputs d become v = B^T d,
// three weights g become u = G g, and the m outputs are A^T (u v): n products instead of 3 m, by Toom-Cook with the
// points 0, +-a, (+-b,) infinity. In two dimensions columns, then lines.
//
// The points decide the rounding. m = 4 with the customary 0, +-1, +-2 has 4.4 times the error of the direct sum; with
// a = 5/8, b = 3/2 it has 1.7 to 2.1 times (docs/numerics.md) at the same cost: B^T is made of fused multiply-adds
// anyway, and its coefficients (a^2 b^2 = 225/256, ...) are exact in f32.
//
// Sources: Winograd 1980; Lavin and Gray 2016 (arXiv 1509.09308); on points Barabasz et al. 2020 (arXiv 1803.10986).
#pragma once

#include "kernels/simd.h"

namespace outpost::kernels {
namespace {

template <int m>
struct WinogradLine;

template <>
struct WinogradLine<4> {
  static constexpr int points = 6;
  static constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;

  static void input(const F32 (&d)[6], F32 (&v)[6]) {
    const F32 e1 = d[4] - b2 * d[2], o1 = d[3] - b2 * d[1];
    const F32 e2 = d[4] - a2 * d[2], o2 = d[3] - a2 * d[1];
    v[0] = a2 * b2 * d[0] + (d[4] - (a2 + b2) * d[2]);
    v[1] = e1 + a * o1;
    v[2] = e1 - a * o1;
    v[3] = e2 + b * o2;
    v[4] = e2 - b * o2;
    v[5] = a2 * b2 * d[1] + (d[5] - (a2 + b2) * d[3]);
  }
  static void output(const F32 (&p)[6], F32 (&y)[4]) {
    const F32 s1 = p[1] + p[2], d1 = p[1] - p[2], s2 = p[3] + p[4], d2 = p[3] - p[4];
    y[0] = p[0] + s1 + s2;
    y[1] = a * d1 + b * d2;
    y[2] = a2 * s1 + b2 * s2;
    y[3] = a2 * a * d1 + (b2 * b * d2 + p[5]);
  }
  static void weights(const double (&g)[3], double (&u)[6]) {
    constexpr double fa = 2.0 * a2 * (a2 - b2), fb = 2.0 * b2 * (b2 - a2);
    u[0] = g[0] / (a2 * b2);
    u[1] = (g[0] + a * g[1] + a2 * g[2]) / fa;
    u[2] = (g[0] - a * g[1] + a2 * g[2]) / fa;
    u[3] = (g[0] + b * g[1] + b2 * g[2]) / fb;
    u[4] = (g[0] - b * g[1] + b2 * g[2]) / fb;
    u[5] = g[2];
  }
  // The weights back from their transform.
  static void original(const F32 (&u)[6], F32 (&g)[3]) {
    g[0] = u[0] * (a2 * b2);
    g[1] = (u[1] - u[2]) * (a * (a2 - b2));
    g[2] = u[5];
  }
};

template <>
struct WinogradLine<2> {
  static constexpr int points = 4;

  static void input(const F32 (&d)[4], F32 (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  static void output(const F32 (&p)[4], F32 (&y)[2]) {
    y[0] = p[0] + p[1] + p[2];
    y[1] = p[1] - p[2] + p[3];
  }
  static void weights(const double (&g)[3], double (&u)[4]) {
    u[0] = g[0];
    u[1] = (g[0] + g[1] + g[2]) / 2;
    u[2] = (g[0] - g[1] + g[2]) / 2;
    u[3] = g[2];
  }
  static void original(const F32 (&u)[4], F32 (&g)[3]) {
    g[0] = u[0];
    g[1] = u[1] - u[2];
    g[2] = u[3];
  }
};

#define OUTPOST_UNROLL _Pragma("GCC unroll 8")

// A tile of n x n inputs, a register of channels each, `row` floats from one row to the next. Frequency (i, j) goes to
// v + (i n + j) stride.
template <int m>
inline void winograd_input(const float* x, int64_t row, float* v, int64_t stride) {
  constexpr int n = m + 2;
  F32 half[n][n];
  OUTPOST_UNROLL for (int j = 0; j < n; ++j) {
    F32 d[n], u[n];
    OUTPOST_UNROLL for (int i = 0; i < n; ++i) d[i] = load(x + i * row + j * lanes);
    WinogradLine<m>::input(d, u);
    OUTPOST_UNROLL for (int i = 0; i < n; ++i) half[i][j] = u[i];
  }
  OUTPOST_UNROLL for (int i = 0; i < n; ++i) {
    F32 u[n];
    WinogradLine<m>::input(half[i], u);
    OUTPOST_UNROLL for (int j = 0; j < n; ++j) store(v + (i * n + j) * stride, u[j]);
  }
}

// The first half of the way back: columns. The sum over `half` in `check` is not finite where a product was not.
template <int m>
inline void winograd_output_columns(const float* p, int64_t stride, F32 (&half)[m][m + 2], F32& check) {
  constexpr int n = m + 2;
  check = F32{};
  OUTPOST_UNROLL for (int j = 0; j < n; ++j) {
    F32 d[n], y[m];
    OUTPOST_UNROLL for (int i = 0; i < n; ++i) d[i] = load(p + (i * n + j) * stride);
    WinogradLine<m>::output(d, y);
    OUTPOST_UNROLL for (int i = 0; i < m; ++i) half[i][j] = y[i];
    check += y[0] + y[m - 1];
  }
}

// Nine weights, `stride` floats from a frequency to the next, from their transform.
template <int m>
inline void winograd_original(const float* u, int64_t stride, F32 (&g)[3][3]) {
  constexpr int n = m + 2;
  F32 half[3][n];
  OUTPOST_UNROLL for (int j = 0; j < n; ++j) {
    F32 from[n], to[3];
    OUTPOST_UNROLL for (int i = 0; i < n; ++i) from[i] = load(u + (i * n + j) * stride);
    WinogradLine<m>::original(from, to);
    OUTPOST_UNROLL for (int i = 0; i < 3; ++i) half[i][j] = to[i];
  }
  OUTPOST_UNROLL for (int i = 0; i < 3; ++i) WinogradLine<m>::original(half[i], g[i]);
}

}  // namespace
}  // namespace outpost::kernels
