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
  bool simple;  // a clamp is all there is at the end
};

// The activation and the padding lanes of sums that lie in y already.
__attribute__((noinline)) void finish(const Channels& c, int64_t at, int count) {
  for (int i = 0; i < count; ++i, at += block) {
    F32 sum = load(c.y + at);
    const bool clamps = c.activation <= Activation::clip;
    sum = clamps ? clamp(sum, c.low, c.high) : activate(sum, c.activation, c.low, c.high);
    store(c.y + at, select(c.real, sum, F32{}));
  }
}

template <int count>
inline void store_outputs(const Channels& c, F32 (&sum)[count], int64_t at) {
  if (c.simple) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) store(c.y + at + i * block, clamp(sum[i], c.low, c.high));
    return;
  }
  if (c.residual) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) sum[i] += load(c.residual + at + i * block) * c.residual_scale;
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) store(c.y + at + i * block, sum[i]);
  finish(c, at, count);
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
  store_outputs<count>(c, sum, at);
}

// A kernel three wide, stride 1 or 2: every input is loaded once for the outputs that share it. `left` and `right` say
// that the first output lacks the first column, the last one the last.
template <int stride, int count, bool left, bool right>
void three_columns(const Channels& c, const float* x, Part rows, int64_t at) {
  constexpr int columns = (count - 1) * stride + 3;
  const int64_t row = c.w.dilation[1] * c.w.in[2] * block;
  F32 sum[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) sum[i] = c.bias;
#pragma GCC unroll 1
  for (int64_t h = rows.begin; h < rows.end; ++h) {
    const float *from = x + h * row, *weights = c.weights + h * 3 * block;
    const F32 weight[3] = {load(weights), load(weights + block), load(weights + 2 * block)};
#pragma GCC unroll 17
    for (int j = 0; j < columns; ++j) {
      if ((left && j == 0) || (right && j + 1 == columns)) continue;
      const F32 value = load(from + j * block);
#pragma GCC unroll 3
      for (int v = 0; v < 3; ++v)
        if (j >= v && (j - v) % stride == 0 && (j - v) / stride < count) sum[(j - v) / stride] += weight[v] * value;
    }
  }
  store_outputs<count>(c, sum, at);
}

using ThreeColumns = void (*)(const Channels&, const float*, Part, int64_t);

template <int stride, bool left, bool right, int count = 8>
ThreeColumns of_count(int64_t wanted) {
  if constexpr (count > 1) {
    if (wanted < count) return of_count<stride, left, right, count - 1>(wanted);
  }
  return three_columns<stride, count, left, right>;
}

template <int stride>
ThreeColumns three_columns_of(int64_t count, bool left, bool right) {
  if (left) return right ? of_count<stride, true, true>(count) : of_count<stride, true, false>(count);
  return right ? of_count<stride, false, true>(count) : of_count<stride, false, false>(count);
}

void run_row(const Channels& c, int64_t oh) {
  const Window& w = c.w;
  const Part rows = taps_inside(w, 1, oh), all{0, w.kernel[2]};
  const int64_t last = w.in[2] - 1 - (w.kernel[2] - 1) * w.dilation[2] + w.pad[2];  // of a whole window's first tap
  const int64_t inner_begin = smaller(w.out[2], w.pad[2] <= 0 ? 0 : ceil_divide(w.pad[2], w.stride[2]));
  const int64_t inner_end = larger(inner_begin, last < 0 ? 0 : smaller(w.out[2], last / w.stride[2] + 1));
  const float* row = c.x + (oh * w.stride[1] - w.pad[1]) * w.in[2] * block;
  const auto at_column = [&](int64_t ow) { return row + (ow * w.stride[2] - w.pad[2]) * block; };
  const int64_t y = oh * w.out[2];
  const Part first = taps_inside(w, 2, 0), final = taps_inside(w, 2, w.out[2] - 1);
  if (w.kernel[2] == 3 && w.dilation[2] == 1 && w.stride[2] <= 2 && inner_begin <= 1 && w.out[2] - inner_end <= 1 && w.out[2] > 1 &&
      first.end == 3 && first.begin <= 1 && final.begin == 0 && final.end >= 2) {
    const int64_t parts = ceil_divide(w.out[2], 8);
    for (int64_t i = 0; i < parts; ++i) {
      const Part part = part_of(w.out[2], parts, i);
      const bool left = part.begin == 0 && first.begin == 1, right = part.end == w.out[2] && final.end == 2;
      const auto outputs = w.stride[2] == 1 ? three_columns_of<1>(part.count(), left, right)
                                            : three_columns_of<2>(part.count(), left, right);
      outputs(c, at_column(part.begin), rows, (y + part.begin) * block);
    }
    return;
  }
  int64_t ow = 0;
  for (; ow < inner_begin; ++ow) outputs<1>(c, at_column(ow), rows, taps_inside(w, 2, ow), (y + ow) * block);
  for (; ow + 8 <= inner_end; ow += 8) outputs<8>(c, at_column(ow), rows, all, (y + ow) * block);
  for (; ow + 4 <= inner_end; ow += 4) outputs<4>(c, at_column(ow), rows, all, (y + ow) * block);
  for (; ow < inner_end; ++ow) outputs<1>(c, at_column(ow), rows, all, (y + ow) * block);
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
        lane_index() < int32_t(smaller(block, c.out_channels - ob * block)), float(e.residual_scale), e.activation,
        !e.residual && e.activation <= Activation::clip && c.out_channels - ob * block >= block};
    const Part rows = part_of(w.out[1], bands, tile % bands);
    for (int64_t oh = rows.begin; oh < rows.end; ++oh) run_row(channels, oh);
  }
}

}  // namespace outpost::kernels
