// Convolution as a product: weights (channels, k) times the input's patches (k, positions), k running over
// (channel, depth, height, width) of a group. Patches are laid out a block of k and a tile of positions at a time, a
// few hundred kilobytes that stay in L2; there is never a whole im2col buffer. Depthwise convolutions go their own way.
//
// Tiles are (batch, group, part of the positions, part of the channels), cut by shape alone and dealt evenly.
#include "kernels/conv_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int64_t k_block_limit = 320;
constexpr int64_t positions_limit = 192;  // times k_block_limit floats: 240 KB
constexpr double tile_flops = 4e6, tile_count = 32;

struct Plan {
  Window w;  // with a pointwise convolution's axes merged into one
  int64_t rows, k, positions;
  RowPanels panels;
  int64_t column_panels, m_tiles, n_tiles, k_block, b_row;

  explicit Plan(const Conv& c) : w(c.window), rows(c.out_channels / c.groups), panels(rows) {
    positions = volume(w.out);
    k = c.in_channels / c.groups * volume(w.kernel);
    if (pointwise()) {
      w = Window{};
      w.in[2] = w.out[2] = positions;
    }
    column_panels = ceil_divide(positions, panel_columns<float>);
    constexpr int64_t most_panels = positions_limit / panel_columns<float>;
    n_tiles = larger(1, ceil_divide(column_panels, most_panels));
    m_tiles = 1;
    const double work = 2.0 * double(c.batch) * double(c.groups) * double(rows) * double(k) * double(positions);
    const double wanted = work / tile_flops < tile_count ? work / tile_flops : tile_count;
    const auto tiles = [&] { return double(c.batch * c.groups) * double(n_tiles) * double(m_tiles); };
    // Laying out patches pays with many rows; weights are read once for each part of the positions.
    while (tiles() < wanted && column_panels / n_tiles > 6) ++n_tiles;
    while (tiles() < wanted && panels.count / m_tiles > 96 / block_rows) ++m_tiles;
    while (tiles() < wanted && column_panels / n_tiles > 3) ++n_tiles;
    const int64_t blocks = larger(1, ceil_divide(k, k_block_limit));
    k_block = ceil_divide(k, blocks);
    // An odd number of cache lines, so that a column of patches spreads over all sets of L1.
    const int64_t most = ceil_divide(column_panels, n_tiles) * panel_columns<float>;
    b_row = (round_up(most, 16) / 16 | 1) * 16;
  }

  bool pointwise() const {
    for (int i = 0; i < 3; ++i)
      if (w.kernel[i] != 1 || w.stride[i] != 1 || w.pad[i] != 0 || w.in[i] != w.out[i]) return false;
    return true;
  }
  size_t scratch_bytes() const { return size_t(b_row * larger(k_block, 1)) * sizeof(float) + 64; }
};

// y[i] = x[start + i * stride] for i < n, all inside.
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

inline void zero(float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = 0;
}

