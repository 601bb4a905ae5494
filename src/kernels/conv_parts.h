// What the convolution files of one instruction set share: the direct depthwise path, packed weights, how the work is
// cut into tiles, and the product of one tile.
#pragma once

#include "kernels/conv.h"
#include "kernels/conv_patches.h"

namespace outpost::kernels {

namespace OUTPOST_ISA {

// Depthwise: one input channel a group, kernels small enough that a band of input rows fits its scratch.
bool depthwise_applies(const Conv& c);
int64_t depthwise_tiles(const Conv& c);
size_t depthwise_scratch_bytes(const Conv& c);
void depthwise(const Conv& c, int64_t tile_begin, int64_t tile_end, void* scratch);

}  // namespace OUTPOST_ISA

namespace {

inline int64_t volume(const int64_t (&extent)[3]) { return extent[0] * extent[1] * extent[2]; }

// Weights as the A of a product: rows dealt evenly to panels of at most block_rows, [panel][k][row].
struct RowPanels {
  int64_t rows, count;
  explicit RowPanels(int64_t rows_) : rows(rows_), count(ceil_divide(rows_, block_rows)) {}
  Part panel(int64_t i) const { return part_of(rows, count, i); }
};

// a(row, k) at a[row * row_stride + at(k)]; in stretches of k that L1 holds, each row read along its length.
template <class At>
inline void pack_row_panels(const RowPanels& panels, const float* a, int64_t row_stride, int64_t k, float* packed,
                            At at) {
  constexpr int64_t stretch = 256;
  for (int64_t i = 0; i < panels.count; ++i) {
    const Part p = panels.panel(i);
    for (int64_t start = 0; start < k; start += stretch) {
      const int64_t end = smaller(k, start + stretch);
      for (int64_t r = 0; r < p.count(); ++r)
        for (int64_t step = start; step < end; ++step)
          packed[step * p.count() + r] = a[(p.begin + r) * row_stride + at(step)];
    }
    packed += k * p.count();
  }
}

inline int wide_registers(int64_t rows, int64_t columns) {
  constexpr int width = panel_columns<float>;
  if (rows == 1 && columns >= 4 * width) return 8;
  if (rows <= wide_rows && columns >= 2 * width) return 4;
  return columns <= lanes ? 1 : 2;
}

// The weights of a product of depth k: panels, or rows as they came where a group has one input channel, since those
// may also meet the direct path.
struct Weights {
  const float* a;
  int64_t k;
  bool plain;
};

// C(panels [first, last), columns) over `p.k` steps from `step` on, with B in rows `p.b_step` apart. `p` holds C, the
// biases and the residual at the tile's first row and column.
inline void multiply_panels(MicroBlock<float> p, const RowPanels& panels, int64_t first, int64_t last,
                            const Weights& w, int64_t step, int64_t columns) {
  constexpr int width = panel_columns<float>;
  constexpr int64_t rows_in_cache = 144;
  const int64_t row0 = panels.panel(first).begin;
  const float *b = p.b, *row_bias = p.row_bias, *residual = p.residual;
  float* c = p.c;
  p.b_panel = width;
  for (int64_t group = first; group < last;) {  // panels whose weights stay in L2 while all columns pass
    int64_t group_end = group + 1;
    while (group_end < last && panels.panel(group_end).end - panels.panel(group).begin <= rows_in_cache) ++group_end;
    for (int64_t j = 0; j < columns;) {
      const int vectors = wide_registers(panels.rows, columns - j);
      const int64_t taken = vectors <= 2 ? width : vectors / 2 * width;
      p.columns = int(smaller(taken, columns - j));
      p.b = b + j;
      int64_t kernel_rows = 0;
      MicroKernel<float> kernel = nullptr;
      for (int64_t i = group; i < group_end; ++i) {
        const Part part = panels.panel(i);
        const int64_t rows = part.count(), from = part.begin - row0;
        if (rows != kernel_rows) kernel = OUTPOST_ISA::micro_kernel_f32(!w.plain, int(kernel_rows = rows), vectors);
        p.a = w.a + part.begin * w.k + step * (w.plain ? 1 : rows);
        p.a_row = w.plain ? w.k : 1;
        p.a_step = w.plain ? 1 : rows;
        p.c = c + from * p.c_row + j;
        p.row_bias = row_bias ? row_bias + from : nullptr;
        p.residual = residual ? residual + from * p.residual_row + j : nullptr;
        kernel(p);
      }
      j += taken;
    }
    group = group_end;
  }
}

// The epilogue's part in a block: what is added comes with the first block of k, the activation with the last.
// `row` counts output channels from the start of y, `at` elements of y.
inline void set_epilogue(MicroBlock<float>& p, const Epilogue& e, int64_t row, int64_t at, bool first, bool last) {
  p.accumulate = !first;
  p.row_bias = first && e.row_bias ? static_cast<const float*>(e.row_bias) + row : nullptr;
  p.residual = first && e.residual ? static_cast<const float*>(e.residual) + at : nullptr;
  p.residual_scale = float(e.residual_scale);
  p.activation = last ? e.activation : Activation::none;
  const bool relu = e.activation == Activation::relu;
  p.low = relu ? 0.0f : e.low;
  p.high = relu ? __builtin_inff() : e.high;
}

// How a product of (rows, k) weights with patches at `positions` is cut, `images` times over (batches, groups, ...).
struct Cut {
  RowPanels panels;
  int64_t column_panels, m_tiles = 1, n_tiles, k_block, b_row;

