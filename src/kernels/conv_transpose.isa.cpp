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

// The taps of one axis that reach outputs of a phase: kernel taps first_tap, first_tap + tap_step, ...
struct AxisPhase {
  int64_t outputs, first_tap = 0, tap_step = 1;
  Taps taps;

  AxisPhase(const Window& w, int axis, int64_t phase) {
    const int64_t stride = w.stride[axis], dilation = w.dilation[axis];
    outputs = phase < w.out[axis] ? ceil_divide(w.out[axis] - phase, stride) : 0;
    const auto reaches = [&](int64_t tap) { return (phase + w.pad[axis] - tap * dilation) % stride == 0; };
    while (first_tap < w.kernel[axis] && first_tap < stride && !reaches(first_tap)) ++first_tap;
    taps.count = 0;
    if (first_tap >= w.kernel[axis] || !reaches(first_tap)) return;
    tap_step = stride / common_divisor(stride, dilation);
    taps.count = ceil_divide(w.kernel[axis] - first_tap, tap_step);
    taps.first = (phase + w.pad[axis] - first_tap * dilation) / stride;
    taps.step = -(tap_step * dilation / stride);
  }
};

// Phases of an axis that have outputs.
inline int64_t phase_count(const Window& w, int axis) { return smaller(w.stride[axis], w.out[axis]); }

struct Phase {
  AxisPhase axis[3];
  int64_t offset[3];  // of the phase within a stride
  Geometry g;

  // The index-th phase, width fastest.
  Phase(const Window& w, int64_t index)
      : Phase(w, index / phase_count(w, 2) / phase_count(w, 1), index / phase_count(w, 2) % phase_count(w, 1),
              index % phase_count(w, 2)) {}
  Phase(const Window& w, int64_t d, int64_t h, int64_t x)
      : axis{{w, 0, d}, {w, 1, h}, {w, 2, x}}, offset{d, h, x} {
    for (int i = 0; i < 3; ++i) {
      g.in[i] = w.in[i], g.out[i] = axis[i].outputs;
      g.taps[i] = axis[i].taps;
    }
  }
  // Taps of all phases before this one, in that order: where its packed weights begin.
  int64_t taps_before(const Window& w) const {
    int64_t before[3] = {}, all[3] = {};
    for (int i = 0; i < 3; ++i)
      for (int64_t phase = 0; phase < phase_count(w, i); ++phase) {
        const int64_t count = AxisPhase(w, i, phase).taps.count;
        all[i] += count;
        if (phase < offset[i]) before[i] += count;
      }
    return before[0] * all[1] * all[2] +
           g.taps[0].count * (before[1] * all[2] + g.taps[1].count * before[2]);
  }
  // The kernel's own index of the phase's i-th tap.
  int64_t tap(const Window& w, int64_t i) const {
    const int64_t c = i % g.taps[2].count, b = i / g.taps[2].count % g.taps[1].count;
    const int64_t a = i / g.taps[2].count / g.taps[1].count;
    const int64_t d = axis[0].first_tap + a * axis[0].tap_step, h = axis[1].first_tap + b * axis[1].tap_step;
    return (d * w.kernel[1] + h) * w.kernel[2] + axis[2].first_tap + c * axis[2].tap_step;
  }
};

struct Plan {
  int64_t rows, in_group, phases, taps;
  Cut cut;

  explicit Plan(const Conv& c)
      : rows(c.out_channels / c.groups), in_group(c.in_channels / c.groups),
        phases(phase_count(c.window, 0) * phase_count(c.window, 1) * phase_count(c.window, 2)),
        taps(volume(c.window.kernel)),
        cut(c.batch * c.groups * phases, rows, in_group * most_taps(c.window), positions(c.window), taps > 1) {
    cut.m_tiles = larger(cut.m_tiles, ceil_divide(rows, rows_limit));
  }

  // Of the largest phase.
  static int64_t positions(const Window& w) {
    int64_t n = 1;
    for (int i = 0; i < 3; ++i) n *= ceil_divide(w.out[i], w.stride[i]);
    return n;
  }
  static int64_t most_taps(const Window& w) {
    int64_t product = 1;
    for (int i = 0; i < 3; ++i) {
      int64_t most = 0;
      for (int64_t p = 0; p < phase_count(w, i); ++p) most = larger(most, AxisPhase(w, i, p).taps.count);
      product *= most;
    }
    return product;
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
  run_product(cut, row_panels, phase.g, weights, k, x, at, scratch, false, p, e, row, 0);
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
    const int64_t taps_before = group * s.taps + phase.taps_before(c.window);
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

// Weights (in_channels, out_channels / groups, kernel) to [group][phase] panels of rows (out) and k (in, phase's taps).
void pack(const Conv& c, const float* weights, void* packed) {
  const Plan s(c);
  for (int64_t group = 0; group < c.groups; ++group)
    for (int64_t index = 0; index < s.phases; ++index) {
      const Phase phase(c.window, index);
      const int64_t count = phase.g.tap_count(), before = group * s.taps + phase.taps_before(c.window);
      float* to = static_cast<float*>(packed) + s.rows * s.in_group * before;
      const float* from = weights + group * s.in_group * s.rows * s.taps;
      pack_row_panels(s.cut.panels, from, s.taps, s.in_group * count, to, [&](int64_t k) {
        return k / count * s.rows * s.taps + phase.tap(c.window, k % count);
      });
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
