// What the 8-bit kernels share: turning sums into codes, and the padded copy of the rows of x that a tile reads.
// Compiled without contraction of floating-point operations (CMakeLists.txt): every set gives the same bits.
#pragma once

#include "kernels/gemm_pack.h"
#include "kernels/int8.h"

namespace outpost::kernels {
namespace {

constexpr int block_vectors = int(byte_block) / lanes;  // registers of sums for one position and block

inline float absolute(float x) { return x < 0 ? -x : x; }

// |x| < 2^22, ties to even.
inline F32 round_small(F32 x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

typedef uint8_t LaneBytes __attribute__((vector_size(lanes)));

inline F32 load_codes(const uint8_t* p) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  return (F32)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(OUTPOST_ISA_avx2)
  return (F32)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  LaneBytes bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, I32), F32);
#endif
}

// A code less its zero point, before the last rounding. `residual`: the codes at this place, where has_residual.
template <bool has_residual, bool fits = false>
inline F32 requantised(I32 sum, F32 scale, const Requantise& q, const uint8_t* residual) {
  const F32 own = clamp(__builtin_convertvector(sum, F32) * scale, broadcast(q.low), broadcast(q.high));
  if constexpr (!has_residual) return own;
  const F32 both = (round_small(own) * q.own + load_codes(residual) * q.other) + q.offset;
  return fits ? both : clamp(both, broadcast(q.sum_low), broadcast(q.sum_high));
}

#if defined(OUTPOST_ISA_avx512) && defined(__AVX512BW__)
// The codes of four positions, 16 channels each, in order: packing works within 128-bit parts, the permutation mends it.
inline __m512i pack_codes(F32 a, F32 b, F32 c, F32 d, int32_t zero) {
  const __m512i ab = _mm512_packs_epi32(_mm512_cvtps_epi32((__m512)a), _mm512_cvtps_epi32((__m512)b));
  const __m512i cd = _mm512_packs_epi32(_mm512_cvtps_epi32((__m512)c), _mm512_cvtps_epi32((__m512)d));
  const __m512i offset = _mm512_set1_epi16(int16_t(zero));
  const __m512i mixed = _mm512_packus_epi16(_mm512_adds_epi16(ab, offset), _mm512_adds_epi16(cd, offset));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, mixed);
}
#endif

#if defined(OUTPOST_ISA_avx512) && defined(__AVX512BW__)
// Inlined for certain: sums whose address is taken would leave their registers in the loop before.
template <bool has_residual, bool fits, int columns, int stride>
[[gnu::always_inline]] inline void write_packed(const I32 (&sum)[columns][stride], int vector, F32 scale,
                                                const Requantise& q, const uint8_t* residual, uint8_t* y) {
  const float least = has_residual ? q.sum_low : q.low, most = has_residual ? q.sum_high : q.high;
  const __m512i low = _mm512_set1_epi8(char(int(least) + q.zero)), high = _mm512_set1_epi8(char(int(most) + q.zero));
#pragma GCC unroll 8
  for (int c = 0; c < columns; c += 4) {
    F32 value[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int at = c + i < columns ? c + i : c;
      const uint8_t* other = has_residual ? residual + at * byte_block : nullptr;
      if constexpr (fits && !has_residual) value[i] = __builtin_convertvector(sum[at][vector], F32) * scale;
      else value[i] = requantised<has_residual, fits>(sum[at][vector], scale, q, other);
    }
    __m512i codes = pack_codes(value[0], value[1], value[2], value[3], q.zero);
    if constexpr (fits) codes = _mm512_min_epu8(_mm512_max_epu8(codes, low), high);
    if (columns - c >= 4) _mm512_storeu_si512(y + c * byte_block, codes);
    else _mm512_mask_storeu_epi32(y + c * byte_block, __mmask16((1u << (4 * (columns - c))) - 1), codes);
  }
}
#endif

// `columns` positions of one block: sums already hold the bias. y and the residual are contiguous over positions.
template <bool has_residual, int columns, int stride>
[[gnu::always_inline]] inline void write_codes(const I32 (&sum)[columns][stride], int vector, const float* scale,
                                               const Requantise& q, const uint8_t* residual, uint8_t* y) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512BW__)
  const bool small = !has_residual || 255 * (absolute(q.own) + absolute(q.other)) + absolute(q.offset) < 0x1p30f;
  if (q.fits && small) return write_packed<has_residual, true>(sum, vector, load(scale), q, residual, y);
  write_packed<has_residual, false>(sum, vector, load(scale), q, residual, y);