  Cut(int64_t images, int64_t rows, int64_t k, int64_t positions, bool contiguous) : panels(rows) {
    constexpr int64_t k_limit = 320, positions_limit = 192;  // 240 KB of patches
    constexpr double tile_flops = 4e6, tile_count = 32;      // no smaller and no more tiles than that
    constexpr int64_t width = panel_columns<float>;
    column_panels = ceil_divide(positions, width);
    n_tiles = larger(1, ceil_divide(column_panels, positions_limit / width));
    const double work = 2.0 * double(images) * double(rows) * double(k) * double(positions) / tile_flops;
    const double wanted = work < tile_count ? work : tile_count;
    const auto tiles = [&] { return double(images) * double(n_tiles) * double(m_tiles); };
    // Weights are read anew for every part of the positions, which costs less than patches anew for every part of the
    // rows.
    const int64_t least_panels = (contiguous ? 48 : 72) / block_rows;
    while (tiles() < wanted && column_panels / n_tiles > 48 / width) ++n_tiles;
    while (tiles() < wanted && panels.count / m_tiles >= 2 * least_panels) ++m_tiles;
    k_block = ceil_divide(k, larger(1, ceil_divide(k, k_limit)));
    b_row = patch_row(ceil_divide(column_panels, n_tiles) * width);
  }
  size_t scratch_floats() const { return size_t(patch_floats(k_block, b_row)); }
};

// One tile's product: weights times patches of `x` at the positions `at`. `p` holds C and its row stride; `row`
// and `start` say where C's first element is in the epilogue's bias and residual. `laid_out`: all of k is in `b`
// already.
inline void run_product(const Cut& cut, Part row_panels, const Geometry& g, const Weights& weights, const float* x,
                        Part at, float* b, bool laid_out, MicroBlock<float> p, const Epilogue& e, int64_t row,
                        int64_t start) {
  const int64_t k = weights.k;
  for (int64_t step = 0;;) {
    const int64_t count = smaller(cut.k_block, k - step);
    const bool last = step + count >= k;
    if (!laid_out)
      lay_out(g, x, at, step, count, b, cut.b_row, b + patch_floats(cut.k_block, cut.b_row) - plane_floats);
    p.b = b;
    p.b_step = cut.b_row;
    p.k = count;
    set_epilogue(p, e, row, start, step == 0, last);
    multiply_panels(p, cut.panels, row_panels.begin, row_panels.end, weights, step, at.count());
    step += count;
    if (last) return;
  }
}

}  // namespace
}  // namespace outpost::kernels
