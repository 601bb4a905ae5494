// Direct convolution on channel blocks.
//
// A tile of work is (image, group, region of positions, part of the output blocks), cut by shape alone. Where windows
// reach outside, the region's input is first copied into scratch with its zero padding (once for hundreds of
// multiply-adds an element), so that the inner product never asks for a border. Input channels are cut into chunks
// whose weights stay near while all positions of the region pass; sums wait in y in between. A planar x (a first layer
// of few channels) is the same product with (channel, kernel row) as taps and a kernel row's columns as steps.
#include "kernels/conv_blocked.h"

#include "kernels/activate.h"
#include "kernels/conv_blocked_micro.h"
#include "kernels/conv_blocked_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

using OUTPOST_ISA::BlockedTile;

size_t pack_bytes(const BlockedConv& c) {
  const Sizes s(c);
  if (is_depthwise(c)) return size_t(channel_blocks(c.out_channels, block) * s.taps * block) * sizeof(float);
  return size_t(c.groups * s.out_blocks * s.block_floats()) * sizeof(float);
}

void pack_depthwise(const BlockedConv& c, const float* w, float* to) {
  const int64_t taps = Sizes(c).taps;
  for (int64_t first = 0; first < c.out_channels; first += block)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t o = first; o < first + block; ++o) *to++ = o < c.out_channels ? w[o * taps + t] : 0.0f;
}

void pack(const BlockedConv& c, const float* w, void* packed) {
  if (is_depthwise(c)) return pack_depthwise(c, w, static_cast<float*>(packed));
  const Sizes s(c);
  float* to = static_cast<float*>(packed);
  const int64_t width = c.x_planar ? 1 : block_units, in_steps = c.x_planar ? s.in_channels : s.in_blocks;
  for (int64_t ob = 0; ob < c.groups * s.out_blocks; ++ob) {
    const int64_t group = ob / s.out_blocks, first = group * s.out_channels + ob % s.out_blocks * block;
    const int64_t end = (group + 1) * s.out_channels;
    for (int64_t at = 0; at < in_steps; ++at)
      for (int64_t t = 0; t < s.taps; ++t)
        for (int64_t i = at * width; i < smaller(s.in_units, (at + 1) * width); ++i)
          for (int64_t o = first; o < first + block; ++o)
            *to++ = o < end ? weight_unit(w + o * s.in_channels * s.taps + t, s.taps, i, s.in_channels) : 0.0f;
  }
}

// Output positions as rows and columns: a pointwise convolution's are one long row.
struct Field {
  int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
  explicit Field(const Window& w) {
    for (int i = 0; i < 2; ++i) {
      in[i] = w.in[i + 1], out[i] = w.out[i + 1], kernel[i] = w.kernel[i + 1], stride[i] = w.stride[i + 1];
      dilation[i] = w.dilation[i + 1], pad[i] = w.pad[i + 1];
    }
    if (plane_of(w.kernel) == 1 && stride[0] == 1 && stride[1] == 1 && pad[0] == 0 && pad[1] == 0 && in[0] == out[0] &&
        in[1] == out[1]) {
      in[1] = out[1] = in[0] * in[1];
      in[0] = out[0] = 1;
    }
  }
  int64_t reach(int axis) const { return (kernel[axis] - 1) * dilation[axis] + 1; }
  // Input extent that `count` > 0 outputs see.
  int64_t seen(int axis, int64_t count) const { return (count - 1) * stride[axis] + reach(axis); }
  bool inside(int axis) const {
    return pad[axis] <= 0 && out[axis] > 0 && seen(axis, out[axis]) - pad[axis] <= in[axis];
  }
};

struct Cut {
  Field f;
  Sizes s;
  bool copies;                 // windows reach outside
  bool plain;                  // windows too large to copy: one output at a time
  int64_t row_parts, column_parts, out_parts, chunk;  // chunk: blocks of input channels
  int64_t in_rows, in_columns;                        // of a region at most
  int64_t tap_count, steps;

  int64_t units(const BlockedConv& c) const { return c.x_planar ? s.in_channels : s.in_blocks * block_units; }