inline int64_t clamp_to(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

inline int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// One step of k: its value at every position [n.begin, n.end). `x` is the channel.
void lay_out_tap(const Window& w, const int64_t (&tap)[3], const float* x, Part n, float* to) {
  int64_t offset[3];
  for (int i = 0; i < 3; ++i) offset[i] = tap[i] * w.dilation[i] - w.pad[i];
  // Output columns whose input column lies inside.
  const int64_t low = -floor_divide(offset[2], w.stride[2]), high = -floor_divide(offset[2] - w.in[2], w.stride[2]);
  int64_t column = n.begin % w.out[2], row = n.begin / w.out[2];
  int64_t height = row % w.out[1], depth = row / w.out[1];
  for (int64_t at = n.begin; at < n.end; column = 0) {
    const int64_t count = smaller(w.out[2] - column, n.end - at);
    const int64_t d = depth * w.stride[0] + offset[0], h = height * w.stride[1] + offset[1];
    if (d < 0 || d >= w.in[0] || h < 0 || h >= w.in[1]) {
      zero(to, count);
    } else {
      const int64_t begin = clamp_to(low - column, 0, count), end = clamp_to(high - column, begin, count);
      const float* from = x + (d * w.in[1] + h) * w.in[2] + (column + begin) * w.stride[2] + offset[2];
      zero(to, begin);
      if (end > begin) copy_strided(from, w.stride[2], to + begin, end - begin);
      zero(to + end, count - end);
    }
    to += count, at += count;
    if (++height == w.out[1]) height = 0, ++depth;
  }
}

// Steps [step, step + count) of k at positions n: rows of the B operand.
void lay_out(const Plan& s, const float* x, Part n, int64_t step, int64_t count, float* b) {
  const Window& w = s.w;
  const int64_t taps = volume(w.kernel), plane = volume(w.in);
  int64_t channel = step / taps, rest = step % taps;
  int64_t tap[3] = {rest / (w.kernel[1] * w.kernel[2]), rest / w.kernel[2] % w.kernel[1], rest % w.kernel[2]};
  for (int64_t i = 0; i < count; ++i, b += s.b_row) {
    lay_out_tap(w, tap, x + channel * plane, n, b);
    if (++tap[2] < w.kernel[2]) continue;
    tap[2] = 0;
    if (++tap[1] < w.kernel[1]) continue;
    tap[1] = 0;
    if (++tap[0] < w.kernel[0]) continue;
    tap[0] = 0, ++channel;
  }
}

void run_tile(const Conv& c, const Plan& s, int64_t tile, float* b, bool& laid_out) {
  const int64_t m = tile % s.m_tiles, n = tile / s.m_tiles % s.n_tiles, image = tile / s.m_tiles / s.n_tiles;
  const int64_t group = image % c.groups, batch = image / c.groups;
  const Part row_panels = part_of(s.panels.count, s.m_tiles, m);
  const Part columns = part_of(s.column_panels, s.n_tiles, n);
  const Part at{columns.begin * panel_columns<float>, smaller(columns.end * panel_columns<float>, s.positions)};
  const int64_t row = group * s.rows + s.panels.panel(row_panels.begin).begin;
  const int64_t first = (batch * c.out_channels + row) * s.positions + at.begin;
  const float* x = c.x + (batch * c.in_channels + group * (c.in_channels / c.groups)) * volume(s.w.in);
  const float* weights = static_cast<const float*>(c.packed_weights) + group * s.rows * s.k;
  for (int64_t step = 0;;) {
    const int64_t count = smaller(s.k_block, s.k - step);
    const bool last = step + count >= s.k;
    if (!laid_out) lay_out(s, x, at, step, count, b);
    MicroBlock<float> p;
    p.b = b;
    p.b_step = s.b_row;
    p.c = c.y + first;
    p.c_row = p.residual_row = s.positions;
    p.k = count;
    set_epilogue(p, c.epilogue, row, first, step == 0, last);
    multiply_panels(p, s.panels, row_panels.begin, row_panels.end, weights, s.k, step, at.count());
    step += count;
    if (last) break;
  }
  // The next tile of channels finds its patches where they are, if one block held all of k.
  laid_out = s.k_block >= s.k && m + 1 < s.m_tiles;
}

void run(const Conv& c, int64_t begin, int64_t end, void* scratch) {
  if (OUTPOST_ISA::depthwise_applies(c)) return OUTPOST_ISA::depthwise(c, begin, end, scratch);
  const Plan s(c);
  bool laid_out = false;
  for (int64_t i = begin; i < end; ++i) run_tile(c, s, i, static_cast<float*>(scratch), laid_out);
}

int64_t tiles(const Conv& c) {
  if (OUTPOST_ISA::depthwise_applies(c)) return OUTPOST_ISA::depthwise_tiles(c);
  const Plan s(c);
  return s.positions == 0 || s.rows == 0 ? 0 : c.batch * c.groups * s.n_tiles * s.m_tiles;
}

size_t scratch_bytes(const Conv& c) {
  if (OUTPOST_ISA::depthwise_applies(c)) return OUTPOST_ISA::depthwise_scratch_bytes(c);
  return Plan(c).scratch_bytes();
}

size_t pack_bytes(const Conv& c) {
  return size_t(c.out_channels * (c.in_channels / c.groups) * volume(c.window.kernel)) * sizeof(float);
}

void pack(const Conv& c, const float* weights, void* packed) {
  float* to = static_cast<float*>(packed);
  if (OUTPOST_ISA::depthwise_applies(c)) {
    __builtin_memcpy(to, weights, pack_bytes(c));
    return;
  }
  const Plan s(c);
  for (int64_t g = 0; g < c.groups; ++g)
    pack_row_panels(s.panels, weights + g * s.rows * s.k, s.k, s.k, to + g * s.rows * s.k,
                    [](int64_t k) { return k; });
}

}  // namespace

void OUTPOST_ISA::fill_conv(Kernels& table) {
  table.conv_pack_bytes = pack_bytes;
  table.conv_pack = pack;
  table.conv_tiles = tiles;
  table.conv_scratch_bytes = scratch_bytes;
  table.conv = run;
}

}  // namespace outpost::kernels