#else
#pragma GCC unroll 16
  for (int c = 0; c < columns; ++c)
#pragma GCC unroll 4
    for (int v = 0; v < block_vectors; ++v) {
      const int at = c * int(byte_block) + v * lanes;
      const F32 value = requantised<has_residual>(sum[c][vector + v], load(scale + v * lanes), q,
                                                  has_residual ? residual + at : nullptr);
      const I32 code = __builtin_convertvector(round_small(value), I32) + q.zero;
      const LaneBytes bytes = __builtin_convertvector(code, LaneBytes);
      __builtin_memcpy(y + at, &bytes, sizeof bytes);
    }
#endif
}

// The rows of x that output rows need, copied with their padding. Columns are dealt to `phases` by their place modulo
// the stride, so that neighbouring output positions read neighbouring places whatever the stride.
struct Band {
  int64_t stride_h, stride_w, reach_h, reach_w;  // reach: last tap, in input positions
  int64_t phases, phase_width;                   // places of a phase in a row
  int64_t place_bytes, row_bytes;

  Band(const Window& w, int64_t block, int64_t element_bytes) {
    stride_h = w.stride[1], stride_w = w.stride[2];
    reach_h = (w.kernel[1] - 1) * w.dilation[1], reach_w = (w.kernel[2] - 1) * w.dilation[2];
    phases = smaller(stride_w, reach_w + 1);
    phase_width = w.out[2] + reach_w / stride_w;
    place_bytes = block * element_bytes;
    row_bytes = phases * phase_width * place_bytes;
  }
  int64_t rows(int64_t out_rows) const { return (out_rows - 1) * stride_h + reach_h + 1; }
  // Byte offset of tap column kx (in input positions) within a row.
  int64_t tap(int64_t column) const {
    return (column % stride_w * phase_width + column / stride_w) * place_bytes;
  }
};

template <int element_bytes>
inline void copy_places(const uint8_t* from, uint8_t* to, int64_t bytes) {
  if constexpr (element_bytes == 1) __builtin_memcpy(to, from, size_t(bytes));
  else
    for (int64_t i = 0; i < bytes; ++i) reinterpret_cast<int16_t*>(to)[i] = from[i];
}

template <int element_bytes>
inline void fill_places(uint8_t* to, int64_t count, uint8_t value) {
  if constexpr (element_bytes == 1) __builtin_memset(to, value, size_t(count));
  else
    for (int64_t i = 0; i < count; ++i) reinterpret_cast<int16_t*>(to)[i] = value;
}

// One block of channels: input rows from `first` on, `rows` of them, of a plane of x.
template <int element_bytes, int block>
inline void copy_band_block(const Window& w, const Band& b, const uint8_t* plane, int64_t first, int64_t rows,
                            uint8_t zero, uint8_t* to) {
  for (int64_t r = 0; r < rows; ++r, to += b.row_bytes) {
    if (r % b.stride_h > b.reach_h) continue;
    const int64_t h = first + r;
    if (h < 0 || h >= w.in[1]) {
      fill_places<element_bytes>(to, b.row_bytes / element_bytes, zero);
      continue;
    }
    const uint8_t* row = plane + h * w.in[2] * block;
    uint8_t* out = to;
    for (int64_t f = 0; f < b.phases; ++f) {
      // Place j holds column j * stride + f - pad: inside for j in [begin, end).
      const int64_t shift = f - w.pad[2];
      const int64_t begin = smaller(b.phase_width, shift >= 0 ? 0 : ceil_divide(-shift, b.stride_w));
      const int64_t end = larger(begin, smaller(b.phase_width, w.in[2] > shift ? ceil_divide(w.in[2] - shift, b.stride_w) : 0));
      fill_places<element_bytes>(out, begin * block, zero);
      const uint8_t* from = row + (begin * b.stride_w + shift) * block;
      if (b.stride_w == 1) {
        copy_places<element_bytes>(from, out + begin * b.place_bytes, (end - begin) * block);
      } else {
        for (int64_t j = begin; j < end; ++j, from += b.stride_w * block)
          copy_places<element_bytes>(from, out + j * b.place_bytes, block);
      }
      fill_places<element_bytes>(out + end * b.place_bytes, (b.phase_width - end) * block, zero);
      out += b.phase_width * b.place_bytes;
    }
  }
}

}  // namespace
}  // namespace outpost::kernels
