// C = A B for f32 and f64 (f16 and bf16 widened while packing), after Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication": panels of B stay in L1 while blocks of A, kept in L2, pass over them.
//
// C is cut into tiles of m_tile x n_tile by shape alone. Within a tile k runs as a whole while the tile's rows of A fit
// L2 (a panel of B may be longer than L1: its stream costs less than another visit to C), else in blocks, and C carries
// the sums from one block to the next. A is read in place unless its row stride maps the rows of a register block onto
// the same cache sets, or it needs widening: then its block is copied into scratch.
#include "kernels/gemm_dot.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

using OUTPOST_ISA::micro_kernel_f32;
using OUTPOST_ISA::micro_kernel_f64;

// The block of A that stays in L2 while panels of B pass. AVX-512 machines have 1 MB or more, others 256 KB and up.
constexpr int64_t a_block_bytes = vector_bytes == 64 ? 448 << 10 : 192 << 10;
constexpr int64_t a_block_rows = 240;
constexpr int64_t long_rows = vector_bytes == 64 ? 72 : 48;  // k is cut where so many of its rows would not fit
constexpr int64_t packed_k_limit = 320;                      // B packed on the fly: at most this by
constexpr int64_t packed_b_columns = 256;                    // that, 320 KB
constexpr double tile_flops = 4e6;                           // tiles are not cut below this,
constexpr double tile_count = 32;                            // nor for more than this many, or
constexpr double tile_count_copied = 8;                      // this where every tile copies its block of A
constexpr int64_t crowded_bytes = 2048;  // rows this far apart fall on one or two sets of L1

struct Blocking {
  int64_t m_tile, n_tile, m_tiles, n_tiles, k_block;
  bool copy_a, by_columns;  // by_columns: A's rows are its unit stride
  bool pack_b;              // all of B's panels on the fly; else only the last, partial one
  bool dots;                // B's columns run along k and A has few rows
};

// Cuts n into `parts`, or fewer where they would get smaller than `least`; whole steps.
int64_t cut(int64_t n, int64_t parts, int64_t least, int64_t step) {
  return round_up(larger(ceil_divide(n, larger(parts, 1)), smaller(least, n)), step);
}

template <class T>
void set_tiles(Blocking& s, const Gemm& g, int64_t row_limit) {
  constexpr int width = panel_columns<T>;
  s.m_tile = larger(1, ceil_divide(g.m, ceil_divide(larger(g.m, 1), row_limit)));
  s.n_tile = smaller(g.n, s.pack_b ? packed_b_columns : 1024);
  const double work = 2.0 * double(g.m) * double(g.n) * double(g.k) / tile_flops;
  const double most = s.copy_a ? tile_count_copied : tile_count;
  const double wanted = work < most ? work : most;
  const auto missing = [&](int64_t others) { return int64_t(wanted / double(larger(others, 1)) + 0.999); };
  const auto count = [&] { return ceil_divide(g.m, s.m_tile) * ceil_divide(g.n, larger(s.n_tile, 1)); };
  // A copied block is used for every column of the tile, a packed panel for every row.
  if (double(count()) < wanted)
    s.n_tile = smaller(s.n_tile, cut(g.n, missing(ceil_divide(g.m, s.m_tile)), (s.copy_a || s.pack_b ? 4 : 2) * width, width));
  if (double(count()) < wanted)
    s.m_tile = smaller(s.m_tile, cut(g.m, missing(ceil_divide(g.n, s.n_tile)), 4 * block_rows, 1));
  s.n_tile = round_up(larger(s.n_tile, 1), width);
  s.m_tiles = ceil_divide(g.m, s.m_tile);
  s.n_tiles = ceil_divide(g.n, s.n_tile);
}

