// Depthwise convolution of 8-bit blocks: tiles are (image and block, band of rows); the rows are copied with their
// padding, then `columns` positions at a time sum all taps in registers. `Taps` says how one row of taps is summed.
//
// Taps: packed_bytes(kernel_w) of the weights of one block and one tap row, pack(), and accumulate<columns>().
#pragma once

#include "kernels/int8_parts.h"

namespace outpost::kernels {
namespace {

constexpr int depthwise_columns = 4;

struct DepthwiseCut {
  Band band;
  int64_t blocks, band_rows, bands;

  explicit DepthwiseCut(const ConvInt8& c) : band(Window(unphased(c.window)), byte_block, 1) {
    blocks = ceil_divide(c.out_channels, byte_block);
    const int64_t row = larger(1, band.row_bytes * band.stride_h), rows = c.window.out[1];
    const int64_t most = larger(1, smaller(rows, (16 << 10) / larger(1, row)));
    band_rows = larger(1, ceil_divide(rows, larger(1, ceil_divide(rows, most))));
    bands = ceil_divide(rows, band_rows);
  }
  // The columns of a row stay in order: a window that covers the whole padded row at stride 1.
  static Window unphased(Window w) {
    w.out[2] = (w.out[2] - 1) * w.stride[2] + 1;
    w.stride[2] = 1;
    return w;
  }
};

template <class Taps>
size_t depthwise_pack_bytes(const ConvInt8& c) {
  return size_t(ceil_divide(c.out_channels, byte_block) * c.window.kernel[1] * Taps::packed_bytes(c.window.kernel[2]));
}

template <class Taps>
void depthwise_pack(const ConvInt8& c, const int8_t* weights, void* packed) {
  const int64_t kh = c.window.kernel[1], kw = c.window.kernel[2];
  auto* to = static_cast<uint8_t*>(packed);
  for (int64_t block = 0; block < c.out_channels; block += byte_block)
    for (int64_t ky = 0; ky < kh; ++ky, to += Taps::packed_bytes(kw)) {
      auto weight = [&](int64_t channel, int64_t kx) {
        const bool inside = block + channel < c.out_channels && kx >= 0 && kx < kw;
        return inside ? weights[((block + channel) * kh + ky) * kw + kx] : int8_t(0);
      };
      Taps::pack(weight, kw, to);
    }
}

inline int64_t depthwise_tiles(const ConvInt8& c) {
  const DepthwiseCut s(c);
  return c.batch * s.blocks * s.bands;
}

inline size_t depthwise_scratch_bytes(const ConvInt8& c) {
  const DepthwiseCut s(c);
  const int64_t slack = 4 * byte_block * (c.window.dilation[2] + 1);  // read past the last row's end, and multiplied by 0
  return size_t(round_up(s.band.rows(s.band_rows) * s.band.row_bytes + slack, 64));
}

struct DepthwiseRow {
  const uint8_t* x;  // the band, at the first tap of the first position
  const uint8_t* weights;
  int64_t kernel_h, kernel_w, x_row, stride, dilation;  // x_row in bytes, stride and dilation in bytes of columns
  const int32_t* bias;
  const float* scale;
  const Requantise* requantise;
};

template <class Taps, int columns>
inline void depthwise_columns_of(const DepthwiseRow& p, int64_t column, const uint8_t* residual, uint8_t* y) {
  I32 sum[columns][block_vectors];
  for (int c = 0; c < columns; ++c)
    for (int v = 0; v < block_vectors; ++v) sum[c][v] = load(p.bias + v * lanes);
  const uint8_t* x = p.x + column * p.stride;
  for (int64_t ky = 0; ky < p.kernel_h; ++ky)
    Taps::template accumulate<columns>(x + ky * p.x_row, p.stride, p.dilation,
                                       p.weights + ky * Taps::packed_bytes(p.kernel_w), p.kernel_w, sum);
  if (residual) write_codes<true>(sum, 0, p.scale, *p.requantise, residual, y);
  else write_codes<false>(sum, 0, p.scale, *p.requantise, nullptr, y);
}

template <class Taps>
void depthwise(const ConvInt8& c, int64_t begin, int64_t end, void* scratch) {
  const DepthwiseCut s(c);
  const Window& w = c.window;
  const Window row_window = DepthwiseCut::unphased(w);
  auto* band = static_cast<uint8_t*>(scratch);
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t plane = tile / s.bands, block = plane % s.blocks;
    const int64_t row0 = tile % s.bands * s.band_rows, rows = smaller(s.band_rows, w.out[1] - row0);
    copy_band_block<1, 16>(row_window, s.band, c.x + plane * w.in[1] * w.in[2] * byte_block,
                           row0 * w.stride[1] - w.pad[1], s.band.rows(rows), c.x_zero, band);
    DepthwiseRow p{.weights = static_cast<const uint8_t*>(c.packed_weights) +
                              block * w.kernel[1] * Taps::packed_bytes(w.kernel[2]),
                   .kernel_h = w.kernel[1], .kernel_w = w.kernel[2], .x_row = w.dilation[1] * s.band.row_bytes,
                   .stride = w.stride[2] * byte_block, .dilation = w.dilation[2] * byte_block,
                   .bias = c.requantise.bias + block * byte_block, .scale = c.requantise.scale + block * byte_block,
                   .requantise = &c.requantise};
    for (int64_t r = 0; r < rows; ++r) {
      p.x = band + r * w.stride[1] * s.band.row_bytes;
      const int64_t offset = (plane * w.out[1] + row0 + r) * w.out[2] * byte_block;
      const uint8_t* residual = c.requantise.residual ? c.requantise.residual + offset : nullptr;
      for (int64_t i = 0; i < w.out[2]; i += depthwise_columns) {
        const uint8_t* rest = residual ? residual + i * byte_block : nullptr;
        uint8_t* y = c.y + offset + i * byte_block;
        switch (w.out[2] - i) {
          case 1: depthwise_columns_of<Taps, 1>(p, i, rest, y); break;
          case 2: depthwise_columns_of<Taps, 2>(p, i, rest, y); break;
          case 3: depthwise_columns_of<Taps, 3>(p, i, rest, y); break;
          default: depthwise_columns_of<Taps, 4>(p, i, rest, y);
        }
      }
    }
  }
}

template <class Taps>
void set_depthwise_entries(Int8Kernels& table) {
  table.depthwise_pack_bytes = depthwise_pack_bytes<Taps>;
  table.depthwise_pack = depthwise_pack<Taps>;
  table.depthwise_tiles = depthwise_tiles;
  table.depthwise_scratch_bytes = depthwise_scratch_bytes;
  table.depthwise = depthwise<Taps>;
}

}  // namespace
}  // namespace outpost::kernels
