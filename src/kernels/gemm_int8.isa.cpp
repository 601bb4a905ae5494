// C = (A - a_zero)(B - b_zero) for 8-bit A and B, exact in int32. Both operands are widened to 16 bits with their zero
// points taken off while packing (differences lie within +-255), in pairs along k, so that one multiply-add instruction
// makes two products a lane: twice the rate of f32. Instruction sets with 8-bit products replace these entries.
#include "kernels/gemm_pack.h"
#include "kernels/pairs.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int panel_width = 2 * lanes;
constexpr int64_t k_block_limit = 640;  // a panel of B: 20 KB on AVX2
constexpr int64_t m_tile_limit = 96, n_tile_limit = 256;
constexpr double tile_operations = 8e6;

struct Blocking {
  int64_t m_tile, n_tile, m_tiles, n_tiles, k_block;  // k_block is even
  int64_t a_row;                                      // 16-bit elements from a copied row of A to the next

  explicit Blocking(const GemmInt8& g) {
    m_tile = larger(1, smaller(g.m, m_tile_limit));
    n_tile = larger(1, smaller(g.n, n_tile_limit));
    const double wanted = smaller(32, int64_t(2.0 * double(g.m) * double(g.n) * double(g.k) / tile_operations));
    const auto tiles = [&] { return double(ceil_divide(g.m, m_tile)) * double(ceil_divide(g.n, n_tile)); };
    while (tiles() < wanted && n_tile > 4 * panel_width) n_tile = round_up(n_tile / 2, panel_width);
    while (tiles() < wanted && m_tile > 4 * block_rows) m_tile = round_up(m_tile / 2, block_rows);
    n_tile = round_up(n_tile, panel_width);
    m_tiles = ceil_divide(g.m, m_tile);
    n_tiles = ceil_divide(g.n, n_tile);
    const int64_t blocks = larger(1, ceil_divide(g.k, k_block_limit));
    k_block = round_up(ceil_divide(g.k, blocks), 2);
    a_row = round_up(k_block, 32) + 32;
  }
};

struct Zeros {  // of one side; null: 0
  const void* p;
  int64_t stride;
  bool is_signed;
  int at(int64_t i) const {
    if (!p) return 0;
    return is_signed ? static_cast<const int8_t*>(p)[i * stride] : static_cast<const uint8_t*>(p)[i * stride];
  }
};

template <class Body>
inline void with_bytes(const void* p, bool is_signed, Body body) {
  if (is_signed) body(static_cast<const int8_t*>(p));
  else body(static_cast<const uint8_t*>(p));
}

// Rows of A, widened; an odd k ends in a zero.
template <class T>
void copy_a(const T* a, int64_t row_stride, int64_t column_stride, const Zeros& zeros, int64_t first_row, int64_t rows,
            int64_t k, int16_t* to, int64_t to_row) {
  for (int64_t i = 0; i < rows; ++i, to += to_row) {
    const T* from = a + i * row_stride;
    const int16_t zero = int16_t(zeros.at(first_row + i));
    if (column_stride == 1)
      for (int64_t p = 0; p < k; ++p) to[p] = int16_t(from[p] - zero);
    else
      for (int64_t p = 0; p < k; ++p) to[p] = int16_t(from[p * column_stride] - zero);
    if (k % 2) to[k] = 0;
  }
}

// One panel [pair of k][column][2]; columns past the edge are zero.
template <class T>
void pack_panel(const T* b, int64_t row_stride, int64_t column_stride, const int16_t* zeros, int64_t k, int64_t columns,
                int16_t* to) {
  for (int64_t p = 0; p < k; p += 2, to += 2 * panel_width) {
    const T* even = b + p * row_stride;
    const T* odd = p + 1 < k ? even + row_stride : nullptr;
    if (columns == panel_width && column_stride == 1 && odd) {
      for (int j = 0; j < panel_width; ++j) {
        to[2 * j] = int16_t(even[j] - zeros[j]);
        to[2 * j + 1] = int16_t(odd[j] - zeros[j]);
      }
      continue;
    }
    for (int64_t j = 0; j < panel_width; ++j) {
      to[2 * j] = j < columns ? int16_t(even[j * column_stride] - zeros[j]) : int16_t(0);
      to[2 * j + 1] = j < columns && odd ? int16_t(odd[j * column_stride] - zeros[j]) : int16_t(0);
    }
  }
}

// Panels of columns [first, first + columns) and k steps [step, step + k), `panel_stride` 16-bit elements apart.
void pack_panels(const GemmInt8& g, int64_t first, int64_t columns, int64_t step, int64_t k, int16_t* to,
                 int64_t panel_stride) {
  const Zeros zeros{g.b_zero, g.b_zero_stride, g.b_signed};
  with_bytes(g.b, g.b_signed, [&](auto b) {
    for (int64_t j = 0; j < columns; j += panel_width, to += panel_stride) {
      const int64_t count = smaller(panel_width, columns - j);
      int16_t column_zeros[panel_width] = {};
      for (int64_t i = 0; i < count; ++i) column_zeros[i] = int16_t(zeros.at(first + j + i));
      const auto* from = b + step * g.b_row_stride + (first + j) * g.b_column_stride;
      pack_panel(from, g.b_row_stride, g.b_column_stride, column_zeros, k, count, to);
    }
  });
}