template <class T>
Blocking blocking_of(const Gemm& g) {
  constexpr int width = panel_columns<T>;
  Blocking s;
  const bool b_ready = g.packed_b != nullptr;
  const bool convert_a = sizeof(T) == 4 && g.a_type != FloatType::f32;
  const bool convert_b = sizeof(T) == 4 && g.b_type != FloatType::f32;
  s.dots = !b_ready && !convert_b && g.m <= dot_rows && g.b_row_stride == 1 && g.b_column_stride != 1;
  // Few rows use a panel once, and a small B sits in cache: packing would not pay.
  const bool direct_b = !convert_b && g.b_column_stride == 1 && (g.m <= dot_rows || g.k * g.n <= 4096);
  s.pack_b = !b_ready && !direct_b && !s.dots;
  s.by_columns = sizeof(T) == 4 && !s.dots && g.a_row_stride == 1 && g.a_column_stride != 1;
  const bool strided = !s.by_columns && g.a_column_stride != 1;
  const bool crowded = s.by_columns || g.a_row_stride * int64_t(sizeof(T)) % crowded_bytes == 0;
  s.copy_a = convert_a || (strided && g.k > 1) ||
             (crowded && g.n >= 8 * width && g.m > block_rows && g.k > 32);
  // One pass of A over B gains nothing from blocks of k.
  const int64_t most = a_block_bytes / int64_t(sizeof(T)) / smaller(larger(g.m, 1), long_rows);
  const int64_t limit = s.pack_b ? smaller(most, packed_k_limit) : most;
  const int64_t blocks = g.m <= block_rows && !s.pack_b ? 1 : ceil_divide(g.k, limit);
  s.k_block = blocks > 1 ? round_up(ceil_divide(g.k, blocks), 4) : g.k;
  const int64_t fitting = a_block_bytes / int64_t(sizeof(T)) / larger(s.k_block, 1);
  set_tiles<T>(s, g, smaller(a_block_rows, larger(fitting, block_rows)));
  return s;
}

// Where a tile's scratch lies. Rows of a copied block are a few vectors longer than k, against cache set conflicts.
template <class T>
struct Scratch {
  T *a, *b, *c;
  int64_t a_outer;  // from one row (or, by columns, one step of k) of the copied block to the next
  size_t bytes;

  Scratch(const Gemm& g, const Blocking& s, void* memory) {
    a_outer = s.by_columns ? round_up(s.m_tile, 16) + 16 : round_up(s.k_block, 16) + 16;
    const int64_t a_count = !s.copy_a ? 0 : a_outer * (s.by_columns ? s.k_block : s.m_tile);
    const int64_t b_count = g.packed_b || s.dots ? 0 : s.k_block * (s.pack_b ? s.n_tile : panel_columns<T>);
    const int64_t c_count = sizeof(T) == 8 || g.c_type == FloatType::f32 ? 0 : s.m_tile * s.n_tile;
    a = static_cast<T*>(memory);
    b = a + round_up(a_count, 16);
    c = b + round_up(b_count, 16);
    bytes = size_t(round_up(a_count, 16) + round_up(b_count, 16) + c_count) * sizeof(T) + 64;
  }
};

template <class T>
struct Tile {
  int64_t row, rows, column, columns;  // of C
  T* c;
  int64_t c_row;
};

// B for a block of k from `step` on: either panels (packed) or in place.
template <class T>
struct OperandB {
  const T* panels;  // of the tile's first column
  int64_t step, panel;
  const T* last;  // the partial panel at the right edge where `panels` is unpacked; null: like the others
};

template <class T>
OperandB<T> prepare_b(const Gemm& g, const Blocking& s, const Tile<T>& t, const Scratch<T>& scratch, int64_t step,
                      int64_t count) {
  constexpr int width = panel_columns<T>;
  if (g.packed_b) {
    const T* b = static_cast<const T*>(g.packed_b);
    return {b + t.column * g.k + step * width, width, g.k * width, nullptr};
  }
  const int64_t first = step * g.b_row_stride + t.column * g.b_column_stride;
  if (s.pack_b) {
    with_reader<T>(g.b, g.b_type, [&](auto b) {
      pack_panels(b.at(first), g.b_row_stride, g.b_column_stride, count, t.columns, scratch.b, count * width);
    });
    return {scratch.b, width, count * width, nullptr};
  }
  const T* b = static_cast<const T*>(g.b) + first;
  const int64_t partial = t.columns % width;
  if (partial)
    with_reader<T>(b + t.columns - partial, g.b_type,
                   [&](auto edge) { pack_panel(edge, g.b_row_stride, 1, count, partial, scratch.b); });
  return {b, g.b_row_stride, width, partial ? scratch.b : nullptr};
}

// Registers of columns a kernel takes for `rows` rows: few rows take several panels at once, since one panel's two sums
// a row could not hide the latency of an addition.
template <class T>
int wide_vectors(int64_t rows, int64_t columns) {
  constexpr int width = panel_columns<T>;
  if (sizeof(T) == 8) return 2;
  if (rows == 1 && columns >= 4 * width) return 8;
  if (rows <= wide_rows && columns >= 2 * width) return 4;
  return columns <= vector_lanes<T> ? 1 : 2;
}

