// The innermost product of convolutions on channel blocks: rows x columns positions and one or two blocks of output
// channels in registers, while taps and input channels run.
//
// A step is one input channel of one tap: a register of weights for each block of outputs, one broadcast for each
// position. On AVX-512 that is 28 fused multiply-adds for 2 loads and 14 broadcasts, on AVX2 12 for 2 and 6.
#pragma once

#include "kernels/gemm.h"
#include "kernels/simd.h"

namespace outpost::kernels {
namespace {

// Accumulators are 2 * tile_positions of 16 (AVX2, SSE) or 32 (AVX-512, NEON) registers.
#if defined(OUTPOST_ISA_avx512)
constexpr int tile_positions = 14;
#elif defined(OUTPOST_ISA_avx2)
constexpr int tile_positions = 6;
#elif defined(__aarch64__)
constexpr int tile_positions = 12;
#else
constexpr int tile_positions = 4;
#endif

// sum + x * weight; where products are of bf16, x and weight hold pairs.
inline F32 multiply_add(F32 sum, F32 weight, const float* x) {
#if defined(OUTPOST_BF16_PAIRS)
  int32_t pair;
  __builtin_memcpy(&pair, x, sizeof pair);
  return (F32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weight, (__m512bh)_mm512_set1_epi32(pair));
#else
  return sum + broadcast(*x) * weight;
#endif
}

}  // namespace

namespace OUTPOST_ISA {

struct BlockedTile {
  const float* x = nullptr;  // of the first position, first block
  int64_t x_row = 0, x_position = 0, x_block = 0;  // floats between rows, positions, blocks of input channels
  const int64_t* taps = nullptr;                   // floats from a position to each tap
  int64_t tap_count = 0, blocks = 0;
  int64_t steps = 0, last_steps = 0;  // consecutive floats of a tap; of the last block
  const float* w = nullptr;                        // [block][tap][step][lane]
  int64_t w_block = 0;                             // floats to the next block of outputs
  int64_t w_ahead = 0;                             // floats to weights that are wanted soon; 0: none
  float* y = nullptr;
  int64_t y_row = 0, y_block = 0;  // positions are `lanes` floats apart
  bool first = true, last = true;  // of the parts that the input channels are cut into
  const float* bias = nullptr;     // may be null
  int64_t residual = 0;            // floats from y to the residual, where there is one
  bool has_residual = false;
  float residual_scale = 1;
  int real_lanes = lanes;  // of the tile's last block of outputs
  Activation activation = Activation::none;
  float low = 0, high = 0;
};

using BlockedMicro = void (*)(const BlockedTile&);

// For rows x columns <= tile_positions positions, rows 1 or 2, and 1 or 2 blocks of outputs.
BlockedMicro blocked_micro(int rows, int columns, int blocks);

}  // namespace OUTPOST_ISA
}  // namespace outpost::kernels
