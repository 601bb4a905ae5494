// Transposed convolution by phases: outputs p = q * stride + phase (along each axis) receive only the taps k with
// (p + pad - k * dilation) divisible by the stride, so each of the stride[0] * stride[1] * stride[2] phases is an
// ordinary convolution of unit stride with its own few taps. No multiplication by an inserted zero, no sums scattered
// over the output: every element is made once, in one order (Shi et al. 2016 use the same view for upsampling).
//
// Tiles are (batch, group, phase, part of the phase's positions, part of the channels).
#include "kernels/conv_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int64_t rows_limit = 256;  // of a tile, which is computed in scratch

inline int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b, b = rest;
  }
  return a;
}

// Taps k and k + tap_step reach the same phase; the taps first, first + tap_step, ... are a class, and every phase is
// reached by one class or none. Weights are packed by classes: that depends on neither extents nor pads.
inline int64_t tap_step(const Window& w, int axis) {
  return w.stride[axis] / common_divisor(w.stride[axis], w.dilation[axis]);
}
inline int64_t class_count(const Window& w, int axis) { return smaller(w.kernel[axis], tap_step(w, axis)); }
inline int64_t class_taps(const Window& w, int axis, int64_t first) {
  return first < w.kernel[axis] ? ceil_divide(w.kernel[axis] - first, tap_step(w, axis)) : 0;
}

struct TapClass {
  int64_t first[3];
  int64_t count(const Window& w) const {
    return class_taps(w, 0, first[0]) * class_taps(w, 1, first[1]) * class_taps(w, 2, first[2]);
  }
  // Taps of all classes before this one, width fastest.
  int64_t taps_before(const Window& w) const {
    int64_t before[3] = {};
    for (int i = 0; i < 3; ++i)
      for (int64_t f = 0; f < first[i]; ++f) before[i] += class_taps(w, i, f);
    return before[0] * w.kernel[1] * w.kernel[2] +
           class_taps(w, 0, first[0]) * (before[1] * w.kernel[2] + class_taps(w, 1, first[1]) * before[2]);
  }
  // The kernel's own index of the class's i-th tap.
  int64_t tap(const Window& w, int64_t i) const {
    const int64_t widths = class_taps(w, 2, first[2]), heights = class_taps(w, 1, first[1]);
    const int64_t d = first[0] + i / widths / heights * tap_step(w, 0);
    const int64_t h = first[1] + i / widths % heights * tap_step(w, 1);
    return (d * w.kernel[1] + h) * w.kernel[2] + first[2] + i % widths * tap_step(w, 2);
  }
};

// Phases of an axis that have outputs.
inline int64_t phase_count(const Window& w, int axis) { return smaller(w.stride[axis], w.out[axis]); }

struct Phase {
  int64_t offset[3];  // within a stride
  TapClass taps{};
  Geometry g;

  // The index-th phase, width fastest.
  Phase(const Window& w, int64_t index)
      : offset{index / phase_count(w, 2) / phase_count(w, 1), index / phase_count(w, 2) % phase_count(w, 1),
               index % phase_count(w, 2)} {
    for (int i = 0; i < 3; ++i) {
      const int64_t stride = w.stride[i], step = tap_step(w, i), classes = class_count(w, i);
      const auto distance = [&](int64_t tap) { return offset[i] + w.pad[i] - tap * w.dilation[i]; };
      int64_t& first = taps.first[i];
      while (first < classes && distance(first) % stride != 0) ++first;
      g.in[i] = w.in[i];
      g.out[i] = ceil_divide(w.out[i] - offset[i], stride);
      if (first == classes) first = w.kernel[i];  // none
      g.taps[i] = {class_taps(w, i, first), distance(first) / stride, -(step * w.dilation[i] / stride)};
    }
  }
};

struct Plan {
  int64_t rows, in_group, phases, taps;
  Cut cut;

  explicit Plan(const Conv& c)
      : rows(c.out_channels / c.groups), in_group(c.in_channels / c.groups),
        phases(phase_count(c.window, 0) * phase_count(c.window, 1) * phase_count(c.window, 2)),
        taps(volume(c.window.kernel)),
        cut(c.batch * c.groups * phases, rows, in_group * TapClass{}.count(c.window), positions(c.window), false) {
    cut.m_tiles = larger(cut.m_tiles, ceil_divide(rows, rows_limit));
  }

  // Of the largest phase.
  static int64_t positions(const Window& w) {
    int64_t n = 1;
    for (int i = 0; i < 3; ++i) n *= ceil_divide(w.out[i], w.stride[i]);
    return n;
  }
  size_t tile_floats() const { return size_t(ceil_divide(cut.panels.count, cut.m_tiles) * block_rows * cut.b_row); }
  size_t scratch_floats() const { return cut.scratch_floats() + tile_floats(); }
};

// Moves a tile between its own rows of `columns` and its places in y: every stride-th of every stride-th row.
template <class Move>
inline void for_places(const Window& w, const Phase& phase, Part at, Move move) {
  const Positions p(phase.g, at);
  int64_t column = p.column, height = p.height, depth = p.depth, done = 0;
  while (done < at.count()) {
    const int64_t count = smaller(phase.g.out[2] - column, at.count() - done);
    const int64_t d = depth * w.stride[0] + phase.offset[0], h = height * w.stride[1] + phase.offset[1];
    move((d * w.out[1] + h) * w.out[2] + column * w.stride[2] + phase.offset[2], done, count);
    done += count, column = 0;
    if (++height == phase.g.out[1]) height = 0, ++depth;
  }
}

