// C = A B with both operands rounded to bf16 (to nearest even) and sums in f32: vdpbf16ps adds two products a lane, twice
// the rate of f32, and packed weights take half the bytes. Entries of the table stand in front of the f32 products and
// pass on what does not allow rounding.
//
// k runs in pairs. A tile's rows of A are converted into scratch, a row a run of 32-bit words (two steps of k each); B
// lies in panels [panel][pair][column][2], zero past the edges. The instruction rounds its sums to nearest even and takes
// denormals as zero. Tiles are cut by shape alone, k never.
#if defined(__AVX512BF16__)
#include "kernels/gemm_finish.h"
#include "kernels/gemm_pack.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int width = panel_columns<float>;
constexpr int64_t a_block_bytes = 448 << 10;  // a tile's rows of A, in L2
constexpr int64_t least_rows = 2 * block_rows, most_rows = 20 * block_rows;
constexpr int64_t packed_bytes = 320 << 10;  // B packed on the fly for one tile
constexpr double tile_flops = 8e6, tile_count = 8;

// A register block of C: the f32 block's ends, and operands as words of two values.
struct Block : MicroBlock<float> {
  const uint32_t* row = nullptr;  // of A
  int64_t row_stride = 0;
  const uint32_t* panel = nullptr;
  int64_t panel_stride = 0, pairs = 0;
};

template <int rows, int vectors>
void multiply_block(const Block& p) {
  F32 sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = F32{};
  const uint32_t* b = p.panel;
  const int64_t stride = p.row_stride, next = p.panel_stride;
  if constexpr (rows >= 4)
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      __builtin_prefetch(p.c + r * p.c_row, 1, 3);
      __builtin_prefetch(p.c + r * p.c_row + vectors * lanes - 1, 1, 3);
    }
  const uint32_t* a[(rows + 3) / 4];  // as in gemm_micro.isa.cpp
#pragma GCC unroll 4
  for (int i = 0; i < (rows + 3) / 4; ++i) {
    a[i] = p.row + 4 * i * stride;
    __asm__("" : "+r"(a[i]));
  }
#pragma GCC unroll 2
  for (int64_t step = p.pairs; step > 0; --step) {
    __m512bh at[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) at[v] = (__m512bh)_mm512_loadu_si512(b + v / 2 * next + v % 2 * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const __m512bh value = (__m512bh)_mm512_set1_epi32(int(a[r / 4][r % 4 * stride]));
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] = (F32)_mm512_dpbf16_ps((__m512)sum[r][v], value, at[v]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < (rows + 3) / 4; ++i) ++a[i];
    b += width;
  }
  finish_registers<float, rows, vectors>(p, sum);
}

using Kernel = void (*)(const Block&);

template <int rows = block_rows>
Kernel kernel_for(int wanted, int vectors) {
  if constexpr (rows > 1) {
    if (wanted < rows) return kernel_for<rows - 1>(wanted, vectors);
  }
  if constexpr (rows == 1) {
    if (vectors == 8) return multiply_block<1, 8>;
  }
  if constexpr (rows <= wide_rows) {
    if (vectors == 4) return multiply_block<rows, 4>;
  }
  return multiply_block<rows, 2>;
}

int wide_vectors(int64_t rows, int64_t columns) {
  if (rows == 1 && columns >= 4 * width) return 8;
  return rows <= wide_rows && columns >= 2 * width ? 4 : 2;
}

int64_t pairs_of(const Gemm& g) { return (g.k + 1) / 2; }
int64_t a_words(const Gemm& g) { return round_up(pairs_of(g), 16) + 16; }  // of a row: not a power of two

// B packed ahead, or enough rows to pay for packing and for rounding A.
bool rounds(const Gemm& g) {
  if (!g.allow_bf16 || g.a_type != FloatType::f32 || g.b_type != FloatType::f32 || g.c_type != FloatType::f32) return false;
  return g.packed_b || (g.m >= least_rows && g.n >= width && g.k >= 32 && g.k <= packed_bytes / 4 / width);
}

struct Blocking {
  int64_t m_tile, n_tile, m_tiles, n_tiles;
};

