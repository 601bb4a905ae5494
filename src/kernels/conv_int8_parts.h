// Convolution of 8-bit blocks on an instruction set's dot product of 32-bit groups (`Dot`): sums of all channels and
// taps for `columns` neighbouring positions by one or two blocks of output channels stay in registers from the first
// channel to the last; they start at the bias and end as codes. Nothing is unfolded: where padding, a stride or widening
// to 16 bits asks for it, the rows of a tile are copied once; else x is read where it lies.
//
// Dot: element_bytes of a channel in a group (1: four channels, 2: two), multiply(sums, group of x, weights), direct:
// may x be read without a copy.
#pragma once

#include "kernels/int8_parts.h"

namespace outpost::kernels {
namespace {

#if defined(OUTPOST_ISA_avx512)
constexpr int max_columns = 14, together = 2;  // 28 sums, 2 registers of weights, 1 of x
#elif defined(OUTPOST_ISA_avx2)
constexpr int max_columns = 6, together = 1;  // 12 sums of 16 registers
#elif defined(__aarch64__)
constexpr int max_columns = 5, together = 1;  // 20 sums of 32 registers
#else
constexpr int max_columns = 2, together = 1;  // 8 sums of 16 registers
#endif
constexpr int64_t band_bytes_wanted = 192 << 10, tile_positions = 224, least_tiles = 8;
constexpr int64_t max_kernel_width = 64;

template <class Dot>
constexpr int64_t group_channels = 4 / Dot::element_bytes;

// What one product reads: rows of x from channel block to channel block and tap to tap, weights in that order.
struct Walk {
  const uint8_t* x;
  const uint8_t* weights;
  int64_t weights_block;  // bytes from a block of output channels to the next
  int64_t in_blocks, kernel_h, kernel_w;
  int64_t x_block, x_row;          // bytes to the next channel block, and to the next tap row
  const int64_t* taps;             // byte offsets of tap columns
  const int32_t* bias;
  const float* scale;
  const Requantise* requantise;
  const uint8_t* residual;
  uint8_t* y;
  int64_t y_block;
};

template <class Dot, int columns, int blocks, int groups>
void multiply_columns(const Walk& p) {
  constexpr int vectors = blocks * block_vectors, step = groups * 4;
  I32 sum[columns][vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const I32 bias = load(p.bias + v * lanes);
#pragma GCC unroll 16
    for (int c = 0; c < columns; ++c) sum[c][v] = bias;
  }
  const uint8_t* w = p.weights;
  for (int64_t block = 0; block < p.in_blocks; ++block)
    for (int64_t ky = 0; ky < p.kernel_h; ++ky) {
      const uint8_t* row = p.x + block * p.x_block + ky * p.x_row;
      for (int64_t kx = 0; kx < p.kernel_w; ++kx) {
        const uint8_t* x = row + p.taps[kx];
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g, w += byte_block * 4) {
          I32 weights[vectors];
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v)
            __builtin_memcpy(&weights[v], w + v / block_vectors * p.weights_block + v % block_vectors * vector_bytes,
                             vector_bytes);
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) {
            int32_t four;
            __builtin_memcpy(&four, x + c * step + g * 4, 4);
            const I32 value = broadcast(four);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) sum[c][v] = Dot::multiply(sum[c][v], value, weights[v]);
          }
        }
      }
    }
#pragma GCC unroll 2
  for (int b = 0; b < blocks; ++b) {
    uint8_t* y = p.y + b * p.y_block;
    const float* scale = p.scale + b * byte_block;
    if (p.residual)
      write_codes<true>(sum, b * block_vectors, scale, *p.requantise, p.residual + b * p.y_block, y);
    else write_codes<false>(sum, b * block_vectors, scale, *p.requantise, nullptr, y);
  }
}

using ColumnsKernel = void (*)(const Walk&);

template <class Dot, int blocks, int groups, int columns = max_columns>
ColumnsKernel columns_kernel(int64_t wanted) {
  if constexpr (columns > 1) {
    if (wanted < columns) return columns_kernel<Dot, blocks, groups, columns - 1>(wanted);
  }
  return multiply_columns<Dot, columns, blocks, groups>;
}

template <class Dot>
ColumnsKernel columns_kernel(int64_t columns, bool pair, bool narrow) {
  constexpr int whole = 16 / int(group_channels<Dot>), small = 4 / int(group_channels<Dot>);
  if (narrow) {
    if (pair) return columns_kernel<Dot, together, small>(columns);
    return columns_kernel<Dot, 1, small>(columns);
  }
  if (pair) return columns_kernel<Dot, together, whole>(columns);
  return columns_kernel<Dot, 1, whole>(columns);
}

