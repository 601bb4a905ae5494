// Depthwise convolution, direct: a band of input rows is copied with its zero padding into scratch, then registers of
// neighbouring outputs run over the taps without any test for the border.
#include "kernels/conv_parts.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

constexpr int64_t band_floats = 32768;  // of padded input

struct Band {
  int64_t rows, row_bands;    // output rows of a band, bands of a plane
  int64_t in_rows, in_width;  // padded input a band needs

  explicit Band(const Window& w) {
    const int64_t reach = (w.kernel[1] - 1) * w.dilation[1] + 1;
    // Whole registers are computed at the right edge: their inputs are there, whatever they hold.
    in_width = (round_up(larger(w.out[2], 1), lanes) - 1) * w.stride[2] + (w.kernel[2] - 1) * w.dilation[2] + 1 + lanes;
    rows = larger(1, smaller(w.out[1], (band_floats / larger(in_width, 1) - reach) / larger(w.stride[1], 1) + 1));
    row_bands = larger(1, ceil_divide(w.out[1], rows));
    rows = ceil_divide(w.out[1], row_bands);
    in_rows = larger(1, (rows - 1) * w.stride[1] + reach);
  }
};

inline F32 load_step(const float* p, int64_t stride) {
  if (stride == 1) return load(p);
  if (stride == 2) return load_even(p);
  F32 v;
  for (int i = 0; i < lanes; ++i) v[i] = p[i * stride];
  return v;
}

// rows x registers of outputs from `x`, the padded input at their first tap.
template <int rows, int registers, int fixed_stride>
inline void accumulate(const Window& w, const float* x, int64_t in_width, const float* weights, F32 (&sum)[rows][4]) {
  const int64_t stride = fixed_stride ? fixed_stride : w.stride[2];
  for (int64_t h = 0; h < w.kernel[1]; ++h)
    for (int64_t k = 0; k < w.kernel[2]; ++k) {
      const F32 weight = broadcast(*weights++);
      const float* from = x + h * w.dilation[1] * in_width + k * w.dilation[2];
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < registers; ++v)
          sum[r][v] += weight * load_step(from + r * w.stride[1] * in_width + v * lanes * stride, stride);
    }
}

template <int rows, int registers, int fixed_stride>
void rows_of(const Window& w, const float* x, int64_t in_width, const float* weights, const MicroBlock<float>& p) {
  const int64_t stride = fixed_stride ? fixed_stride : w.stride[2], out = w.out[2];
  MicroBlock<float> q = p;
  // Without an activation the clamp lets everything pass.
  const bool clips = p.activation != Activation::none;
  const F32 bias = broadcast(p.row_bias ? p.row_bias[0] : 0.0f);
  const F32 low = broadcast(clips ? p.low : -infinity), high = broadcast(clips ? p.high : infinity);
  for (int64_t j = 0; j < out; j += registers * lanes) {
    F32 sum[rows][4] = {};
    accumulate<rows, registers, fixed_stride>(w, x + j * stride, in_width, weights, sum);
    q.c = p.c + j;
    q.columns = int(smaller(registers * lanes, out - j));
    if (p.residual || p.activation > Activation::clip) {
      float sums[rows * registers * lanes];
      for (int r = 0; r < rows; ++r)
        for (int v = 0; v < registers; ++v) store(sums + (r * registers + v) * lanes, sum[r][v]);
      q.residual = p.residual ? p.residual + j : nullptr;
      finish(q, sums, rows, registers * lanes);
      continue;
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < registers; ++v) {
        const F32 y = clamp(sum[r][v] + bias, low, high);
        const int n = q.columns - v * lanes;
        if (n >= lanes) store(q.c + r * p.c_row + v * lanes, y);
        else if (n > 0) store_part(q.c + r * p.c_row + v * lanes, y, n);
      }
  }
}

using RowsKernel = void (*)(const Window&, const float*, int64_t, const float*, const MicroBlock<float>&);

// Wide outputs take four registers of a row at once, narrow ones several rows.
template <int stride>
RowsKernel choose(int64_t out_width, int64_t rows_left, int& rows) {
  const bool narrow = out_width <= lanes, middle = out_width <= 2 * lanes;
  rows = narrow && rows_left >= 4 ? 4 : middle && rows_left >= 2 ? 2 : 1;
  if (rows == 4) return rows_of<4, 1, stride>;
  if (rows == 2) return narrow ? rows_of<2, 1, stride> : rows_of<2, 2, stride>;
  return narrow ? rows_of<1, 1, stride> : middle ? rows_of<1, 2, stride> : rows_of<1, 4, stride>;
}

