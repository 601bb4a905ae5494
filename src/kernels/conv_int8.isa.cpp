// Convolution of 8-bit blocks with 16-bit products: codes are widened while a tile's rows are copied, weights when they
// are packed, so that one multiply-add of pairs makes exact sums (the byte form of AVX2 saturates).
#include "kernels/conv_int8_parts.h"
#include "kernels/pairs.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

struct PairDot {
  using Element = int16_t;
  static constexpr int element_bytes = 2;
  static constexpr bool direct = false;
  static I32 multiply(I32 sum, I32 x, I32 weights) { return (I32)((U32)sum + (U32)multiply_pairs(x, weights)); }
};

}  // namespace

void OUTPOST_ISA::fill_conv_int8(Kernels& table) { set_conv_entries<PairDot>(table.int8); }

}  // namespace outpost::kernels