// How the work of a shape is cut: tiles are (image, group, chunk of output blocks, band of rows or of columns).
struct Cut {
  Band band;
  bool direct;  // x is read where it lies
  bool flat;    // and its positions are one long row
  int64_t in_blocks, out_blocks;  // of a group
  int64_t rows, columns;          // of the output, as walked
  int64_t band_rows, band_columns, bands, chunk, chunks;
  int64_t x_block;                // bytes to the next channel block, as read

  template <class Dot>
  static Cut of(const ConvInt8& c) {
    const Window& w = c.window;
    Cut s{.band = Band(w, c.block, Dot::element_bytes)};
    s.in_blocks = ceil_divide(c.in_channels / c.groups, c.block);
    s.out_blocks = ceil_divide(c.out_channels / c.groups, byte_block);
    bool inside = Dot::direct;
    for (int i = 1; i < 3; ++i)
      inside = inside && w.stride[i] == 1 && w.pad[i] == 0 &&
               w.out[i] + (w.kernel[i] - 1) * w.dilation[i] <= w.in[i];
    s.direct = inside;
    s.flat = inside && w.kernel[1] == 1 && w.kernel[2] == 1 && w.out[1] == w.in[1] && w.out[2] == w.in[2];
    s.rows = s.flat ? 1 : w.out[1], s.columns = s.flat ? w.out[1] * w.out[2] : w.out[2];
    s.band_columns = s.columns, s.band_rows = s.rows;
    if (s.flat) {
      const int64_t parts = larger(1, (s.columns + tile_positions / 2) / tile_positions);
      s.band_columns = larger(max_columns, round_up(ceil_divide(s.columns, parts), max_columns));
      s.bands = ceil_divide(s.columns, s.band_columns);
    } else {
      const int64_t row = s.band.row_bytes * s.band.stride_h * s.in_blocks;
      const int64_t most = larger(1, smaller(ceil_divide(tile_positions, larger(1, s.columns)), band_bytes_wanted / larger(1, row)));
      s.band_rows = larger(1, ceil_divide(s.rows, larger(1, ceil_divide(s.rows, most))));
      s.bands = ceil_divide(s.rows, s.band_rows);
    }
    const int64_t others = c.batch * c.groups * s.bands;
    const int64_t parts = smaller(ceil_divide(s.out_blocks, 2), ceil_divide(least_tiles, larger(1, others)));
    s.chunk = larger(2, round_up(ceil_divide(s.out_blocks, larger(1, parts)), 2));
    s.chunks = ceil_divide(s.out_blocks, s.chunk);
    s.x_block = s.direct ? w.in[1] * w.in[2] * c.block : s.band.rows(s.band_rows) * s.band.row_bytes;
    return s;
  }
  int64_t tiles(const ConvInt8& c) const { return c.batch * c.groups * chunks * bands; }
};

inline int64_t packed_block_bytes(const ConvInt8& c, int64_t element_bytes) {
  return round_up(c.in_channels / c.groups, c.block) * c.window.kernel[1] * c.window.kernel[2] * byte_block *
         element_bytes;
}

template <class Dot>
size_t conv_pack_bytes(const ConvInt8& c) {
  return size_t(c.groups * ceil_divide(c.out_channels / c.groups, byte_block) *
                packed_block_bytes(c, Dot::element_bytes));
}

// [output block][input block][ky][kx][group][16 outputs][channels of a group]; zero past the edges.
template <class Dot>
void conv_pack(const ConvInt8& c, const int8_t* weights, void* packed) {
  using Element = typename Dot::Element;
  constexpr int64_t group = group_channels<Dot>;
  const int64_t in = c.in_channels / c.groups, out = c.out_channels / c.groups;
  const int64_t taps = c.window.kernel[1] * c.window.kernel[2];
  auto* to = static_cast<Element*>(packed);
  for (int64_t g = 0; g < c.groups; ++g)
    for (int64_t ob = 0; ob < out; ob += byte_block)
      for (int64_t ib = 0; ib < in; ib += c.block)
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t i = ib; i < ib + c.block; i += group)
            for (int64_t o = ob; o < ob + byte_block; ++o)
              for (int64_t j = i; j < i + group; ++j)
                *to++ = o < out && j < in ? weights[((g * out + o) * in + j) * taps + tap] : Element(0);
}

template <class Dot>
int64_t conv_tiles(const ConvInt8& c) {
  return Cut::of<Dot>(c).tiles(c);
}