  explicit Cut(const BlockedConv& c) : f(c.window), s(c) {
    constexpr int64_t region_bytes = 256 << 10, chunk_bytes = 64 << 10;
    constexpr double tile_flops = 2e6, tile_count = 32;
    copies = bf16_pairs || !f.inside(0) || !f.inside(1);
    const bool runs = c.x_planar && f.dilation[1] == 1;
    tap_count = c.x_planar ? s.in_channels * f.kernel[0] * (runs ? 1 : f.kernel[1]) : s.taps;
    steps = c.x_planar ? (runs ? f.kernel[1] : 1) : block_units;
    const int64_t step_bytes = s.taps * block_units * block * 2 * int64_t(sizeof(float));
    chunk = c.x_planar ? 1 : larger(1, smaller(s.in_blocks, chunk_bytes / larger(1, step_bytes)));
    plain = s.in_channels == 0;
    for (int i = 0; i < 2; ++i)
      plain |= f.kernel[i] > 64 || f.dilation[i] > 64 || f.stride[i] > 64 || f.pad[i] > 4096 || f.pad[i] < -4096;
    row_parts = column_parts = out_parts = 1;
    if (plain || f.out[0] == 0 || f.out[1] == 0) return;
    const auto bytes = [&](int64_t rows, int64_t columns) {
      return f.seen(0, rows) * f.seen(1, columns) * units(c) * int64_t(sizeof(float));
    };
    const auto rows = [&] { return ceil_divide(f.out[0], row_parts); };
    const auto columns = [&] { return ceil_divide(f.out[1], column_parts); };
    while (bytes(rows(), columns()) > region_bytes && rows() > 1) row_parts += 1 + row_parts / 4;
    while (bytes(rows(), columns()) > region_bytes && columns() > 2 * tile_positions)
      column_parts += 1 + column_parts / 4;
    if (!bf16_pairs && copies && bytes(rows(), columns()) > 64 * region_bytes) {
      plain = true;
      return;
    }
    const double work = 2.0 * double(c.batch * c.out_channels * s.in_channels * s.taps) * double(f.out[0] * f.out[1]);
    const double wanted = smaller_of(work / tile_flops, tile_count);
    const auto tiles = [&] { return double(c.batch * c.groups * row_parts * column_parts * out_parts); };
    // Regions keep weights in use for longer; parts of the outputs copy the input anew.
    while (tiles() < wanted && rows() > 8) ++row_parts;
    while (tiles() < wanted && columns() > 8 * tile_positions) ++column_parts;
    while (tiles() < wanted && pairs() / out_parts >= 2) ++out_parts;
    in_rows = f.seen(0, rows()), in_columns = f.seen(1, columns());
  }
  static double smaller_of(double a, double b) { return a < b ? a : b; }
  int64_t pairs() const { return ceil_divide(s.out_blocks, 2); }  // of blocks of outputs, the product's width
  int64_t regions() const { return row_parts * column_parts; }
  int64_t tap_floats() const { return round_up(tap_count, 8) * 2; }
};

// Rows [row, row + rows) and columns likewise of `planes` planes of `width` units a position, zero outside the input.
void copy_padded(const Field& f, const float* x, int64_t planes, int64_t width, int64_t row, int64_t rows,
                 int64_t column, int64_t columns, float* to) {
  const auto zero = [&](int64_t n) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) store(to + i, F32{});
    for (; i < n; ++i) to[i] = 0;
    to += n;
  };
  const int64_t before = smaller(larger(-column, 0), columns);
  const int64_t inside = larger(0, smaller(columns, f.in[1] - column) - before);
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t r = row; r < row + rows; ++r) {
      if (r < 0 || r >= f.in[0] || inside == 0) {
        zero(columns * width);
        continue;
      }
      zero(before * width);
      const int64_t n = inside * width;
      copy_units(x + ((p * f.in[0] + r) * f.in[1] + column + before) * width * unit_channels, n, to);
      to += n;
      zero((columns - before - inside) * width);
    }
}

// Where a region's input lies, in floats.
struct Source {
  const float* x;
  int64_t row, position, plane;  // pitch of a row; of a position; of a block of channels (planar: of a channel)
};

void set_taps(const BlockedConv& c, const Cut& cut, const Source& from, int64_t* taps) {
  const Field& f = cut.f;
  const int64_t channels = c.x_planar ? cut.s.in_channels : 1;
  const int64_t columns = cut.steps == f.kernel[1] && c.x_planar ? 1 : f.kernel[1];
  for (int64_t i = 0; i < channels; ++i)
    for (int64_t h = 0; h < f.kernel[0]; ++h)
      for (int64_t v = 0; v < columns; ++v)
        *taps++ = i * from.plane + h * f.dilation[0] * from.row + v * f.dilation[1] * from.position;
}

// The residual of one tile, wanted when the tile before it is done.
inline void prefetch_residual(const BlockedTile& t, int rows, int64_t columns, int blocks) {
  for (int b = 0; b < blocks; ++b)
    for (int r = 0; r < rows; ++r)
      for (int64_t i = 0; i < columns * lanes; i += 16)
        __builtin_prefetch(t.y + t.residual + b * t.y_block + r * t.y_row + i);
}