// Rows are divided first: every tile rounds its rows of A, while B only streams by.
Blocking blocking_of(const Gemm& g) {
  Blocking s;
  const int64_t fitting = a_block_bytes / (4 * a_words(g));
  const int64_t limit = smaller(most_rows, larger(least_rows, fitting));
  const double work = 2.0 * double(g.m) * double(g.n) * double(g.k) / tile_flops;
  const int64_t wanted = int64_t(work < tile_count ? work : tile_count) + 1;
  s.m_tiles = larger(ceil_divide(g.m, limit), larger(1, smaller(wanted / 2, g.m / (4 * block_rows))));
  s.m_tile = larger(1, ceil_divide(g.m, s.m_tiles));
  s.m_tiles = ceil_divide(g.m, s.m_tile);
  s.n_tile = ceil_divide(g.n, larger(1, ceil_divide(wanted - 1, s.m_tiles)));
  if (!g.packed_b) s.n_tile = smaller(s.n_tile, packed_bytes / (4 * larger(1, pairs_of(g))));
  s.n_tile = round_up(larger(s.n_tile, smaller(4 * width, larger(1, g.n))), width);
  s.n_tiles = ceil_divide(g.n, s.n_tile);
  return s;
}

U32 bits_of(F32 lanes16) { return (U32)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)lanes16)); }