template <class Dot>
size_t conv_scratch_bytes(const ConvInt8& c) {
  const Cut s = Cut::of<Dot>(c);
  return s.direct ? 0 : size_t(round_up(s.x_block * s.in_blocks, 64));
}

template <class Dot>
void run_conv_tile(const ConvInt8& c, const Cut& s, int64_t tile, uint8_t* scratch) {
  const Window& w = c.window;
  const int64_t band = tile % s.bands, chunk = tile / s.bands % s.chunks;
  const int64_t group = tile / s.bands / s.chunks % c.groups, image = tile / s.bands / s.chunks / c.groups;
  const int64_t row0 = s.flat ? 0 : band * s.band_rows, rows = smaller(s.band_rows, s.rows - row0);
  const int64_t column0 = s.flat ? band * s.band_columns : 0, columns = smaller(s.band_columns, s.columns - column0);
  const int64_t plane = w.in[1] * w.in[2] * c.block, positions = w.out[1] * w.out[2];
  const uint8_t* x = c.x + (image * c.groups + group) * s.in_blocks * plane;
  int64_t taps[max_kernel_width];
  for (int64_t kx = 0; kx < w.kernel[2]; ++kx)
    taps[kx] = s.direct ? kx * w.dilation[2] * c.block : s.band.tap(kx * w.dilation[2]);
  const int64_t row_bytes = s.direct ? w.in[2] * c.block : s.band.row_bytes;
  if (!s.direct) {
    const int64_t first = row0 * w.stride[1] - w.pad[1], copied = s.band.rows(rows);
    for (int64_t b = 0; b < s.in_blocks; ++b) {
      if (c.block == 4) copy_band_block<Dot::element_bytes, 4>(w, s.band, x + b * plane, first, copied, c.x_zero, scratch + b * s.x_block);
      else copy_band_block<Dot::element_bytes, 16>(w, s.band, x + b * plane, first, copied, c.x_zero, scratch + b * s.x_block);
    }
    x = scratch;
  } else {
    x += row0 * row_bytes + column0 * c.block;
  }
  const int64_t weights_block = packed_block_bytes(c, Dot::element_bytes), place = c.block * Dot::element_bytes;
  const int64_t first_block = chunk * s.chunk, last_block = smaller(s.out_blocks, first_block + s.chunk);
  Walk p{.weights_block = weights_block, .in_blocks = s.in_blocks, .kernel_h = w.kernel[1], .kernel_w = w.kernel[2],
         .x_block = s.x_block, .x_row = w.dilation[1] * row_bytes, .taps = taps, .requantise = &c.requantise,
         .residual = nullptr, .y_block = positions * byte_block};
  const int64_t parts = ceil_divide(columns, max_columns);
  for (int64_t ob = first_block; ob < last_block;) {
    const bool pair = together == 2 && ob + 1 < last_block;
    const int64_t at = group * s.out_blocks + ob;
    p.weights = static_cast<const uint8_t*>(c.packed_weights) + at * weights_block;
    p.bias = c.requantise.bias + at * byte_block;
    p.scale = c.requantise.scale + at * byte_block;
    const int64_t block_offset = (image * c.groups * s.out_blocks + at) * positions * byte_block;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < parts; ++i) {
        const Part part = part_of(columns, parts, i);
        p.x = x + r * s.band.stride_h * row_bytes + part.begin * place;
        const int64_t offset = block_offset + ((row0 + r) * w.out[2] + column0 + part.begin) * byte_block;
        p.y = c.y + offset;
        if (c.requantise.residual) p.residual = c.requantise.residual + offset;
        columns_kernel<Dot>(part.count(), pair, c.block == 4)(p);
      }
    ob += pair ? 2 : 1;
  }
}

template <class Dot>
void run_conv(const ConvInt8& c, int64_t begin, int64_t end, void* scratch) {
  const Cut s = Cut::of<Dot>(c);
  for (int64_t i = begin; i < end; ++i) run_conv_tile<Dot>(c, s, i, static_cast<uint8_t*>(scratch));
}

template <class Dot>
void set_conv_entries(Int8Kernels& table) {
  table.conv_pack_bytes = conv_pack_bytes<Dot>;
  table.conv_pack = conv_pack<Dot>;
  table.conv_tiles = conv_tiles<Dot>;
  table.conv_scratch_bytes = conv_scratch_bytes<Dot>;
  table.conv = run_conv<Dot>;
}

}  // namespace
}  // namespace outpost::kernels