// All positions of a region for one or two blocks of outputs and one chunk of inputs.
void run_positions(BlockedTile t, Part rows, Part columns, int64_t y_row, int64_t x_row, int64_t x_position,
                   int blocks) {
  const int64_t width = columns.count();
  const bool pairs = width <= tile_positions / 2;
  const int64_t parts = ceil_divide(width, tile_positions);
  const float* const x = t.x;
  float* const y = t.y;
  t.x_row = x_row, t.x_position = x_position, t.y_row = y_row;
  for (int64_t r = 0; r < rows.count();) {
    const int taken = pairs && r + 1 < rows.count() ? 2 : 1;
    for (int64_t i = 0; i < parts; ++i) {
      const Part part = part_of(width, parts, i);
      t.x = x + r * x_row + part.begin * x_position;
      t.y = y + r * y_row + part.end * lanes;
      if (t.first && t.has_residual) prefetch_residual(t, taken, part.count(), blocks);
      t.y = y + r * y_row + part.begin * lanes;
      OUTPOST_ISA::blocked_micro(taken, int(part.count()), blocks)(t);
      t.w_ahead = 0;
    }
    r += taken;
  }
}

struct Region {
  int64_t image, group;
  Part rows, columns;
};

void run_region(const BlockedConv& c, const Cut& cut, const Region& at, Part pairs, const Source& from,
                const int64_t* taps) {
  const Field& f = cut.f;
  const Sizes& s = cut.s;
  const Epilogue& e = c.epilogue;
  const int64_t plane = f.out[0] * f.out[1] * block, all_blocks = c.groups * s.out_blocks;
  BlockedTile t;
  t.taps = taps, t.tap_count = cut.tap_count, t.steps = cut.steps;
  // Steps of the last block.
  const int64_t tail = c.x_planar ? cut.steps : s.in_units - (s.in_blocks - 1) * block_units;
  t.w_block = s.block_floats(), t.y_block = plane, t.x_block = from.plane;
  t.has_residual = e.residual != nullptr;
  t.residual_scale = float(e.residual_scale), t.activation = e.activation;
  t.low = e.activation == Activation::relu ? 0.0f : e.low;
  t.high = e.activation == Activation::relu ? infinity : e.high;
  const int64_t stride = c.x_planar ? f.stride[1] : f.stride[1] * block_units;
  for (int64_t ob = 2 * pairs.begin; ob < smaller(2 * pairs.end, s.out_blocks); ob += 2) {
    const int blocks = s.out_blocks - ob >= 2 ? 2 : 1;
    const int64_t o = at.group * s.out_blocks + ob, last_channel = s.out_channels - (ob + blocks - 1) * block;
    t.y = c.y + (at.image * all_blocks + o) * plane + (at.rows.begin * f.out[1] + at.columns.begin) * block;
    if (e.residual) t.residual = static_cast<const float*>(e.residual) - c.y;
    t.bias = e.row_bias ? static_cast<const float*>(e.row_bias) + o * block : nullptr;
    t.real_lanes = int(smaller(block, last_channel));
    const int64_t in_blocks = c.x_planar ? 1 : s.in_blocks;
    for (int64_t ib = 0; ib < in_blocks; ib += t.blocks) {
      t.blocks = smaller(cut.chunk, in_blocks - ib);
      t.first = ib == 0, t.last = ib + t.blocks == in_blocks;
      t.last_steps = t.last ? tail : cut.steps;
      t.x = from.x + ib * from.plane;
      const int64_t done = ib * s.taps * block_units * block, size = t.blocks * s.taps * block_units * block;
      t.w = static_cast<const float*>(c.packed_weights) + o * t.w_block + done;
      // The next chunk's weights come while the first positions use this one's.
      t.w_ahead = c.x_planar ? 0 : t.last ? 2 * t.w_block - done : size;
      run_positions(t, at.rows, at.columns, f.out[1] * block, f.stride[0] * from.row, stride, blocks);
    }
  }
}

// One output register at a time, every tap tested: windows of any size.
F32 plain_output(const BlockedConv& c, const Sizes& s, int64_t image, int64_t ob, int64_t oh, int64_t ow) {
  const Window& w = c.window;
  const int64_t plane = plane_of(w.in), width = c.x_planar ? 1 : block;
  const int64_t in_blocks = c.x_planar ? s.in_channels : s.in_blocks, group = ob / s.out_blocks;
  const float* weights = static_cast<const float*>(c.packed_weights) + ob * s.block_floats();
  F32 sum{};
  for (int64_t ib = 0; ib < in_blocks; ++ib) {
    const int64_t steps = smaller(width, s.in_channels - ib * width);
    for (int64_t kh = 0; kh < w.kernel[1]; ++kh)
      for (int64_t kw = 0; kw < w.kernel[2]; ++kw, weights += steps * block) {
        const int64_t h = oh * w.stride[1] + kh * w.dilation[1] - w.pad[1];
        const int64_t v = ow * w.stride[2] + kw * w.dilation[2] - w.pad[2];
        if (h < 0 || h >= w.in[1] || v < 0 || v >= w.in[2]) continue;
        const float* x = c.x + (((image * c.groups + group) * in_blocks + ib) * plane + h * w.in[2] + v) * width;
        for (int64_t i = 0; i < steps; ++i) sum += load(weights + i * block) * x[i];
      }
  }
  return sum;
}

