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
  const auto steps = [&](int64_t n) { return w.dilation[axis] == 1 ? n : ceil_divide(n, w.dilation[axis]); };
  const int64_t begin = start >= 0 ? 0 : steps(-start);
  const int64_t end = reach <= 0 ? 0 : smaller(w.kernel[axis], steps(reach));
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
  const bool clamps = c.activation <= Activation::clip;  // with whatever bounds
  float* y = c.y + at;
  for_activation(clamps ? Activation::clip : c.activation, [&]<Activation kind>() {
    for (int i = 0; i < count; ++i, y += block)
      store(y, select(c.real, activate(load(y), kind, c.low, c.high), F32{}));
  });
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

// Where registers abound a value that several multiply-adds share is loaded once, whatever the compiler prefers: one load
// a cycle is what they would wait for.
inline F32 in_register(F32 x) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  __asm__("" : "+v"(x));
#elif defined(__aarch64__)
  __asm__("" : "+w"(x));
#endif
  return x;
}

// A kernel three or five wide, stride 1 or 2: every input is loaded once for the outputs that share it. The first `left` and
// the last `right` columns that these outputs see lie outside.
template <int width, int stride, int count, int left, int right>
void piece(const Channels& c, const float* x, Part rows, int64_t at) {
  constexpr int columns = (count - 1) * stride + width;
  const int64_t row = c.w.dilation[1] * c.w.in[2] * block;
  F32 sum[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) sum[i] = c.bias;
#pragma GCC unroll 1
  for (int64_t h = rows.begin; h < rows.end; ++h) {
    const float *from = x + h * row, *weights = c.weights + h * width * block;
    // Taps outside, outputs inside: the multiply-adds of one sum stand far enough apart for their latency.
    F32 value[columns];
#pragma GCC unroll 17
    for (int j = left; j < columns - right; ++j) value[j] = in_register(load(from + j * block));
#pragma GCC unroll 5
    for (int v = 0; v < width; ++v) {
      const F32 weight = load(weights + v * block);
#pragma GCC unroll 8
      for (int i = 0; i < count; ++i) {
        const int j = i * stride + v;
        if (j >= left && j < columns - right) sum[i] += weight * value[j];
      }
    }
  }
  store_outputs<count>(c, sum, at);
}

using Piece = void (*)(const Channels&, const float*, Part, int64_t);

// Sums, values and weights of a piece are to fit the registers.
#if defined(OUTPOST_ISA_avx512) || defined(__aarch64__)
template <int width>
constexpr int most_outputs = width == 3 ? 8 : 6;
#else
template <int width>
constexpr int most_outputs = 4;
#endif

template <int width, int stride, int left, int right, int count = most_outputs<width>>
Piece of_count(int64_t wanted) {
  if constexpr (count > 1) {
    if (wanted < count) return of_count<width, stride, left, right, count - 1>(wanted);
  }
  return piece<width, stride, count, left, right>;
}

template <int width, int stride, int left>
Piece of_right(int64_t count, int64_t right) {
  if (right == 0) return of_count<width, stride, left, 0>(count);
  if constexpr (width == 5) {
    if (right == 2) return of_count<width, stride, left, 2>(count);
  }
  return of_count<width, stride, left, 1>(count);
}

template <int width>
Piece piece_of(int64_t stride, int64_t count, int64_t left, int64_t right) {
  constexpr int half = width / 2;
  if (stride == 1) return left ? of_right<width, 1, half>(count, right) : of_right<width, 1, 0>(count, right);
  return left ? of_right<width, 2, half>(count, right) : of_right<width, 2, 0>(count, right);
}

// What all rows share: which columns need no clipping, and the pieces that a row is cut into where it can be.
struct RowPlan {
  Part inner;  // columns whose windows lie inside
  int64_t pieces = 0, count = 0, longer = 0;  // `longer` pieces of count + 1 columns, then pieces of count
  Piece first = nullptr, long_middle = nullptr, middle = nullptr, last = nullptr;

