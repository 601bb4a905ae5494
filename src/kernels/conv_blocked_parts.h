// What the files of blocked convolutions share: sizes in blocks, the order of packed weights, the depthwise path.
#pragma once

#include "kernels/conv_blocked.h"
#include "kernels/gemm_pack.h"
#include "kernels/half.h"
#include "kernels/simd.h"

namespace outpost::kernels {

namespace OUTPOST_ISA {

// Depthwise: weights [block][tap][lane].
int64_t blocked_depthwise_tiles(const BlockedConv& c);
void blocked_depthwise(const BlockedConv& c, int64_t tile_begin, int64_t tile_end);

}  // namespace OUTPOST_ISA

namespace {

constexpr int64_t block = lanes;

// Inputs and weights are counted in units of four bytes: one channel, or, where products are of bf16
// (conv_blocked.bf16.cpp), a pair of neighbouring channels, the first in the low half.
#if defined(OUTPOST_BF16_PAIRS)
constexpr bool bf16_pairs = true;

// The weights of one output at channels 2 i and 2 i + 1.
inline float weight_unit(const float* w, int64_t channel_stride, int64_t i, int64_t channels) {
  const F32 both = {w[2 * i * channel_stride], 2 * i + 1 < channels ? w[(2 * i + 1) * channel_stride] : 0.0f};
  const Half halves = to_bf16(both);
  float unit;
  __builtin_memcpy(&unit, &halves, sizeof unit);
  return unit;
}

// n units from 2 n floats; n is a multiple of half a register.
inline void copy_units(const float* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; i += lanes / 2) {
    const __m256bh halves = _mm512_cvtneps_pbh((__m512)load(from + 2 * i));
    __builtin_memcpy(to + i, &halves, sizeof halves);
  }
}
#else
constexpr bool bf16_pairs = false;

inline float weight_unit(const float* w, int64_t channel_stride, int64_t i, int64_t) { return w[i * channel_stride]; }

inline void copy_units(const float* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, load(from + i));
  if (i < n) store_part(to + i, load_part(from + i, n - i), n - i);
}
#endif
constexpr int64_t unit_channels = bf16_pairs ? 2 : 1, block_units = block / unit_channels;

inline int64_t plane_of(const int64_t (&extent)[3]) { return extent[1] * extent[2]; }
inline bool is_depthwise(const BlockedConv& c) {
  return c.groups > 1 && c.groups == c.in_channels && c.groups == c.out_channels;
}

// Of one group.
struct Sizes {
  int64_t in_channels, out_channels, in_units, in_blocks, out_blocks, taps;
  explicit Sizes(const BlockedConv& c)
      : in_channels(c.in_channels / c.groups), out_channels(c.out_channels / c.groups),
        in_units(channel_blocks(in_channels, unit_channels)),
        in_blocks(channel_blocks(in_channels, block)), out_blocks(channel_blocks(out_channels, block)),
        taps(plane_of(c.window.kernel)) {}
  // Packed weights of one block of outputs: [in block][tap][unit][out lane], the last block of inputs with its real
  // units only; of a planar x [in channel][tap][out lane].
  int64_t block_floats() const { return in_units * taps * block; }
};

}  // namespace
}  // namespace outpost::kernels
