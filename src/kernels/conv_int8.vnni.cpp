// Convolution of 8-bit blocks on VNNI: vpdpbusd adds four products of a u8 code and an s8 weight, without saturation.
// The bound: 64 multiply-adds a cycle; the walk loads 16 registers for 28 of them.
#include "kernels/conv_int8_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

struct ByteDot {
  using Element = int8_t;
  static constexpr int element_bytes = 1;
  static constexpr bool direct = true;
  static I32 multiply(I32 sum, I32 x, I32 weights) {
    return (I32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)weights);
  }
};

}  // namespace

void OUTPOST_ISA::fill_conv_int8(Kernels& table) { set_conv_entries<ByteDot>(table.int8); }

}  // namespace outpost::kernels