template <class T>
MicroKernel<T> kernel_for(bool unit_rows, int rows, int vectors) {
  if constexpr (sizeof(T) == 8) return micro_kernel_f64(rows);
  else return micro_kernel_f32(unit_rows, rows, vectors);
}

template <class T>
void multiply_block(MicroBlock<T> p, const OperandB<T>& b, const Tile<T>& t, bool unit_rows) {
  constexpr int width = panel_columns<T>;
  const T *a = p.a, *row_bias = p.row_bias, *column_bias = p.column_bias, *residual = p.residual;
  for (int64_t j = 0; j < t.columns;) {
    const int64_t left = t.columns - j;
    const int vectors = wide_vectors<T>(t.rows, left);
    const int64_t taken = vectors <= 2 ? width : vectors / 2 * width;
    p.columns = int(smaller(taken, left));
    const bool edge = b.last && left < width;
    p.b = edge ? b.last : b.panels + j / width * b.panel;
    p.b_step = edge ? width : b.step;
    p.b_panel = b.panel;
    p.column_bias = column_bias ? column_bias + j : nullptr;
    // Rows are dealt evenly: 8 as 4 + 4 rather than 6 + 2, whose 4 sums would wait for each other.
    int64_t blocks = ceil_divide(t.rows, block_rows), rows = 0;
    MicroKernel<T> kernel = nullptr;
    const char *ahead = nullptr, *ahead_end = nullptr;  // the next panel, a part with each block of rows
    if (fetches_ahead && taken < left && b.step == width) {
      ahead = reinterpret_cast<const char*>(b.panels + (j + taken) / width * b.panel);
      ahead_end = ahead + p.k * width * int64_t(sizeof(T));
    }
    for (int64_t i = 0; i < t.rows; i += rows, --blocks) {
      const int64_t even = ceil_divide(t.rows - i, blocks);
      if (even != rows) kernel = kernel_for<T>(unit_rows, int(rows = even), vectors);
      p.a = a + i * p.a_row;
      p.c = t.c + i * t.c_row + j;
      p.row_bias = row_bias ? row_bias + i : nullptr;
      p.residual = residual ? residual + i * p.residual_row + j : nullptr;
      p.ahead = ahead < ahead_end ? ahead : nullptr;
      ahead += p.k * cache_line;
      kernel(p);
    }
    j += taken;
  }
}

template <class T>
void multiply_tile(const Gemm& g, const Blocking& s, const Tile<T>& t, const Scratch<T>& scratch) {
  const Epilogue& e = g.epilogue;
  for (int64_t step = 0;;) {
    const int64_t count = smaller(s.k_block, g.k - step);
    const bool last = step + count >= g.k;
    MicroBlock<T> p;
    p.k = count;
    p.c_row = t.c_row;
    p.alpha = T(g.alpha);
    p.accumulate = step > 0;
    if (step == 0) {
      if (e.row_bias) p.row_bias = static_cast<const T*>(e.row_bias) + t.row;
      if (e.column_bias) p.column_bias = static_cast<const T*>(e.column_bias) + t.column;
      if (e.residual) p.residual = static_cast<const T*>(e.residual) + t.row * e.residual_row_stride + t.column;
      p.residual_row = e.residual_row_stride;
      p.residual_scale = T(e.residual_scale);
    }
    if (last) {
      const bool relu = e.activation == Activation::relu;
      p.activation = e.activation;
      p.low = relu ? T(0) : T(e.low);
      p.high = relu ? T(__builtin_inf()) : T(e.high);
    }
    if (s.copy_a) {
      const int64_t outer = s.by_columns ? g.a_column_stride : g.a_row_stride;
      const int64_t inner = s.by_columns ? 1 : g.a_column_stride;
      const void* from = static_cast<const char*>(g.a) +
                         (t.row * g.a_row_stride + step * g.a_column_stride) * element_bytes(g.a_type);
      with_reader<T>(from, g.a_type, [&](auto a) {
        copy_block(a, outer, inner, scratch.a, scratch.a_outer, s.by_columns ? count : t.rows,
                   s.by_columns ? t.rows : count);
      });
      p.a = scratch.a;
      p.a_row = s.by_columns ? 1 : scratch.a_outer;
      p.a_step = s.by_columns ? scratch.a_outer : 1;
    } else {
      p.a = static_cast<const T*>(g.a) + t.row * g.a_row_stride + step * g.a_column_stride;
      p.a_row = g.a_row_stride;
      p.a_step = g.a_column_stride;
    }
    if (s.dots) {
      p.b = static_cast<const T*>(g.b) + step + t.column * g.b_column_stride;
      p.b_step = g.b_column_stride;
      p.c = t.c;
      multiply_dots(p, int(t.rows), t.columns);
      return;
    }
    const OperandB<T> b = prepare_b(g, s, t, scratch, step, count);
    multiply_block(p, b, t, s.by_columns);
    if (last) return;
    step += count;
  }
}

