// Weighted sums: of whole rows, and of positions picked by a table (the two halves of any separable resampling).
#include "kernels/simd.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

template <int count>
void mix_few(const float* const* rows, const float* weights, float* y, int64_t n) {
  F32 w[count];
  for (int k = 0; k < count; ++k) w[k] = broadcast(weights[k]);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t left = n - i;
    F32 sum = {};
    if (left >= lanes) {
      for (int k = 0; k < count; ++k) sum = load(rows[k] + i) * w[k] + sum;
      store(y + i, sum);
    } else {
      for (int k = 0; k < count; ++k) sum = load_part(rows[k] + i, left) * w[k] + sum;
      store_part(y + i, sum, left);
    }
  }
}

void mix_rows(const float* const* rows, const float* weights, int64_t count, float* y, int64_t n) {
  if (count == 1) return mix_few<1>(rows, weights, y, n);
  if (count == 2) return mix_few<2>(rows, weights, y, n);
  if (count == 4) return mix_few<4>(rows, weights, y, n);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t left = n - i;
    F32 sum = {};
    if (left >= lanes) {
      for (int64_t k = 0; k < count; ++k) sum = load(rows[k] + i) * broadcast(weights[k]) + sum;
      store(y + i, sum);
    } else {
      for (int64_t k = 0; k < count; ++k) sum = load_part(rows[k] + i, left) * broadcast(weights[k]) + sum;
      store_part(y + i, sum, left);
    }
  }
}

// Tables are (tap, position), so that neighbouring positions are neighbours in memory.
void mix_single(const float* x, const int32_t* index, const float* weights, int64_t taps, int64_t n,
                float* __restrict__ y) {
  if (taps == 2) {
    for (int64_t i = 0; i < n; ++i) y[i] = weights[i] * x[index[i]] + weights[n + i] * x[index[n + i]];
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = weights[i] * x[index[i]];
  for (int64_t t = 1; t < taps; ++t)
    for (int64_t i = 0; i < n; ++i) y[i] += weights[t * n + i] * x[index[t * n + i]];
}

void mix_columns(const float* x, const int32_t* index, const float* weights, int64_t taps, int64_t inner, int64_t n,
                 float* y) {
  if (inner == 1) return mix_single(x, index, weights, taps, n, y);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < inner; c += lanes) {
      const int64_t left = inner - c;
      F32 sum = {};
      for (int64_t t = 0; t < taps; ++t) {
        const float* from = x + index[t * n + i] * inner + c;
        sum = (left >= lanes ? load(from) : load_part(from, left)) * broadcast(weights[t * n + i]) + sum;
      }
      if (left >= lanes) store(y + i * inner + c, sum);
      else store_part(y + i * inner + c, sum, left);
    }
}

}  // namespace

void OUTPOST_ISA::fill_mix(Kernels& table) {
  table.mix_rows = mix_rows;
  table.mix_columns = mix_columns;
}

}  // namespace outpost::kernels
