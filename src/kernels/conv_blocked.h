// Convolution and pooling on channel blocks: the arguments and what they promise.
//
// A blocked tensor is (batch, ceil(channels / B), height, width, B) f32, B the lanes of a register (vector_bytes / 4).
// Channels past the last are padding: whatever is finite when read (their weights are zero), zero when a convolution
// writes them. Two spatial axes: index 0 of every Window array is 1 (pad 0). Work is cut into tiles by shape alone, as in
// gemm.h; concurrent calls have a scratch each.
#pragma once

#include "kernels/conv.h"

namespace outpost::kernels {

// How a convolution is computed. Winograd's way is for kernels 3x3 with stride and dilation 1: fewer products by tiles
// of 2x2 or 4x4 outputs, a rounding error up to a few times that of the direct sum (docs/numerics.md). bf16: the direct
// sum, in f32, of products of values rounded to bf16.
enum class BlockedAlgorithm : uint8_t { direct, winograd2, winograd4, bf16 };

// y = activation(conv(x, w) + bias + residual_scale * residual), as Conv. Channel counts are the true ones. Where groups
// > 1 either both channel counts of a group are multiples of B, or the convolution is depthwise: groups = in_channels =
// out_channels. Weights to pack: (out_channels, in_channels / groups, 1, height, width) contiguous, as ONNX has them.
struct BlockedConv {
  int64_t batch = 1, groups = 1, in_channels = 1, out_channels = 1;
  Window window;
  const float* x = nullptr;  // (batch, in blocks, in, B); with x_planar: (batch, in_channels, in), groups = 1
  bool x_planar = false;
  BlockedAlgorithm algorithm = BlockedAlgorithm::direct;  // direct, or what conv_blocked_algorithm said
  bool bf16 = false;  // read by conv_blocked_algorithm: bf16 is welcome where it is fastest
  // From conv_blocked_pack for the same instruction set; packing depends on x_planar, channels, groups, kernel and
  // algorithm, never on extents, strides, dilations, pads or the batch.
  const void* packed_weights = nullptr;
  float* y = nullptr;  // (batch, out blocks, out, B)
  // row_bias: one value an output channel, padded with zeros to whole blocks; residual: laid out as y, may be y;
  // residual_row_stride and column_bias are ignored.
  Epilogue epilogue;
};

inline int64_t channel_blocks(int64_t channels, int64_t block) { return (channels + block - 1) / block; }

// Whether winograd2 and winograd4 can compute c.
inline bool winograd_applies(const BlockedConv& c, int64_t block) {
  for (int i = 1; i < 3; ++i)
    if (c.window.kernel[i] != 3 || c.window.stride[i] != 1 || c.window.dilation[i] != 1) return false;
  const bool whole = c.in_channels / c.groups % block == 0 && c.out_channels / c.groups % block == 0;
  return !c.x_planar && (c.groups == 1 || whole);
}

// Blocked pooling takes a Pool (conv.h) whose planes are (batch * blocks), x (planes, in, B), y (planes, out, B);
// indices are null.

}  // namespace outpost::kernels
