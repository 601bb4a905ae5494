// Patches of an input laid out as the B operand of a product: row k = (channel, depth tap, height tap, width tap), one
// column for each output position of a tile.
//
// Where the taps overlap (2-D, unit or double column stride) a channel's part is first copied into a small plane with
// its zero padding, columns of a double stride apart by parity, so that every tap of every output row is one contiguous
// copy without any test for the border.
#pragma once

#include "kernels/gemm_pack.h"
#include "kernels/shuffle.h"

namespace outpost::kernels {
namespace {

// Taps along one axis: tap i reads input position out * stride + first + i * step.
struct Taps {
  int64_t count = 1, first = 0, step = 1;
  int64_t offset(int64_t i) const { return first + i * step; }
  int64_t lowest() const { return step < 0 ? offset(count - 1) : first; }
  int64_t highest() const { return step < 0 ? first : offset(count - 1); }
};

struct Geometry {
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, stride[3] = {1, 1, 1};
  Taps taps[3];
  int64_t tap_count() const { return taps[0].count * taps[1].count * taps[2].count; }
  int64_t plane() const { return in[0] * in[1] * in[2]; }
  int64_t positions() const { return out[0] * out[1] * out[2]; }
};

constexpr int64_t plane_floats = 8192;  // 32 KB of scratch for a channel's padded part

// Scratch: rows of B `b_row` apart (which leaves a register's width after the last position), then the padded plane.
inline int64_t patch_floats(int64_t k_block, int64_t b_row) { return larger(k_block, 1) * b_row + 16 + plane_floats; }
// An odd number of cache lines, so that a column of patches spreads over all sets of L1.
inline int64_t patch_row(int64_t positions) { return ((round_up(positions, 16) / 16 + 1) | 1) * 16; }

inline void zero(float* y, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, F32{});
  for (; i < n; ++i) y[i] = 0;
}

// y[i] = x[i * stride] for i < n; writes nothing past n.
inline void copy_strided(const float* x, int64_t stride, float* y, int64_t n) {
  int64_t i = 0;
  if (stride == 1) {
    for (; i + lanes <= n; i += lanes) store(y + i, load(x + i));
    if (i < n) store_part(y + i, load_part(x + i, n - i), n - i);
  } else if (stride == 2) {
    for (; i + lanes <= n; i += lanes) store(y + i, load_even(x + 2 * i));
    if (i < n) store_part(y + i, load_even_part(x + 2 * i, n - i), n - i);
  } else {
    for (; i < n; ++i) y[i] = x[i * stride];
  }
}

inline int64_t clamp_to(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }
inline int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// The output positions of a tile: where the first stands.
struct Positions {
  Part range;
  int64_t depth, height, column;
  Positions(const Geometry& g, Part range_) : range(range_) {
    column = range.begin % g.out[2];
    const int64_t row = range.begin / g.out[2];
    height = row % g.out[1], depth = row / g.out[1];
  }
};

// The general way for one tap of one channel: every output row clipped to the input.
inline void lay_out_tap(const Geometry& g, const Positions& p, const int64_t (&offset)[3], const float* x, float* to) {
  // Output columns whose input column lies inside.
  const bool unit = g.stride[2] == 1;
  const int64_t low = unit ? -offset[2] : -floor_divide(offset[2], g.stride[2]);
  const int64_t high = unit ? g.in[2] - offset[2] : -floor_divide(offset[2] - g.in[2], g.stride[2]);
  int64_t column = p.column, height = p.height, depth = p.depth;
  const bool no_clipping = low <= 0 && high >= g.out[2];
  for (int64_t left = p.range.count(); left > 0; column = 0) {
    const int64_t count = smaller(g.out[2] - column, left);
    const int64_t d = depth * g.stride[0] + offset[0], h = height * g.stride[1] + offset[1];
    if (d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1]) {
      zero(to, count);
    } else if (no_clipping) {
      const float* from = x + (d * g.in[1] + h) * g.in[2] + column * g.stride[2] + offset[2];
      copy_strided(from, g.stride[2], to, count);
    } else {
      const int64_t begin = clamp_to(low - column, 0, count), end = clamp_to(high - column, begin, count);
      const float* from = x + (d * g.in[1] + h) * g.in[2] + (column + begin) * g.stride[2] + offset[2];
      if (begin > 0) zero(to, begin);
      if (end > begin) copy_strided(from, g.stride[2], to + begin, end - begin);
      if (end < count) zero(to + end, count - end);
    }
    to += count, left -= count;
    if (++height == g.out[1]) height = 0, ++depth;
  }
}

// A channel's padded part: input rows from `row` on, columns from `column` on, each row split by column parity for
// stride 2 into two runs of `half` floats.
struct PaddedPlane {
  int64_t row, rows, column, columns, half, pitch;
  bool fits;

