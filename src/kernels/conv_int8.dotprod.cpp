// Convolution of 8-bit blocks on Arm's dot products, compiled twice: with i8mm, usdot takes u8 codes and s8 weights as they
// are; with dotprod alone, sdot takes codes less 128, and 128 times the weights' sum, one more sdot a register of weights
// for all columns, brings them back.
#include <arm_neon.h>

#include "kernels/conv_int8_parts.h"
#include "kernels/kernels.h"

namespace outpost::kernels {

namespace OUTPOST_ISA {
void fill_conv_int8(Kernels& table);
}

namespace {

struct ByteDot {
  using Element = int8_t;
  static constexpr int element_bytes = 1;
  static constexpr bool direct = true;
  static I32 multiply(I32 sum, I32 x, I32 weights) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return (I32)vusdotq_s32((int32x4_t)sum, (uint8x16_t)x, (int8x16_t)weights);
#else
    const int8x16_t shift = vdupq_n_s8(-128);
    const int32x4_t moved = vdotq_s32((int32x4_t)sum, veorq_s8((int8x16_t)x, shift), (int8x16_t)weights);
    return (I32)vsubq_s32(moved, vdotq_s32(vdupq_n_s32(0), shift, (int8x16_t)weights));
#endif
  }
};

}  // namespace

void OUTPOST_ISA::fill_conv_int8(Kernels& table) { set_conv_entries<ByteDot>(table.int8); }

}  // namespace outpost::kernels