void run_plain(const BlockedConv& c, const Cut& cut, int64_t tile) {
  const int64_t blocks = c.groups * cut.s.out_blocks, out = plane_of(c.window.out);
  const Epilogue& e = c.epilogue;
  const auto *bias = static_cast<const float*>(e.row_bias), *residual = static_cast<const float*>(e.residual);
  const int64_t ob = tile % blocks, image = tile / blocks;
  const I32 real = lane_index() < int32_t(smaller(block, cut.s.out_channels - ob % cut.s.out_blocks * block));
  for (int64_t p = 0; p < out; ++p) {
    const int64_t at = (tile * out + p) * block;
    F32 sum = plain_output(c, cut.s, image, ob, p / c.window.out[2], p % c.window.out[2]);
    if (bias) sum += load(bias + ob * block);
    if (residual) sum += load(residual + at) * float(e.residual_scale);
    store(c.y + at, select(real, activate(sum, e.activation, broadcast(e.low), broadcast(e.high)), F32{}));
  }
}

int64_t tiles(const BlockedConv& c) {
  if (c.batch == 0 || c.out_channels == 0 || plane_of(c.window.out) == 0) return 0;
  if (is_depthwise(c)) return OUTPOST_ISA::blocked_depthwise_tiles(c);
  const Cut cut(c);
  return cut.plain ? c.batch * c.groups * cut.s.out_blocks : c.batch * c.groups * cut.regions() * cut.out_parts;
}

// Scratch: offsets of the taps, then a region's padded input.
size_t scratch_bytes(const BlockedConv& c) {
  if (tiles(c) == 0 || is_depthwise(c)) return 0;
  const Cut cut(c);
  if (cut.plain) return 0;
  const int64_t copied = cut.copies ? cut.in_rows * cut.in_columns * cut.units(c) : 0;
  return size_t(cut.tap_floats() + copied + lanes) * sizeof(float);
}

void run(const BlockedConv& c, int64_t begin, int64_t end, void* scratch) {
  if (is_depthwise(c)) return OUTPOST_ISA::blocked_depthwise(c, begin, end);
  const Cut cut(c);
  const Field& f = cut.f;
  const Sizes& s = cut.s;
  auto* taps = static_cast<int64_t*>(scratch);
  float* copy = static_cast<float*>(scratch) + cut.tap_floats();
  const int64_t planes = c.x_planar ? s.in_channels : s.in_blocks, width = c.x_planar ? 1 : block;
  const int64_t copy_width = width / unit_channels;
  int64_t copied = -1;
  for (int64_t tile = begin; tile < end; ++tile) {
    if (cut.plain) {
      run_plain(c, cut, tile);
      continue;
    }
    const int64_t part = tile % cut.out_parts, region = tile / cut.out_parts, place = region % cut.regions();
    const int64_t image = region / cut.regions() / c.groups, group = region / cut.regions() % c.groups;
    const Region at{image, group, part_of(f.out[0], cut.row_parts, place / cut.column_parts),
                    part_of(f.out[1], cut.column_parts, place % cut.column_parts)};
    const int64_t row = at.rows.begin * f.stride[0] - f.pad[0], column = at.columns.begin * f.stride[1] - f.pad[1];
    const float* x = c.x + (image * c.groups + group) * planes * f.in[0] * f.in[1] * width;
    Source from{x, f.in[1] * width, width, f.in[0] * f.in[1] * width};
    if (!cut.copies) {
      from.x += (row * f.in[1] + column) * width;
    } else {
      const int64_t rows = f.seen(0, at.rows.count()), columns = f.seen(1, at.columns.count());
      if (copied != region) copy_padded(f, x, planes, copy_width, row, rows, column, columns, copy);
      copied = region;
      from = {copy, columns * copy_width, copy_width, rows * columns * copy_width};
    }
    set_taps(c, cut, from, taps);
    run_region(c, cut, at, part_of(cut.pairs(), cut.out_parts, part), from, taps);
  }
}

}  // namespace

#if !defined(OUTPOST_BF16_PAIRS)
void OUTPOST_ISA::fill_conv_blocked(Kernels& table) {
  table.conv_blocked_pack_bytes = pack_bytes;
  table.conv_blocked_pack = pack;
  table.conv_blocked_tiles = tiles;
  table.conv_blocked_scratch_bytes = scratch_bytes;
  table.conv_blocked = run;
}
#endif

}  // namespace outpost::kernels
