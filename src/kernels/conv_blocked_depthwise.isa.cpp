// Depthwise convolution on channel blocks: a register of channels, neighbouring outputs of a row at once, one load for
// each multiply-add. Rows are clipped once, columns at the border one output at a time.
#include "kernels/activate.h"
#include "kernels/conv_blocked_parts.h"

namespace outpost::kernels {
namespace {

constexpr int64_t band_rows = 8;

// Taps [begin, end) of an output that fall inside the input.
Part taps_inside(const Window& w, int axis, int64_t out) {
  const int64_t start = out * w.stride[axis] - w.pad[axis], reach = w.in[axis] - start;
  const int64_t begin = start >= 0 ? 0 : ceil_divide(-start, w.dilation[axis]);
  const int64_t end = reach <= 0 ? 0 : smaller(w.kernel[axis], ceil_divide(reach, w.dilation[axis]));
  return {begin, larger(begin, end)};
}

// Everything of one block of channels that does not change from output to output.
struct Channels {
  const Window& w;
  const float *x, *weights, *residual;
  float* y;
  F32 bias, low, high;
  I32 real;
  float residual_scale;
  Activation activation;
};

inline F32 finish(const Channels& c, F32 sum, int64_t at) {
  if (c.residual) sum += load(c.residual + at) * c.residual_scale;
  const bool clamps = c.activation <= Activation::clip;
  return select(c.real, clamps ? clamp(sum, c.low, c.high) : activate(sum, c.activation, c.low, c.high), F32{});
}

// `count` outputs from (row, column) on; `x` is at the first tap of the kernel, which may lie outside.
template <int count>
inline void outputs(const Channels& c, const float* x, Part rows, Part columns, int64_t at) {
  const int64_t step = c.w.stride[2] * block, column = c.w.dilation[2] * block;
  const int64_t row = c.w.dilation[1] * c.w.in[2] * block;
  F32 sum[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) sum[i] = c.bias;
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t v = columns.begin; v < columns.end; ++v) {
      const F32 weight = load(c.weights + (h * c.w.kernel[2] + v) * block);
      const float* from = x + h * row + v * column;
#pragma GCC unroll 8
      for (int i = 0; i < count; ++i) sum[i] += weight * load(from + i * step);
    }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) store(c.y + at + i * block, finish(c, sum[i], at + i * block));
}

// The same for a 3x3 kernel wholly inside: no loop over taps.
template <int count>
inline void outputs_3x3(const Channels& c, const float* x, int64_t at) {
  const int64_t step = c.w.stride[2] * block, column = c.w.dilation[2] * block;
  const int64_t row = c.w.dilation[1] * c.w.in[2] * block;
  F32 sum[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) sum[i] = c.bias;
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) {
    const F32 weight = load(c.weights + t * block);
    const float* from = x + t / 3 * row + t % 3 * column;
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) sum[i] += weight * load(from + i * step);
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) store(c.y + at + i * block, finish(c, sum[i], at + i * block));
}

void run_row(const Channels& c, int64_t oh) {
  const Window& w = c.w;
  const Part rows = taps_inside(w, 1, oh), all{0, w.kernel[2]};
  const int64_t last = w.in[2] - 1 - (w.kernel[2] - 1) * w.dilation[2] + w.pad[2];  // of a whole window's first tap
  const int64_t inner_begin = smaller(w.out[2], w.pad[2] <= 0 ? 0 : ceil_divide(w.pad[2], w.stride[2]));
  const int64_t inner_end = larger(inner_begin, last < 0 ? 0 : smaller(w.out[2], last / w.stride[2] + 1));
  const bool square = w.kernel[1] == 3 && w.kernel[2] == 3 && rows.count() == 3;
  const float* row = c.x + (oh * w.stride[1] - w.pad[1]) * w.in[2] * block;
  const auto at_column = [&](int64_t ow) { return row + (ow * w.stride[2] - w.pad[2]) * block; };
  const int64_t y = oh * w.out[2];
  int64_t ow = 0;
  for (; ow < inner_begin; ++ow) outputs<1>(c, at_column(ow), rows, taps_inside(w, 2, ow), (y + ow) * block);
  const auto inner = [&]<int count>() {
    for (; ow + count <= inner_end; ow += count) {
      if (square) outputs_3x3<count>(c, at_column(ow), (y + ow) * block);
      else outputs<count>(c, at_column(ow), rows, all, (y + ow) * block);
    }
  };
  inner.template operator()<8>();
  inner.template operator()<4>();
  inner.template operator()<1>();
  for (; ow < w.out[2]; ++ow) outputs<1>(c, at_column(ow), rows, taps_inside(w, 2, ow), (y + ow) * block);
}

}  // namespace

int64_t OUTPOST_ISA::blocked_depthwise_tiles(const BlockedConv& c) {
  return c.batch * channel_blocks(c.out_channels, block) * ceil_divide(c.window.out[1], band_rows);
}

void OUTPOST_ISA::blocked_depthwise(const BlockedConv& c, int64_t begin, int64_t end) {
  const Window& w = c.window;
  const int64_t bands = ceil_divide(w.out[1], band_rows), blocks = channel_blocks(c.out_channels, block);
  const Epilogue& e = c.epilogue;
  const bool clips = e.activation == Activation::clip, relu = e.activation == Activation::relu;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t plane = tile / bands, ob = plane % blocks;
    const Channels channels{
        w, c.x + plane * plane_of(w.in) * block,
        static_cast<const float*>(c.packed_weights) + ob * plane_of(w.kernel) * block,
        e.residual ? static_cast<const float*>(e.residual) + plane * plane_of(w.out) * block : nullptr,
        c.y + plane * plane_of(w.out) * block,
        e.row_bias ? load(static_cast<const float*>(e.row_bias) + ob * block) : F32{},
        broadcast(relu ? 0.0f : clips || e.activation != Activation::none ? e.low : -infinity),
        broadcast(clips || (e.activation != Activation::none && !relu) ? e.high : infinity),
        lane_index() < int32_t(smaller(block, c.out_channels - ob * block)), float(e.residual_scale), e.activation};
    const Part rows = part_of(w.out[1], bands, tile % bands);
    for (int64_t oh = rows.begin; oh < rows.end; ++oh) run_row(channels, oh);
  }
}

}  // namespace outpost::kernels
