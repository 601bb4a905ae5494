// Convolution and pooling: the arguments and what they promise.
//
// Layout: x (batch, channel, depth, height, width) contiguous, y likewise; 1-D and 2-D pass leading extents of 1
// (stride 1, kernel 1, pad 0). Work is cut into tiles by shape alone, as in gemm.h. Only the leading pads are needed:
// `out` says where the window stops, and positions outside the input read as zero (max pooling: as absent).
#pragma once

#include "kernels/gemm.h"

namespace outpost::kernels {

struct Window {
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  // pad: leading; may be negative
  int64_t kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};
};

// y(b, o, p) = activation(sum over (c, k) of w(o, c, k) x(b, c, p * stride + k * dilation - pad) + bias(o) + residual).
// Weights (out_channels, in_channels / groups, kernel) contiguous; transposed convolution: (in_channels, out_channels /
// groups, kernel), where `in` is x's extent, `out` is y's, and out position p of tap k receives in position (p + pad -
// k * dilation) / stride where that is whole.
struct Conv {
  int64_t batch = 1, groups = 1, in_channels = 1, out_channels = 1;
  Window window;
  const float* x = nullptr;
  // From conv_pack / conv_transpose_pack for the same instruction set; packing depends on channels, groups, kernel,
  // stride and dilation, never on extents, pads or the batch.
  const void* packed_weights = nullptr;
  float* y = nullptr;
  // row_bias: (out_channels); residual: laid out as y; residual_row_stride and column_bias are ignored
  Epilogue epilogue;
};

// Pooling over (planes = batch * channels). Ranges of planes go to threads.
struct Pool {
  Window window;
  const float* x = nullptr;  // (planes, in)
  float* y = nullptr;        // (planes, out)
  int64_t* indices = nullptr;      // max only, may be null: plane * in_count + row-major position of the first maximum
  // average only: with count_include_pad the divisor counts positions up to in + pad_end
  int64_t pad_end[3] = {0, 0, 0};
  bool count_include_pad = false;
};

}  // namespace outpost::kernels
