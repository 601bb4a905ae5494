// Products with weights of 4 bits in scaled blocks, for few rows: weights are unpacked in registers, each once, and never
// stored. A byte holds two neighbouring weights, so that the row comes apart into its even and odd values beforehand.
// Per register of bytes: one load, a shift, a mask, two conversions, and two multiply-adds a row.
#include "kernels/table.h"
#include "kernels/simd.h"

namespace outpost::kernels {
namespace {

// A byte in every lane.
inline I32 load_bytes(const uint8_t* p) {
#if defined(OUTPOST_ISA_avx512)
  return (I32)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(OUTPOST_ISA_avx2)
  return (I32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  I32 v;
  for (int i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
#endif
}

inline float sum_lanes(F32 v) {
  float part[lanes], total = 0;
  store(part, v);
  for (float x : part) total += x;
  return total;
}

template <int rows>
void dot_rows(const Blocks4& w, const float* x, int64_t x_row, float* y) {
  F32 total[rows] = {};
  const uint8_t* q = w.bytes;
  for (int64_t b = 0; b < w.blocks; ++b) {
    const float zero = w.zeros ? w.zeros[b] : 8.0f;
    F32 block[rows] = {};
    for (int64_t i = 0; i < w.block_bytes; i += lanes, q += lanes) {
      const I32 both = load_bytes(q);
      const F32 low = __builtin_convertvector(both & 15, F32) - zero, high = __builtin_convertvector(both >> 4, F32) - zero;
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const float* even = x + r * x_row + 2 * b * w.block_bytes + i;
        block[r] += low * load(even);
        block[r] += high * load(even + w.block_bytes);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) total[r] += block[r] * w.scales[b];
  }
  for (int r = 0; r < rows; ++r) y[r] = sum_lanes(total[r]);
}

void dot(const Blocks4& w, const float* x, int64_t x_row, int rows, float* y) {
  switch (rows) {
    case 1: return dot_rows<1>(w, x, x_row, y);
    case 2: return dot_rows<2>(w, x, x_row, y);
    case 3: return dot_rows<3>(w, x, x_row, y);
    default: return dot_rows<4>(w, x, x_row, y);
  }
}

}  // namespace

void OUTPOST_ISA::fill_blocks4(Kernels& table) { table.dot_blocks4 = dot; }

}  // namespace outpost::kernels