  explicit RowPlan(const Window& w) {
    const int64_t end = w.in[2] - 1 - (w.kernel[2] - 1) * w.dilation[2] + w.pad[2];  // of a whole window's first tap
    inner.begin = smaller(w.out[2], w.pad[2] <= 0 ? 0 : ceil_divide(w.pad[2], w.stride[2]));
    inner.end = larger(inner.begin, end < 0 ? 0 : smaller(w.out[2], end / w.stride[2] + 1));
    if (w.kernel[2] == 3) cut<3>(w);
    if (w.kernel[2] == 5) cut<5>(w);
  }

  template <int width>
  void cut(const Window& w) {
    const int64_t left = larger(w.pad[2], 0);
    const int64_t right = larger(0, (w.out[2] - 1) * w.stride[2] + width - w.pad[2] - w.in[2]);
    if (w.dilation[2] != 1 || w.stride[2] > 2 || (left != 0 && left != width / 2) || right > width / 2) return;
    const int64_t parts = ceil_divide(w.out[2], most_outputs<width>);
    count = w.out[2] / parts, longer = w.out[2] % parts;
    if (count * w.stride[2] < width / 2) return;  // the column outside must be the first piece's, or the last one's
    pieces = parts;
    const auto of = [&](int64_t n, int64_t l, int64_t r) { return piece_of<width>(w.stride[2], n, l, r); };
    first = of(count + (longer > 0), left, pieces == 1 ? right : 0);
    long_middle = of(smaller(count + 1, most_outputs<width>), 0, 0);
    middle = of(count, 0, 0);
    last = of(count, pieces == 1 ? left : 0, right);
  }
};

void run_row(const Channels& c, const RowPlan& plan, int64_t oh) {
  const Window& w = c.w;
  const Part rows = taps_inside(w, 1, oh), all{0, w.kernel[2]};
  const float* row = c.x + (oh * w.stride[1] - w.pad[1]) * w.in[2] * block;
  const auto at_column = [&](int64_t ow) { return row + (ow * w.stride[2] - w.pad[2]) * block; };
  const int64_t y = oh * w.out[2];
  int64_t ow = 0;
  for (int64_t i = 0; i < plan.pieces; ++i) {
    const bool more = i < plan.longer;
    const Piece inside = more ? plan.long_middle : plan.middle;
    const Piece piece = i == 0 ? plan.first : i + 1 == plan.pieces ? plan.last : inside;
    piece(c, at_column(ow), rows, (y + ow) * block);
    ow += plan.count + more;
  }
  if (plan.pieces > 0) return;
  for (; ow < plan.inner.begin; ++ow) outputs<1>(c, at_column(ow), rows, taps_inside(w, 2, ow), (y + ow) * block);
  for (; ow + 8 <= plan.inner.end; ow += 8) outputs<8>(c, at_column(ow), rows, all, (y + ow) * block);
  for (; ow + 4 <= plan.inner.end; ow += 4) outputs<4>(c, at_column(ow), rows, all, (y + ow) * block);
  for (; ow < plan.inner.end; ++ow) outputs<1>(c, at_column(ow), rows, all, (y + ow) * block);
  for (; ow < w.out[2]; ++ow) outputs<1>(c, at_column(ow), rows, taps_inside(w, 2, ow), (y + ow) * block);
}

}  // namespace

int64_t OUTPOST_ISA::blocked_depthwise_tiles(const BlockedConv& c) {
  return c.batch * channel_blocks(c.out_channels, block) * ceil_divide(c.window.out[1], band_rows);
}

void OUTPOST_ISA::blocked_depthwise(const BlockedConv& c, int64_t begin, int64_t end) {
  const Window& w = c.window;
  const RowPlan plan(w);
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
    for (int64_t oh = rows.begin; oh < rows.end; ++oh) run_row(channels, plan, oh);
  }
}

}  // namespace outpost::kernels