struct Block {
  const int16_t* a;
  int64_t a_row;
  const int16_t* b;
  int32_t* c;
  int64_t c_row, pairs;
  int columns;
  bool accumulate;
};

template <int rows>
void multiply_block(const Block& p) {
  U32 sum[rows][2] = {};  // unsigned: sums wrap
  const int16_t *a = p.a, *b = p.b;
  for (int64_t i = 0; i < p.pairs; ++i, a += 2, b += 2 * panel_width) {
    I32 left, right;
    __builtin_memcpy(&left, b, sizeof left);
    __builtin_memcpy(&right, b + panel_width, sizeof right);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, a + r * p.a_row, 4);
      const I32 value = broadcast(pair);
      sum[r][0] += (U32)multiply_pairs(value, left);
      sum[r][1] += (U32)multiply_pairs(value, right);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const int n = p.columns - v * lanes;
      int32_t* c = p.c + r * p.c_row + v * lanes;
      if (n >= lanes) store(c, (I32)(p.accumulate ? sum[r][v] + (U32)load(c) : sum[r][v]));
      else if (n > 0) store_part(c, (I32)(p.accumulate ? sum[r][v] + (U32)load_part(c, n) : sum[r][v]), n);
    }
}

using BlockKernel = void (*)(const Block&);

template <int rows = block_rows>
BlockKernel block_kernel(int64_t wanted) {
  if constexpr (rows > 1) {
    if (wanted < rows) return block_kernel<rows - 1>(wanted);
  }
  return multiply_block<rows>;
}

int64_t packed_panel(int64_t k) { return round_up(k, 2) * panel_width; }

void run_tile(const GemmInt8& g, const Blocking& s, int64_t tile, int16_t* scratch) {
  const int64_t row = tile % s.m_tiles * s.m_tile, column = tile / s.m_tiles * s.n_tile;
  const int64_t rows = smaller(s.m_tile, g.m - row), columns = smaller(s.n_tile, g.n - column);
  int16_t* packed = scratch + round_up(s.m_tile * s.a_row, 32);
  for (int64_t step = 0;;) {
    const int64_t k = smaller(s.k_block, g.k - step);
    with_bytes(g.a, g.a_signed, [&](auto a) {
      copy_a(a + row * g.a_row_stride + step * g.a_column_stride, g.a_row_stride, g.a_column_stride,
             Zeros{g.a_zero, g.a_zero_stride, g.a_signed}, row, rows, k, scratch, s.a_row);
    });
    const int16_t* b = packed;
    int64_t panel_stride = packed_panel(k);
    if (g.packed_b) {
      panel_stride = packed_panel(g.k);
      b = static_cast<const int16_t*>(g.packed_b) + column / panel_width * panel_stride + step * panel_width;
    } else {
      pack_panels(g, column, columns, step, k, packed, panel_stride);
    }
    for (int64_t j = 0; j < columns; j += panel_width, b += panel_stride) {
      int64_t blocks = ceil_divide(rows, block_rows), count = 0;
      for (int64_t i = 0; i < rows; i += count, --blocks) {
        count = ceil_divide(rows - i, blocks);
        const Block p{.a = scratch + i * s.a_row, .a_row = s.a_row, .b = b,
                      .c = g.c + (row + i) * g.c_row_stride + column + j, .c_row = g.c_row_stride,
                      .pairs = (k + 1) / 2, .columns = int(smaller(panel_width, columns - j)), .accumulate = step > 0};
        block_kernel(count)(p);
      }
    }
    step += k;
    if (step >= g.k) return;
  }
}

int64_t tiles(const GemmInt8& g) {
  const Blocking s(g);
  return s.m_tiles * s.n_tiles;
}

size_t scratch_bytes(const GemmInt8& g) {
  const Blocking s(g);
  const int64_t b = g.packed_b ? 0 : s.k_block * s.n_tile;
  return size_t(round_up(s.m_tile * s.a_row, 32) + b) * sizeof(int16_t) + 64;
}

void run(const GemmInt8& g, int64_t begin, int64_t end, void* scratch) {
  const Blocking s(g);
  for (int64_t i = begin; i < end; ++i) run_tile(g, s, i, static_cast<int16_t*>(scratch));
}

size_t pack_bytes(const GemmInt8& g) {
  return size_t(ceil_divide(g.n, panel_width) * packed_panel(g.k)) * sizeof(int16_t);
}

void pack(const GemmInt8& g, void* packed) {
  pack_panels(g, 0, g.n, 0, g.k, static_cast<int16_t*>(packed), packed_panel(g.k));
}

}  // namespace

void OUTPOST_ISA::fill_gemm_int8(Kernels& table) {
  table.gemm_int8_tiles = tiles;
  table.gemm_int8_scratch_bytes = scratch_bytes;
  table.gemm_int8 = run;
  table.gemm_int8_pack_b_bytes = pack_bytes;
  table.gemm_int8_pack_b = pack;
}

}  // namespace outpost::kernels