void run_phase(const Conv& c, const Plan& s, const Phase& phase, const float* weights, int64_t batch, int64_t group,
               Part row_panels, Part at, float* scratch) {
  const Window& w = c.window;
  const int64_t k = s.in_group * phase.g.tap_count(), stride = w.stride[2];
  const int64_t first = s.cut.panels.panel(row_panels.begin).begin;
  const int64_t rows = s.cut.panels.panel(row_panels.end - 1).end - first, row = group * s.rows + first;
  float* tile = scratch + s.cut.scratch_floats();
  const int64_t tile_row = s.cut.b_row, out = volume(w.out), start = (batch * c.out_channels + row) * out;
  Epilogue e = c.epilogue;
  if (const float* residual = static_cast<const float*>(e.residual)) {
    for (int64_t r = 0; r < rows; ++r)
      for_places(w, phase, at, [&](int64_t from, int64_t to, int64_t count) {
        copy_strided(residual + start + r * out + from, stride, tile + r * tile_row + to, count);
      });
    e.residual = tile;
  }
  MicroBlock<float> p;
  p.c = tile;
  p.c_row = p.residual_row = tile_row;
  const float* x = c.x + (batch * c.in_channels + group * s.in_group) * volume(w.in);
  Cut cut = s.cut;
  cut.k_block = smaller(cut.k_block, larger(k, 1));
  run_product(cut, row_panels, phase.g, Weights{weights, k, false}, x, at, scratch, false, p, e, row, 0);
  for (int64_t r = 0; r < rows; ++r)
    for_places(w, phase, at, [&](int64_t to, int64_t from, int64_t count) {
      float* y = c.y + start + r * out + to;
      for (int64_t i = 0; i < count; ++i) y[i * stride] = tile[r * tile_row + from + i];
    });
}

void run(const Conv& c, int64_t begin, int64_t end, void* scratch) {
  const Plan s(c);
  const Cut& cut = s.cut;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t m = tile % cut.m_tiles, n = tile / cut.m_tiles % cut.n_tiles;
    const int64_t image = tile / cut.m_tiles / cut.n_tiles;
    const int64_t wanted = image % s.phases, group = image / s.phases % c.groups, batch = image / s.phases / c.groups;
    const Phase phase(c.window, wanted);
    const int64_t positions = phase.g.positions();
    const Part columns = part_of(ceil_divide(positions, panel_columns<float>), cut.n_tiles, n);
    const Part at{columns.begin * panel_columns<float>, smaller(columns.end * panel_columns<float>, positions)};
    if (at.count() <= 0) continue;
    const int64_t taps_before = group * s.taps + phase.taps.taps_before(c.window);
    const float* weights = static_cast<const float*>(c.packed_weights) + s.rows * s.in_group * taps_before;
    run_phase(c, s, phase, weights, batch, group, part_of(cut.panels.count, cut.m_tiles, m), at,
              static_cast<float*>(scratch));
  }
}

int64_t tiles(const Conv& c) {
  if (volume(c.window.out) == 0 || c.out_channels == 0) return 0;
  const Plan s(c);
  return c.batch * c.groups * s.phases * s.cut.n_tiles * s.cut.m_tiles;
}

size_t scratch_bytes(const Conv& c) { return Plan(c).scratch_floats() * sizeof(float); }

size_t pack_bytes(const Conv& c) {
  return size_t(c.in_channels * (c.out_channels / c.groups) * volume(c.window.kernel)) * sizeof(float);
}

// Weights (in_channels, out_channels / groups, kernel) to [group][class] panels of rows (out) and k (in, class's taps).
void pack(const Conv& c, const float* weights, void* packed) {
  const Window& w = c.window;
  const int64_t rows = c.out_channels / c.groups, in_group = c.in_channels / c.groups, taps = volume(w.kernel);
  float* to = static_cast<float*>(packed);
  for (int64_t group = 0; group < c.groups; ++group, weights += in_group * rows * taps)
    for (int64_t d = 0; d < class_count(w, 0); ++d)
      for (int64_t h = 0; h < class_count(w, 1); ++h)
        for (int64_t x = 0; x < class_count(w, 2); ++x) {
          const TapClass part{{d, h, x}};
          const int64_t count = part.count(w);
          pack_row_panels(RowPanels(rows), weights, taps, in_group * count, to,
                          [&](int64_t k) { return k / count * rows * taps + part.tap(w, k % count); });
          to += rows * in_group * count;
        }
}

}  // namespace

void OUTPOST_ISA::fill_conv_transpose(Kernels& table) {
  table.conv_transpose_pack_bytes = pack_bytes;
  table.conv_transpose_pack = pack;
  table.conv_transpose_tiles = tiles;
  table.conv_transpose_scratch_bytes = scratch_bytes;
  table.conv_transpose = run;
}

}  // namespace outpost::kernels