// Rows of A, rounded; an odd k ends in a zero.
template <class Reader>
void round_rows(Reader a, int64_t row_stride, int64_t column_stride, int64_t rows, int64_t k, uint32_t* to,
                int64_t to_stride) {
  constexpr int64_t step = 2 * lanes;
  for (int64_t i = 0; i < rows; ++i, to += to_stride) {
    const Reader row = a.at(i * row_stride);
    for (int64_t j = 0; j < k; j += step) {
      F32 low, high;
      if (column_stride == 1 && j + step <= k) {
        low = row.at(j).vector(), high = row.at(j + lanes).vector();
      } else if (column_stride == 1) {
        const int64_t left = k - j;
        low = row.at(j).part(smaller(left, lanes));
        high = left > lanes ? row.at(j + lanes).part(left - lanes) : F32{};
      } else {
        float values[step] = {};
        for (int64_t p = 0; p < step && j + p < k; ++p) values[p] = row.at((j + p) * column_stride).one();
        low = load(values), high = load(values + lanes);
      }
      _mm512_storeu_si512(to + j / 2, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
    }
  }
}

// Panels of a (k, columns) block of B, through a few rows in f32.
template <class Reader>
void round_panels(Reader b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t columns, uint32_t* panels) {
  constexpr int64_t some = 32;
  float rows[some * width];
  for (int64_t j = 0; j < columns; j += width)
    for (int64_t p = 0; p < k; p += some) {
      const int64_t count = smaller(some, k - p);
      pack_panel(b.at(p * row_stride + j * column_stride), row_stride, column_stride, count, smaller(width, columns - j), rows);
      if (count % 2) __builtin_memset(rows + count * width, 0, width * sizeof(float));
      for (int64_t q = 0; q < count; q += 2, panels += width)
        for (int half = 0; half < width; half += lanes)
          store(panels + half, bits_of(load(rows + q * width + half)) | bits_of(load(rows + (q + 1) * width + half)) << 16);
    }
}

struct Scratch {
  uint32_t *a, *b;
  size_t bytes;
  Scratch(const Gemm& g, const Blocking& s, void* memory) {
    const int64_t a_count = a_words(g) * s.m_tile, b_count = g.packed_b ? 0 : s.n_tile * pairs_of(g);
    a = static_cast<uint32_t*>(memory), b = a + a_count;
    bytes = size_t(a_count + b_count) * 4 + 64;
  }
};

void multiply_tile(const Gemm& g, const Blocking& s, const Scratch& scratch, int64_t row, int64_t column) {
  const Epilogue& e = g.epilogue;
  const int64_t rows = smaller(s.m_tile, g.m - row), columns = smaller(s.n_tile, g.n - column);
  const float* bias = static_cast<const float*>(e.column_bias);
  const float* residual = static_cast<const float*>(e.residual);
  const float* row_bias = static_cast<const float*>(e.row_bias);
  round_rows(ReadF32{static_cast<const float*>(g.a) + row * g.a_row_stride}, g.a_row_stride, g.a_column_stride, rows, g.k,
             scratch.a, a_words(g));
  const uint32_t* panels = scratch.b;
  if (g.packed_b) panels = static_cast<const uint32_t*>(g.packed_b) + column * pairs_of(g);
  else
    round_panels(ReadF32{static_cast<const float*>(g.b) + column * g.b_column_stride}, g.b_row_stride, g.b_column_stride,
                 g.k, columns, scratch.b);
  Block p;
  p.c_row = g.c_row_stride;
  p.alpha = float(g.alpha);
  p.residual_row = e.residual_row_stride;
  p.residual_scale = float(e.residual_scale);
  p.activation = e.activation;
  p.low = e.activation == Activation::relu ? 0 : e.low;
  p.high = e.activation == Activation::relu ? __builtin_inff() : e.high;
  p.row_stride = a_words(g);
  p.pairs = pairs_of(g);
  p.panel_stride = p.pairs * width;
  for (int64_t j = 0; j < columns;) {
    const int vectors = wide_vectors(rows, columns - j);
    const int64_t taken = vectors * lanes;
    p.columns = int(smaller(taken, columns - j));
    p.panel = panels + j * p.pairs;
    p.column_bias = bias ? bias + column + j : nullptr;
    int64_t blocks = ceil_divide(rows, block_rows), count = 0;
    for (int64_t i = 0; i < rows; i += count, --blocks) {
      count = ceil_divide(rows - i, blocks);
      p.row = scratch.a + i * p.row_stride;
      p.c = static_cast<float*>(g.c) + (row + i) * g.c_row_stride + column + j;
      p.row_bias = row_bias ? row_bias + row + i : nullptr;
      p.residual = residual ? residual + (row + i) * e.residual_row_stride + column + j : nullptr;
      kernel_for(int(count), vectors)(p);
    }
    j += taken;
  }
}

// The table's f32 products, for all else.
struct {
  decltype(Kernels::gemm_tiles) tiles;
  decltype(Kernels::gemm_scratch_bytes) scratch_bytes;
  decltype(Kernels::gemm) multiply;
  decltype(Kernels::gemm_pack_b_bytes) pack_bytes;
  decltype(Kernels::gemm_pack_b) pack;
} plain;

int64_t tiles(const Gemm& g) {
  if (!rounds(g)) return plain.tiles(g);
  const Blocking s = blocking_of(g);
  return s.m_tiles * s.n_tiles;
}

size_t scratch_bytes(const Gemm& g) {
  return rounds(g) ? Scratch(g, blocking_of(g), nullptr).bytes : plain.scratch_bytes(g);
}

void run(const Gemm& g, int64_t begin, int64_t end, void* memory) {
  if (!rounds(g)) return plain.multiply(g, begin, end, memory);
  const Blocking s = blocking_of(g);
  const Scratch scratch(g, s, memory);
  end = smaller(end, s.m_tiles * s.n_tiles);
  for (int64_t i = begin; i < end; ++i) multiply_tile(g, s, scratch, i % s.m_tiles * s.m_tile, i / s.m_tiles * s.n_tile);
}

bool packs_rounded(const Gemm& g) { return g.allow_bf16 && g.b_type == FloatType::f32; }

size_t pack_bytes(const Gemm& g) {
  return packs_rounded(g) ? size_t(round_up(g.n, width) * pairs_of(g)) * 4 : plain.pack_bytes(g);
}

void pack(const Gemm& g, void* packed) {
  if (!packs_rounded(g)) return plain.pack(g, packed);
  round_panels(ReadF32{static_cast<const float*>(g.b)}, g.b_row_stride, g.b_column_stride, g.k, g.n, static_cast<uint32_t*>(packed));
}

}  // namespace

void OUTPOST_ISA::fill_gemm(Kernels& table) {
  plain = {table.gemm_tiles, table.gemm_scratch_bytes, table.gemm, table.gemm_pack_b_bytes, table.gemm_pack_b};
  table.gemm_tiles = tiles;
  table.gemm_scratch_bytes = scratch_bytes;
  table.gemm = run;
  table.gemm_pack_b_bytes = pack_bytes;
  table.gemm_pack_b = pack;
}

}  // namespace outpost::kernels
#endif