  PaddedPlane(const Geometry& g, const Positions& p) {
    const int64_t last = p.range.end - 1, first_row = p.height, last_row = last / g.out[2];
    const bool one_row = first_row == last_row;
    const int64_t first_column = one_row ? p.column : 0, last_column = one_row ? last % g.out[2] : g.out[2] - 1;
    row = first_row * g.stride[1] + g.taps[1].lowest();
    rows = last_row * g.stride[1] + g.taps[1].highest() - row + 1;
    column = first_column * g.stride[2] + g.taps[2].lowest();
    columns = last_column * g.stride[2] + g.taps[2].highest() - column + 1;
    half = g.stride[2] == 2 ? (columns + 1) / 2 : columns;
    pitch = half * g.stride[2];
    const bool flat = g.in[0] == 1 && g.out[0] == 1 && g.taps[0].count == 1 && g.taps[0].first == 0;
    fits = flat && g.stride[2] <= 2 && g.tap_count() > 1 && pitch <= plane_floats && rows <= plane_floats &&
           rows * pitch + 4 * lanes <= plane_floats;
  }

  // Copies the part of channel `x` there.
  void fill(const Geometry& g, const float* x, float* to) const {
    const bool split = g.stride[2] == 2;
    const int64_t before = clamp_to(-column, 0, columns);
    const int64_t inside = larger(0, smaller(columns, g.in[2] - column) - before);
    for (int64_t r = row; r < row + rows; ++r, to += pitch) {
      if (r < 0 || r >= g.in[1] || inside == 0) {
        zero(to, pitch);
        continue;
      }
      const float* from = x + r * g.in[2] + column + before;
      if (!split) {
        zero(to, before);
        copy_strided(from, 1, to + before, inside);
        zero(to + before + inside, columns - before - inside);
        continue;
      }
      for (int64_t parity = 0; parity < 2; ++parity) {  // padded columns parity, parity + 2, ...
        float* run = to + parity * half;
        const int64_t skipped = (before - parity + 1) / 2;  // of this run, left of the input
        const int64_t first = 2 * skipped + parity - before;
        const int64_t count = inside > first ? (inside - first + 1) / 2 : 0;
        zero(run, skipped);
        if (count > 0) copy_strided(from + first, 2, run + skipped, count);
        zero(run + skipped + count, half - skipped - count);
      }
    }
  }

  // One tap for all positions. Copies whole registers: what they write beyond a row, the next row overwrites.
  void lay_out_tap(const Geometry& g, const Positions& p, int64_t h_offset, int64_t w_offset, const float* plane,
                   float* to) const {
    const int64_t w = w_offset - g.taps[2].lowest(), h = h_offset - g.taps[1].lowest();
    const float* from = plane + h * pitch + (g.stride[2] == 2 ? (w & 1) * half + (w >> 1) : w);
    const int64_t row_step = g.stride[1] * pitch;
    // The plane begins at the tile's first column if the tile is one row, at column 0 else.
    int64_t left = p.range.count(), count = smaller(g.out[2] - p.column, left);
    const float* at = from + (count < left ? p.column : 0);
    for (;;) {
      for (int64_t j = 0; j < count; j += lanes) store(to + j, load(at + j));
      to += count, left -= count;
      if (left <= 0) return;
      from += row_step;
      at = from;
      count = smaller(g.out[2], left);
    }
  }
};

// Channels lie a plane apart, where the processor's own prefetching finds no pattern: asks for the one after next.
inline void prefetch_ahead(const float* x, int64_t plane, int64_t count) {
  const float* next = x + 3 * plane;  // beyond the end a prefetch does nothing
  for (int64_t j = 0; j < count; j += 16) __builtin_prefetch(next + j);
}

// Steps [step, step + count) of k at the positions of `range`: rows of B. `x` is the group's first channel.
inline void lay_out(const Geometry& g, const float* x, Part range, int64_t step, int64_t count, float* b, int64_t b_row,
                    float* plane) {
  const Positions p(g, range);
  const PaddedPlane padded(g, p);
  const int64_t taps = g.tap_count();
  if (taps == 0 || count == 0) return;
  int64_t channel = step / taps, tap = step % taps;
  int64_t w = tap % g.taps[2].count, h = tap / g.taps[2].count % g.taps[1].count;
  int64_t d = tap / (g.taps[2].count * g.taps[1].count);
  bool filled = false;
  for (int64_t i = 0; i < count; ++i, b += b_row) {
    const float* from = x + channel * g.plane();
    if (padded.fits) {
      if (!filled) padded.fill(g, from, plane);
      filled = true;
      padded.lay_out_tap(g, p, g.taps[1].offset(h), g.taps[2].offset(w), plane, b);
    } else {
      const int64_t offset[3] = {g.taps[0].offset(d), g.taps[1].offset(h), g.taps[2].offset(w)};
      lay_out_tap(g, p, offset, from, b);
      if (taps == 1) prefetch_ahead(from + range.begin * g.stride[2] * g.stride[1], g.plane(), range.count());
    }
    // Columns that fill up the last register: stale memory might hold denormals, which are slow to multiply.
    for (int64_t j = range.count(); j < round_up(range.count(), panel_columns<float>); ++j) b[j] = 0;
    if (++w < g.taps[2].count) continue;
    w = 0;
    if (++h < g.taps[1].count) continue;
    h = 0;
    if (++d < g.taps[0].count) continue;
    d = 0, ++channel, filled = false;
  }
}

}  // namespace
}  // namespace outpost::kernels
