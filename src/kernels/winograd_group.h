// One group of tiles of a Winograd convolution (winograd.isa.cpp): how the work is cut, the product of a frequency, and
// the three steps from x to y.
#pragma once

#include "kernels/activate.h"
#include "kernels/conv_blocked.h"
#include "kernels/gemm_pack.h"
#include "kernels/winograd_tile.h"

namespace outpost::kernels {
namespace {

// Registers: rows * 2 sums, 2 of weights, and on x86 inputs broadcast from memory.
#if defined(OUTPOST_ISA_avx512)
constexpr int product_rows = 14;
#else
constexpr int product_rows = block_rows;
#endif

// (rows tiles, vectors out blocks) of one frequency.
template <int rows, int vectors>
void product(const float* v, int64_t v_block, const float* u, int64_t channels, float* p, int64_t p_block) {
  F32 sum[rows][vectors] = {};
  for (; channels > 0; channels -= lanes, v += v_block) {
    const int64_t steps = smaller(channels, lanes);
#pragma GCC unroll 4
    for (int64_t c = 0; c < steps; ++c, u += vectors * lanes) {
      F32 w[vectors];
      OUTPOST_UNROLL for (int o = 0; o < vectors; ++o) w[o] = load(u + o * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const F32 x = broadcast(v[r * lanes + c]);
        OUTPOST_UNROLL for (int o = 0; o < vectors; ++o) sum[r][o] += x * w[o];
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
    OUTPOST_UNROLL for (int o = 0; o < vectors; ++o) store(p + o * p_block + r * lanes, sum[r][o]);
}

using Product = void (*)(const float*, int64_t, const float*, int64_t, float*, int64_t);

template <int rows = product_rows>
Product product_for(int64_t wanted, bool pair) {
  if constexpr (rows > 1) {
    if (wanted < rows) return product_for<rows - 1>(wanted, pair);
  }
  return pair ? product<rows, 2> : product<rows, 1>;
}

constexpr int64_t group_bytes = 512 << 10;  // of V and M: L2 keeps them while weights stream by
constexpr int64_t least_tiles = 16;         // of a group: what a weight brought from memory is used for
constexpr double part_flops = 4e6, most_parts = 8;

template <int m>
struct Plan {
  static constexpr int n = m + 2, frequencies = n * n;
  int64_t in_channels, in_blocks, out_blocks;  // of a group
  int64_t image_blocks[2];                     // of an image, in and out
  int64_t rows, columns, tiles;                // of an image; tiles of the batch
  int64_t tile_groups, parts;
  int64_t most_tiles, v_stride, p_stride;

  explicit Plan(const BlockedConv& c)
      : in_channels(c.in_channels / c.groups), in_blocks(channel_blocks(in_channels, lanes)),
        out_blocks(channel_blocks(c.out_channels / c.groups, lanes)),
        image_blocks{in_blocks * c.groups, out_blocks * c.groups}, rows(ceil_divide(c.window.out[1], m)),
        columns(ceil_divide(c.window.out[2], m)), tiles(c.batch * rows * columns) {
    const int64_t tile_bytes = frequencies * (in_blocks + out_blocks) * vector_bytes;
    const int64_t fitting = larger(least_tiles, group_bytes / tile_bytes);
    tile_groups = ceil_divide(tiles, fitting);
    parts = 1;
    const double flops = 2.0 * frequencies * lanes * lanes * double(in_blocks * image_blocks[1]) * double(tiles);
    const double wanted = flops / part_flops < most_parts ? flops / part_flops : most_parts;
    while (double(c.groups * tile_groups * parts) < wanted && parts * 4 <= out_blocks) ++parts;
    most_tiles = ceil_divide(tiles, larger(1, tile_groups));
    v_stride = in_blocks * most_tiles * lanes + 16;  // not a multiple of 4 KB, which would meet in one set of L1
    p_stride = (ceil_divide(ceil_divide(out_blocks, 2), parts) * 2) * most_tiles * lanes + 16;
  }
  int64_t pairs() const { return ceil_divide(out_blocks, 2); }
  int64_t weight_floats() const { return frequencies * out_blocks * lanes * in_channels; }
  int64_t v_floats() const { return frequencies * v_stride; }
};

template <int m>
struct Worker {
  static constexpr int n = m + 2;
  const BlockedConv& c;
  const Plan<m>& s;
  float *v, *p;
  const int64_t group;
  const Part at;  // tiles

  // Calls body(image, first output row, first output column, tile of the group).
  template <class Body>
  void each_tile(Body body) const {
    int64_t column = at.begin % s.columns, row = at.begin / s.columns % s.rows, image = at.begin / s.columns / s.rows;
    for (int64_t t = 0; t < at.count(); ++t) {
      body(image, row * m, column * m, t);
      if (++column < s.columns) continue;
      column = 0;
      if (++row == s.rows) row = 0, ++image;
    }
  }

  // A block at a time: along a row of tiles the reads follow n rows of one plane.
  void inputs() const {
    const Window& w = c.window;
    const int64_t height = w.in[1], width = w.in[2], plane = height * width * lanes;
    for (int64_t ib = 0; ib < s.in_blocks; ++ib)
      each_tile([&](int64_t image, int64_t oh, int64_t ow, int64_t t) {
        const int64_t h = oh - w.pad[1], left = ow - w.pad[2];
        const bool inside = h >= 0 && h + n <= height && left >= 0 && left + n <= width;
        const float* x = c.x + (image * s.image_blocks[0] + group * s.in_blocks + ib) * plane;
        float* to = v + (ib * s.most_tiles + t) * lanes;
        if (inside) return winograd_input<m>(x + (h * width + left) * lanes, width * lanes, to, s.v_stride);
        float patch[n * n * lanes];
        cut(x, h, left, patch);
        winograd_input<m>(patch, n * lanes, to, s.v_stride);
      });
  }

  // n x n inputs from (h, left) on, zero outside.
  void cut(const float* x, int64_t h, int64_t left, float* patch) const {
    const int64_t height = c.window.in[1], width = c.window.in[2];
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        const int64_t y = h + i, z = left + j;
        const bool inside = y >= 0 && y < height && z >= 0 && z < width;
        store(patch + (i * n + j) * lanes, inside ? load(x + (y * width + z) * lanes) : F32{});
      }
  }

  void products(Part pairs) const {
    const float* u = static_cast<const float*>(c.packed_weights) + group * s.weight_floats();
    const int64_t chunks = ceil_divide(at.count(), product_rows);
    for (int f = 0; f < n * n; ++f, u += s.weight_floats() / (n * n))
      for (int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
        const bool two = 2 * pair + 1 < s.out_blocks;
        for (int64_t i = 0; i < chunks; ++i) {
          const Part rows = part_of(at.count(), chunks, i);
          const int64_t first = (pair - pairs.begin) * 2 * s.most_tiles;
          product_for(rows.count(), two)(v + f * s.v_stride + rows.begin * lanes, s.most_tiles * lanes,
                                         u + pair * 2 * lanes * s.in_channels, s.in_channels,
                                         p + f * s.p_stride + (first + rows.begin) * lanes, s.most_tiles * lanes);
        }
      }
  }

  void outputs(Part pairs) const {
    const Window& w = c.window;
    const int64_t plane = w.out[1] * w.out[2];
    const int64_t last = smaller(pairs.end * 2, s.out_blocks);
    for (int64_t ob = pairs.begin * 2; ob < last; ++ob)
      each_tile([&](int64_t image, int64_t oh, int64_t ow, int64_t t) {
        const int64_t block = group * s.out_blocks + ob;
        F32 y[m][m];
        columns_and_rows(image, oh, ow, ob, p + ((ob - pairs.begin * 2) * s.most_tiles + t) * lanes, y);
        finish(y, ((image * s.image_blocks[1] + block) * plane + oh * w.out[2] + ow) * lanes, block,
               smaller(m, w.out[1] - oh), smaller(m, w.out[2] - ow));
      });
  }

  void columns_and_rows(int64_t image, int64_t oh, int64_t ow, int64_t ob, const float* from, F32 (&y)[m][m]) const {
    F32 half[m][n], check;
    winograd_output_columns<m>(from, s.p_stride, half, check);
    if (!finite(check)) return direct(image, oh, ow, ob, y);
    OUTPOST_UNROLL for (int i = 0; i < m; ++i) WinogradLine<m>::output(half[i], y[i]);
  }

  static bool finite(F32 x) {
    const I32 good = x * 0.0f == 0.0f;
#if defined(OUTPOST_ISA_avx512)
    return _mm512_movepi32_mask((__m512i)good) == 0xffff;
#elif defined(OUTPOST_ISA_avx2)
    return _mm256_movemask_ps((__m256)good) == 0xff;
#else
    int32_t all = -1;
    for (int i = 0; i < lanes; ++i) all &= good[i];
    return all != 0;
#endif
  }

  // One tile term by term, because an infinity, a NaN or an overflow would reach all its outputs.
  void direct(int64_t image, int64_t oh, int64_t ow, int64_t ob, F32 (&y)[m][m]) const {
    const Window& w = c.window;
    const int64_t step = (ob + 1 < s.out_blocks || ob % 2 ? 2 : 1) * lanes;
    const float* u = static_cast<const float*>(c.packed_weights) + group * s.weight_floats() +
                     ob / 2 * 2 * lanes * s.in_channels + ob % 2 * lanes;
    const float* x = c.x + (image * s.image_blocks[0] + group * s.in_blocks) * w.in[1] * w.in[2] * lanes;
    for (auto& row : y)
      for (F32& sum : row) sum = F32{};
    for (int64_t i = 0; i < s.in_channels; ++i) {
      F32 g[3][3];
      winograd_original<m>(u + i * step, s.weight_floats() / (n * n), g);
      float patch[n * n * lanes];
      if (i % lanes == 0) cut(x + i / lanes * w.in[1] * w.in[2] * lanes, oh - w.pad[1], ow - w.pad[2], patch);
      for (int at = 0; at < m * m * 9; ++at) {
        const int tap = at % 9, row = at / 9 / m, column = at / 9 % m;
        const float value = patch[((row + tap / 3) * n + column + tap % 3) * lanes + i % lanes];
        y[row][column] += g[tap / 3][tap % 3] * value;
      }
    }
  }

  // `y` is the tile at y + start, of which `height` x `width` lies inside.
  void finish(F32 (&y)[m][m], int64_t start, int64_t block, int64_t height, int64_t width) const {
    const Epilogue& e = c.epilogue;
    const F32 bias = e.row_bias ? load(static_cast<const float*>(e.row_bias) + block * lanes) : F32{};
    const F32 low = broadcast(e.low), high = broadcast(e.high);
    const auto* residual = static_cast<const float*>(e.residual);
    const int64_t real_lanes = c.out_channels - block * lanes;
    const I32 real = lane_index() < int32_t(smaller(real_lanes, lanes));
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        const int64_t to = start + (i * c.window.out[2] + j) * lanes;
        F32 value = y[i][j] + bias;
        if (residual) value += load(residual + to) * float(e.residual_scale);
        value = activate(value, e.activation, low, high);
        store(c.y + to, real_lanes < lanes ? select(real, value, F32{}) : value);
      }
  }
};

}  // namespace
}  // namespace outpost::kernels
