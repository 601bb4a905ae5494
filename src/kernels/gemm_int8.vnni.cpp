// C = (A - a_zero)(B - b_zero) on VNNI: A as u8 (s8 moved up by 128), B as s8 (u8 moved down by 128), four steps of k a
// lane. With za and zb the zero points so moved, and sums over k of rows and columns as they are multiplied:
//   C(i, j) = sum a b - za(i) sum_b(j) - zb(j) (sum_a(i) - k za(i))
// A tile's rows of A are copied to [k / 4][row][4], so that the rows of a step lie side by side; B into panels of 32
// columns [k / 4][column][4], with its column sums in front of each panel.
#include "kernels/gemm_pack.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int most_rows = 14, panel_width = 2 * lanes;  // 28 registers of sums
constexpr int64_t m_tile_limit = 8 * most_rows, n_tile_limit = 512;
constexpr double tile_operations = 16e6;

struct Blocking {
  int64_t m_tile, n_tile, m_tiles, n_tiles, steps;  // steps of four along k

  explicit Blocking(const GemmInt8& g) {
    steps = ceil_divide(g.k, 4);
    m_tile = larger(1, smaller(g.m, m_tile_limit));
    n_tile = larger(1, smaller(g.n, n_tile_limit));
    const double wanted = smaller(32, int64_t(2.0 * double(g.m) * double(g.n) * double(g.k) / tile_operations));
    const auto tiles = [&] { return double(ceil_divide(g.m, m_tile)) * double(ceil_divide(g.n, n_tile)); };
    while (tiles() < wanted && n_tile > 2 * panel_width) n_tile = round_up(n_tile / 2, panel_width);
    while (tiles() < wanted && m_tile > 2 * most_rows) m_tile = round_up(m_tile / 2, most_rows);
    n_tile = round_up(n_tile, panel_width);
    m_tiles = ceil_divide(g.m, m_tile);
    n_tiles = ceil_divide(g.n, n_tile);
  }
  int64_t panel_bytes() const { return (steps * 4 + 4) * panel_width; }
  int64_t a_bytes() const { return round_up(steps * 4 * m_tile, 64); }
  int64_t sums_bytes() const { return round_up(m_tile * 8, 64); }  // of rows: za and the factor of zb
};

// A zero point as moved: of A up, of B down.
inline int32_t zero_at(const void* p, int64_t i, bool is_signed, int32_t moved) {
  const int32_t zero = !p ? 0 : is_signed ? static_cast<const int8_t*>(p)[i] : static_cast<const uint8_t*>(p)[i];
  return zero + moved;
}

// Rows [first, first + rows) of A in groups of up to most_rows: [group][k / 4][row][4].
void copy_a(const GemmInt8& g, const Blocking& s, int64_t first, int64_t rows, uint8_t* to, int32_t* zeros,
            int32_t* factors) {
  const uint8_t flip = g.a_signed ? 0x80 : 0;
  const int64_t groups = ceil_divide(rows, most_rows);
  for (int64_t p = 0; p < groups; ++p) {
    const Part part = part_of(rows, groups, p);
    for (int64_t r = part.begin; r < part.end; ++r) {
      const uint8_t* from = static_cast<const uint8_t*>(g.a) + (first + r) * g.a_row_stride;
      uint8_t* out = to + part.begin * s.steps * 4 + (r - part.begin) * 4;
      const int64_t whole = g.a_column_stride == 1 ? g.k / 4 : 0;
      __m512i sums = {};
      for (int64_t step = 0; step < whole; step += 16) {
        const __mmask16 mask = __mmask16((1u << smaller(16, whole - step)) - 1);
        const __m512i codes = _mm512_xor_si512(_mm512_maskz_loadu_epi32(mask, from + step * 4), _mm512_set1_epi8(char(flip)));
        sums = _mm512_dpbusd_epi32(sums, _mm512_maskz_mov_epi32(mask, codes), _mm512_set1_epi8(1));
        alignas(64) uint32_t quads[16];
        _mm512_store_si512(quads, codes);
        for (int64_t i = 0; i < smaller(16, whole - step); ++i, out += part.count() * 4) __builtin_memcpy(out, quads + i, 4);
      }
      auto sum = uint32_t(_mm512_reduce_add_epi32(sums));
      for (int64_t step = whole; step < s.steps; ++step, out += part.count() * 4)
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t k = step * 4 + i;
          out[i] = k < g.k ? uint8_t(from[k * g.a_column_stride] ^ flip) : 0;
          sum += out[i];
        }
      const int32_t zero = zero_at(g.a_zero, (first + r) * g.a_zero_stride, g.a_signed, g.a_signed ? 128 : 0);
      zeros[r] = zero;
      factors[r] = int32_t(sum - uint32_t(g.k) * uint32_t(zero));
    }
  }
}

// Panels of columns [first, first + columns): column sums, then [k / 4][column][4]; columns past the edge are zero.
void pack_panels(const GemmInt8& g, const Blocking& s, int64_t first, int64_t columns, uint8_t* to) {
  const uint8_t flip = g.b_signed ? 0 : 0x80;
  for (int64_t j0 = 0; j0 < columns; j0 += panel_width, to += s.panel_bytes()) {
    uint32_t sums[panel_width] = {};
    uint8_t* out = to + 4 * panel_width;
    const int64_t count = smaller(panel_width, columns - j0);
    const uint8_t* from = static_cast<const uint8_t*>(g.b) + (first + j0) * g.b_column_stride;
    for (int64_t step = 0; step < s.steps; ++step, out += 4 * panel_width)
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t k = step * 4 + i;
        for (int64_t j = 0; j < panel_width; ++j) {
          const bool inside = k < g.k && j < count;
          const uint8_t value = inside ? uint8_t(from[k * g.b_row_stride + j * g.b_column_stride] ^ flip) : 0;
          out[j * 4 + i] = value;
          sums[j] += uint32_t(int8_t(value));
        }
      }
    __builtin_memcpy(to, sums, sizeof sums);
  }
}

