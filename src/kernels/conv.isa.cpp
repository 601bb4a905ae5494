// Convolution as a product: weights (channels, k) times the input's patches (k, positions), k running over
// (channel, depth, height, width) of a group. Patches are laid out a block of k and a tile of positions at a time, a
// few hundred kilobytes that stay in L2; there is never a whole im2col buffer. Depthwise convolutions go their own way.
//
// Tiles are (batch, group, part of the positions, part of the channels), cut by shape alone and dealt evenly.
#include "kernels/conv_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

// A pointwise convolution's axes merge into one.
Geometry geometry_of(const Window& w) {
  Geometry g;
  bool pointwise = true;
  for (int i = 0; i < 3; ++i)
    pointwise &= w.kernel[i] == 1 && w.stride[i] == 1 && w.pad[i] == 0 && w.in[i] == w.out[i];
  if (pointwise) {
    g.in[2] = g.out[2] = volume(w.out);
    return g;
  }
  for (int i = 0; i < 3; ++i) {
    g.in[i] = w.in[i], g.out[i] = w.out[i], g.stride[i] = w.stride[i];
    g.taps[i] = {w.kernel[i], -w.pad[i], w.dilation[i]};
  }
  return g;
}

// A group of one input channel: its weights stay as they are, whichever path a shape takes.
bool one_channel(const Conv& c) { return c.in_channels == c.groups; }

struct Plan {
  Geometry g;
  int64_t rows, k, positions;
  Cut cut;

  explicit Plan(const Conv& c)
      : g(geometry_of(c.window)), rows(c.out_channels / c.groups),
        k(c.in_channels / c.groups * volume(c.window.kernel)), positions(volume(c.window.out)),
        cut(c.batch * c.groups, rows, k, positions, g.positions() == g.plane() && g.tap_count() == 1) {}
};

void run_tile(const Conv& c, const Plan& s, int64_t tile, float* scratch, bool& laid_out) {
  const Cut& cut = s.cut;
  const int64_t m = tile % cut.m_tiles, n = tile / cut.m_tiles % cut.n_tiles, image = tile / cut.m_tiles / cut.n_tiles;
  const int64_t group = image % c.groups, batch = image / c.groups;
  const Part row_panels = part_of(cut.panels.count, cut.m_tiles, m);
  const Part columns = part_of(cut.column_panels, cut.n_tiles, n);
  const Part at{columns.begin * panel_columns<float>, smaller(columns.end * panel_columns<float>, s.positions)};
  const int64_t row = group * s.rows + cut.panels.panel(row_panels.begin).begin;
  const int64_t start = (batch * c.out_channels + row) * s.positions + at.begin;
  const float* x = c.x + (batch * c.in_channels + group * (c.in_channels / c.groups)) * s.g.plane();
  const Weights weights{static_cast<const float*>(c.packed_weights) + group * s.rows * s.k, s.k, one_channel(c)};
  MicroBlock<float> p;
  p.c = c.y + start;
  p.c_row = p.residual_row = s.positions;
  run_product(cut, row_panels, s.g, weights, x, at, scratch, laid_out, p, c.epilogue, row, start);
  // The next tile of channels finds its patches where they are, if one block held all of k.
  laid_out = cut.k_block >= s.k && m + 1 < cut.m_tiles;
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
  return s.positions == 0 || s.rows == 0 ? 0 : c.batch * c.groups * s.cut.n_tiles * s.cut.m_tiles;
}

size_t scratch_bytes(const Conv& c) {
  if (OUTPOST_ISA::depthwise_applies(c)) return OUTPOST_ISA::depthwise_scratch_bytes(c);
  return Plan(c).cut.scratch_floats() * sizeof(float);
}

size_t pack_bytes(const Conv& c) {
  return size_t(c.out_channels * (c.in_channels / c.groups) * volume(c.window.kernel)) * sizeof(float);
}

void pack(const Conv& c, const float* weights, void* packed) {
  float* to = static_cast<float*>(packed);
  if (one_channel(c)) {
    __builtin_memcpy(to, weights, pack_bytes(c));
    return;
  }
  const Plan s(c);
  for (int64_t g = 0; g < c.groups; ++g)
    pack_row_panels(s.cut.panels, weights + g * s.rows * s.k, s.k, s.k, to + g * s.rows * s.k,
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
