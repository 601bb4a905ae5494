// Depthwise convolution of 8-bit blocks on VNNI: four neighbouring columns of 16 channels are turned from (column,
// channel) to (channel, column) by two shuffles, so that vpdpbusd sums up to four taps of a row at once. At stride 1 and
// up to three taps the same window serves the next position too, with its weights moved by one place.
#include "kernels/depthwise_int8_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

// Four places, `apart` bytes from one to the next, as (channel, place).
inline __m512i window_of(const uint8_t* x, int64_t apart) {
  __m512i bytes;
  if (apart == byte_block) {
    bytes = _mm512_loadu_si512(x);
  } else {
    bytes = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + apart)), 1);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 2 * apart)), 2);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 3 * apart)), 3);
  }
  const __m512i gather = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i turn = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(gather, bytes), turn);
}

inline I32 dot(I32 sum, __m512i x, const uint8_t* weights) {
  return (I32)_mm512_dpbusd_epi32((__m512i)sum, x, _mm512_loadu_si512(weights));
}

// Weights of a tap row: quads of taps [16 channels][4], then the first quad once more, moved by one place.
struct QuadTaps {
  static int64_t quads(int64_t kernel_w) { return ceil_divide(kernel_w, 4); }
  static int64_t packed_bytes(int64_t kernel_w) { return (quads(kernel_w) + 1) * 64; }
  template <class Weight>
  static void pack(Weight weight, int64_t kernel_w, uint8_t* to) {
    for (int64_t kx = 0; kx < 4 * quads(kernel_w); kx += 4)
      for (int64_t c = 0; c < byte_block; ++c)
        for (int64_t i = 0; i < 4; ++i) *to++ = uint8_t(weight(c, kx + i));
    for (int64_t c = 0; c < byte_block; ++c)
      for (int64_t i = 0; i < 4; ++i) *to++ = uint8_t(weight(c, i - 1));
  }

  template <int columns>
  static void accumulate(const uint8_t* x, int64_t stride, int64_t dilation, const uint8_t* weights, int64_t kernel_w,
                         I32 (&sum)[columns][block_vectors]) {
    if (kernel_w <= 3 && stride == byte_block && dilation == byte_block) {
#pragma GCC unroll 4
      for (int c = 0; c < columns; c += 2) {
        const __m512i window = window_of(x + c * byte_block, byte_block);
        sum[c][0] = dot(sum[c][0], window, weights);
        if (c + 1 < columns) sum[c + 1 < columns ? c + 1 : c][0] = dot(sum[c + 1 < columns ? c + 1 : c][0], window, weights + 64);
      }
      return;
    }
    for (int64_t q = 0; q < quads(kernel_w); ++q, x += 4 * dilation, weights += 64)
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) sum[c][0] = dot(sum[c][0], window_of(x + c * stride, dilation), weights);
  }
};

}  // namespace

void OUTPOST_ISA::fill_depthwise_int8(Kernels& table) { set_depthwise_entries<QuadTaps>(table.int8); }

}  // namespace outpost::kernels
