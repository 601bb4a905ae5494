// Weights of 4 bits in blocks, each with a scale and a zero point: one column of a product. The layout is that of
// com.microsoft MatMulNBits.
#pragma once
#include <cstdint>

namespace outpost::kernels {

// Weight i of block b is scales[b] * (q - zeros[b]), q the i-th group of 4 bits of the block, low bits first.
struct Blocks4 {
  const uint8_t* bytes = nullptr;
  int64_t blocks = 0, block_bytes = 0;  // block_bytes: a multiple of a register's f32 lanes
  const float* scales = nullptr;
  const float* zeros = nullptr;  // null: 8
};

}  // namespace outpost::kernels