struct Block {
  const uint8_t* a;
  const uint8_t* b;  // a panel
  int64_t steps, c_row;
  const int32_t *zeros, *factors;  // of the rows
  const int32_t* column_zeros;     // of the panel, as moved
  int32_t* c;
  int64_t columns;
};

template <int rows>
void multiply_block(const Block& p) {
  I32 sum[rows][2] = {};
  const uint8_t *a = p.a, *b = p.b + 4 * panel_width;
  for (int64_t step = 0; step < p.steps; ++step, a += 4 * rows, b += 4 * panel_width) {
    I32 weights[2];
    __builtin_memcpy(weights, b, sizeof weights);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, a + 4 * r, 4);
      const __m512i value = _mm512_set1_epi32(four);
      sum[r][0] = (I32)_mm512_dpbusd_epi32((__m512i)sum[r][0], value, (__m512i)weights[0]);
      sum[r][1] = (I32)_mm512_dpbusd_epi32((__m512i)sum[r][1], value, (__m512i)weights[1]);
    }
  }
  U32 column_sums[2], column_zeros[2];
  __builtin_memcpy(column_sums, p.b, sizeof column_sums);
  __builtin_memcpy(column_zeros, p.column_zeros, sizeof column_zeros);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const I32 result = (I32)((U32)sum[r][v] - column_sums[v] * uint32_t(p.zeros[r]) -
                               column_zeros[v] * uint32_t(p.factors[r]));
      const int64_t n = p.columns - v * lanes;
      int32_t* c = p.c + r * p.c_row + v * lanes;
      if (n >= lanes) store(c, result);
      else if (n > 0) _mm512_mask_storeu_epi32(c, __mmask16((1u << n) - 1), (__m512i)result);
    }
}

using BlockKernel = void (*)(const Block&);

template <int rows = most_rows>
BlockKernel block_kernel(int64_t wanted) {
  if constexpr (rows > 1) {
    if (wanted < rows) return block_kernel<rows - 1>(wanted);
  }
  return multiply_block<rows>;
}

// Scratch: rows of A | their zeros and factors | panels of B, unless packed ahead.
void run_tile(const GemmInt8& g, const Blocking& s, int64_t tile, uint8_t* scratch) {
  const int64_t row = tile % s.m_tiles * s.m_tile, column = tile / s.m_tiles * s.n_tile;
  const int64_t rows = smaller(s.m_tile, g.m - row), columns = smaller(s.n_tile, g.n - column);
  auto* zeros = reinterpret_cast<int32_t*>(scratch + s.a_bytes());
  int32_t* factors = zeros + rows;
  copy_a(g, s, row, rows, scratch, zeros, factors);
  uint8_t* panels = scratch + s.a_bytes() + s.sums_bytes();
  const uint8_t* b = panels;
  if (g.packed_b) b = static_cast<const uint8_t*>(g.packed_b) + column / panel_width * s.panel_bytes();
  else pack_panels(g, s, column, columns, panels);
  const int64_t groups = ceil_divide(rows, most_rows);
  for (int64_t j = 0; j < columns; j += panel_width, b += s.panel_bytes()) {
    int32_t column_zeros[panel_width] = {};
    const int64_t count = smaller(panel_width, columns - j);
    for (int64_t i = 0; i < count; ++i)
      column_zeros[i] = zero_at(g.b_zero, (column + j + i) * g.b_zero_stride, g.b_signed, g.b_signed ? 0 : -128);
    for (int64_t p = 0; p < groups; ++p) {
      const Part part = part_of(rows, groups, p);
      block_kernel(part.count())({.a = scratch + part.begin * s.steps * 4, .b = b, .steps = s.steps,
                                  .c_row = g.c_row_stride, .zeros = zeros + part.begin,
                                  .factors = factors + part.begin, .column_zeros = column_zeros,
                                  .c = g.c + (row + part.begin) * g.c_row_stride + column + j, .columns = count});
    }
  }
}

int64_t tiles(const GemmInt8& g) {
  const Blocking s(g);
  return s.m_tiles * s.n_tiles;
}

size_t scratch_bytes(const GemmInt8& g) {
  const Blocking s(g);
  const int64_t b = g.packed_b ? 0 : ceil_divide(s.n_tile, panel_width) * s.panel_bytes();
  return size_t(s.a_bytes() + s.sums_bytes() + b);
}

void run(const GemmInt8& g, int64_t begin, int64_t end, void* scratch) {
  const Blocking s(g);
  for (int64_t i = begin; i < end; ++i) run_tile(g, s, i, static_cast<uint8_t*>(scratch));
}

size_t pack_bytes(const GemmInt8& g) { return size_t(ceil_divide(g.n, panel_width) * Blocking(g).panel_bytes()); }

void pack(const GemmInt8& g, void* packed) { pack_panels(g, Blocking(g), 0, g.n, static_cast<uint8_t*>(packed)); }

}  // namespace

void OUTPOST_ISA::fill_gemm_int8(Kernels& table) {
  table.gemm_int8_tiles = tiles;
  table.gemm_int8_scratch_bytes = scratch_bytes;
  table.gemm_int8 = run;
  table.gemm_int8_pack_b_bytes = pack_bytes;
  table.gemm_int8_pack_b = pack;
}

}  // namespace outpost::kernels
