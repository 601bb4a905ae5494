// Convolution and pooling of 8-bit tensors in blocks of channels: the arguments and what they promise.
//
// Layout: u8 (batch, blocks, height, width, 16), a block being 16 channels whatever the instruction set; channels past
// the last hold anything. First layers of up to 4 channels may come as (batch, 1, height, width, 4). Codes stand for
// (code - zero) * scale; the zero points of x are folded into the bias by the caller, and padding reads x_zero. Sums are
// exact modulo 2^32 and every later step is one rounded f32 operation, so that all instruction sets agree bit for bit.
// Work is cut into tiles by shape alone, as in gemm.h.
#pragma once

#include "kernels/conv.h"

namespace outpost::kernels {

constexpr int64_t byte_block = 16;

// What becomes of an int32 sum: q = round(clamp((sum + bias) * scale, low, high)), ties to even; then, with a residual r
// of y's layout, q = round(clamp(q * own + r * other + offset, sum_low, sum_high)); y = q + zero. Bounds are integers
// that keep y within 0..255 (`low` and `high` of a residual's first step: within +-255).
struct Requantise {
  const int32_t* bias = nullptr;  // one for each output channel, up to whole blocks
  const float* scale = nullptr;   // likewise; finite
  float low = 0, high = 255;
  int32_t zero = 0;
  bool fits = false;              // promised: every |sum + bias| * scale is below 2^30; allows a shorter way to the same
  const uint8_t* residual = nullptr;
  float own = 1, other = 1, offset = 0;
  float sum_low = 0, sum_high = 255;
};

// Two-dimensional: entries 1 and 2 of the window count. Kernel widths up to 64. With groups > 1 the channels of a group
// are whole blocks, on both sides; depthwise (one channel a group, out_channels = in_channels) has functions of its own.
struct ConvInt8 {
  int64_t batch = 1, groups = 1, in_channels = 1, out_channels = 1;
  Window window;
  int64_t block = byte_block;  // of x: 16 or 4
  const uint8_t* x = nullptr;
  uint8_t x_zero = 0;
  const void* packed_weights = nullptr;  // by the same instruction set; packing depends on channels, groups, kernel, block
  uint8_t* y = nullptr;
  Requantise requantise;
};

// Windows over blocks: x and y u8 in the layout above, `blocks` = batch * blocks of channels.
struct PoolInt8 {
  int64_t blocks = 0;
  Window window;
  const uint8_t* x = nullptr;
  uint8_t* y = nullptr;
};

struct Int8Kernels {
  size_t (*conv_pack_bytes)(const ConvInt8&);
  void (*conv_pack)(const ConvInt8&, const int8_t* weights, void* packed);  // weights (out, in / groups, kh, kw)
  int64_t (*conv_tiles)(const ConvInt8&);
  size_t (*conv_scratch_bytes)(const ConvInt8&);
  void (*conv)(const ConvInt8&, int64_t tile_begin, int64_t tile_end, void* scratch);
  size_t (*depthwise_pack_bytes)(const ConvInt8&);
  void (*depthwise_pack)(const ConvInt8&, const int8_t* weights, void* packed);  // weights (channels, 1, kh, kw)
  int64_t (*depthwise_tiles)(const ConvInt8&);
  size_t (*depthwise_scratch_bytes)(const ConvInt8&);
  void (*depthwise)(const ConvInt8&, int64_t tile_begin, int64_t tile_end, void* scratch);
  // Every window holds at least one position of x; ranges of blocks go to threads.
  void (*max_pool)(const PoolInt8&, int64_t block_begin, int64_t block_end);
  // sums(block, 16): over all positions of a block; positions <= 2^23.
  void (*sum_blocks)(const uint8_t* x, int64_t positions, int64_t block_begin, int64_t block_end, int32_t* sums);
};

}  // namespace outpost::kernels