// Padded input rows [first, first + count) into `to`; rows and columns outside read zero.
void copy_band(const Window& w, const float* x, int64_t first, int64_t count, int64_t width, float* to) {
  const int64_t left = smaller(larger(w.pad[2], 0), width), skip = larger(-w.pad[2], 0);
  const int64_t inside = larger(0, smaller(w.in[2] - skip, width - left));
  for (int64_t h = first; h < first + count; ++h, to += width) {
    const bool within = h >= 0 && h < w.in[1];
    const int64_t begin = within ? left : 0, filled = within ? inside : 0;
    for (int64_t j = 0; j < begin; ++j) to[j] = 0;
    const float* from = x + h * w.in[2] + skip;
    int64_t j = 0;
    for (; j + lanes <= filled; j += lanes) store(to + begin + j, load(from + j));
    if (j < filled) store_part(to + begin + j, load_part(from + j, filled - j), filled - j);
    for (j = begin + filled; j < width; ++j) to[j] = 0;
  }
}

void run_tile(const Conv& c, const Band& band, int64_t tile, float* scratch) {
  const Window& w = c.window;
  const int64_t plane = tile / band.row_bands, channel = plane % c.out_channels, batch = plane / c.out_channels;
  const Part rows = part_of(w.out[1], band.row_bands, tile % band.row_bands);
  const int64_t in_channel = batch * c.in_channels + channel / (c.out_channels / c.groups);
  const int64_t in_count = (rows.count() - 1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1;
  copy_band(w, c.x + in_channel * w.in[1] * w.in[2], rows.begin * w.stride[1] - w.pad[1], in_count, band.in_width,
            scratch);
  const float* weights = static_cast<const float*>(c.packed_weights) + channel * w.kernel[1] * w.kernel[2];
  const int64_t start = plane * w.out[1] * w.out[2];
  MicroBlock<float> p;
  p.c_row = p.residual_row = w.out[2];
  const float bias = c.epilogue.row_bias ? static_cast<const float*>(c.epilogue.row_bias)[channel] : 0;
  const float biases[4] = {bias, bias, bias, bias};
  for (int64_t r = rows.begin; r < rows.end;) {
    set_epilogue(p, c.epilogue, channel, start + r * w.out[2], true, true);
    if (p.row_bias) p.row_bias = biases;
    p.c = c.y + start + r * w.out[2];
    int count = 1;
    const RowsKernel kernel = w.stride[2] == 1   ? choose<1>(w.out[2], rows.end - r, count)
                              : w.stride[2] == 2 ? choose<2>(w.out[2], rows.end - r, count)
                                                 : choose<0>(w.out[2], rows.end - r, count);
    kernel(w, scratch + (r - rows.begin) * w.stride[1] * band.in_width, band.in_width, weights, p);
    r += count;
  }
}

}  // namespace

bool OUTPOST_ISA::depthwise_applies(const Conv& c) {
  const Window& w = c.window;
  if (c.in_channels != c.groups || w.in[0] != 1 || w.kernel[0] != 1 || w.out[0] != 1 || w.pad[0] != 0) return false;
  if (w.kernel[1] > 64 || w.kernel[2] > 64 || w.dilation[1] > 64 || w.dilation[2] > 64) return false;
  if (w.stride[1] > 64 || w.stride[2] > 64 || w.out[2] > 65536) return false;
  const Band band(w);
  return band.in_rows * band.in_width <= 4 * band_floats;
}

int64_t OUTPOST_ISA::depthwise_tiles(const Conv& c) {
  return volume(c.window.out) == 0 ? 0 : c.batch * c.out_channels * Band(c.window).row_bands;
}

size_t OUTPOST_ISA::depthwise_scratch_bytes(const Conv& c) {
  const Band band(c.window);
  return size_t(band.in_rows * band.in_width) * sizeof(float) + 64;
}

void OUTPOST_ISA::depthwise(const Conv& c, int64_t begin, int64_t end, void* scratch) {
  const Band band(c.window);
  for (int64_t i = begin; i < end; ++i) run_tile(c, band, i, static_cast<float*>(scratch));
}

}  // namespace outpost::kernels