// The finished f32 tile into an f16 or bf16 C.
void narrow_tile(const Gemm& g, const Tile<float>& t) {
  uint16_t* c = static_cast<uint16_t*>(g.c) + t.row * g.c_row_stride + t.column;
  const auto convert = [&](F32 x) { return g.c_type == FloatType::f16 ? to_f16(x) : to_bf16(x); };
  for (int64_t i = 0; i < t.rows; ++i) {
    const float* from = t.c + i * t.c_row;
    uint16_t* to = c + i * g.c_row_stride;
    int64_t j = 0;
    for (; j + lanes <= t.columns; j += lanes) store_half(to + j, convert(load(from + j)));
    if (j < t.columns) store_half_part(to + j, convert(load_part(from + j, t.columns - j)), t.columns - j);
  }
}

template <class T>
void multiply(const Gemm& g, int64_t begin, int64_t end, void* memory) {
  const Blocking s = blocking_of<T>(g);
  const Scratch<T> scratch(g, s, memory);
  end = smaller(end, s.m_tiles * s.n_tiles);
  for (int64_t i = begin; i < end; ++i) {
    Tile<T> t;
    t.row = i % s.m_tiles * s.m_tile;
    t.column = i / s.m_tiles * s.n_tile;
    t.rows = smaller(s.m_tile, g.m - t.row);
    t.columns = smaller(s.n_tile, g.n - t.column);
    const bool narrow = sizeof(T) == 4 && g.c_type != FloatType::f32;
    t.c = narrow ? scratch.c : static_cast<T*>(g.c) + t.row * g.c_row_stride + t.column;
    t.c_row = narrow ? s.n_tile : g.c_row_stride;
    multiply_tile(g, s, t, scratch);
    if constexpr (sizeof(T) == 4) {
      if (narrow) narrow_tile(g, t);
    }
  }
}

bool is_double(const Gemm& g) { return g.b_type == FloatType::f64; }

int64_t tiles(const Gemm& g) {
  const Blocking s = is_double(g) ? blocking_of<double>(g) : blocking_of<float>(g);
  return s.m_tiles * s.n_tiles;
}

size_t scratch_bytes(const Gemm& g) {
  if (is_double(g)) return Scratch<double>(g, blocking_of<double>(g), nullptr).bytes;
  return Scratch<float>(g, blocking_of<float>(g), nullptr).bytes;
}

void run(const Gemm& g, int64_t begin, int64_t end, void* scratch) {
  if (is_double(g)) multiply<double>(g, begin, end, scratch);
  else multiply<float>(g, begin, end, scratch);
}

size_t pack_bytes(const Gemm& g) {
  if (is_double(g)) return size_t(round_up(g.n, panel_columns<double>) * g.k) * 8;
  return size_t(round_up(g.n, panel_columns<float>) * g.k) * 4;
}

template <class T>
void pack_all(const Gemm& g, void* packed) {
  with_reader<T>(g.b, g.b_type, [&](auto b) {
    pack_panels(b, g.b_row_stride, g.b_column_stride, g.k, g.n, static_cast<T*>(packed), g.k * panel_columns<T>);
  });
}

void pack(const Gemm& g, void* packed) {
  if (is_double(g)) pack_all<double>(g, packed);
  else pack_all<float>(g, packed);
}

}  // namespace

void OUTPOST_ISA::fill_gemm(Kernels& table) {
  table.gemm_tiles = tiles;
  table.gemm_scratch_bytes = scratch_bytes;
  table.gemm = run;
  table.gemm_pack_b_bytes = pack_bytes;
  table.gemm_pack_b = pack;
}

}  // namespace outpost::kernels
