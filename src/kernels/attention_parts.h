// Pieces of attention: reading storage types, copies of keys and values in the order in which products read them, and
// the two products of a few query rows.
//
// Registers hold `block_rows` rows of `panel` columns of the result. Keys are packed as panels (size, panel) of the
// transposed matrix, values as panels (keys, panel). The left operand (queries, then weights) has a row stride known at
// compile time, so that its elements are broadcast from one address with displacements.
#pragma once

#include "kernels/attention.h"
#include "kernels/half.h"
#include "kernels/shuffle.h"

namespace outpost::kernels {
namespace {

#if defined(OUTPOST_ISA_avx512)
constexpr int block_rows = 12, panel_vectors = 2;  // 24 sums, 2 columns, of 32 registers
#elif defined(OUTPOST_ISA_avx2)
constexpr int block_rows = 6, panel_vectors = 2;  // 12, 2, of 16
#elif defined(__aarch64__)
constexpr int block_rows = 4, panel_vectors = 4;  // 16, 4, of 32
#else
constexpr int block_rows = 4, panel_vectors = 2;  // 8, 2, of 16
#endif
constexpr int panel = panel_vectors * lanes;
constexpr int64_t key_block = 256;                 // keys whose scores are held at once
constexpr int64_t size_block = 128;                // columns of queries multiplied at once
constexpr int score_stride = int(key_block) + 16;  // rows do not fall on the same cache sets
constexpr int query_stride = int(size_block) + 16;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t whole_steps(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

struct PlainRow {
  const float* p;
  PlainRow at(int64_t i) const { return {p + i}; }
  F32 vector() const { return load(p); }
  F32 part(int64_t n) const { return load_part(p, n); }
};
template <F32 (*widen)(Half)>
struct HalfRow {
  const uint16_t* p;
  HalfRow at(int64_t i) const { return {p + i}; }
  F32 vector() const { return widen(load_half(p)); }
  F32 part(int64_t n) const { return widen(load_half_part(p, n)); }
};

// body(reader of the side's elements from `offset` on)
template <class Body>
inline void with_rows(const AttentionSide& s, int64_t offset, Body body) {
  if (s.type == FloatType::f16) body(HalfRow<from_f16>{static_cast<const uint16_t*>(s.data) + offset});
  else if (s.type == FloatType::bf16) body(HalfRow<from_bf16>{static_cast<const uint16_t*>(s.data) + offset});
  else body(PlainRow{static_cast<const float*>(s.data) + offset});
}

template <class Row>
inline F32 up_to(Row row, int64_t n) {
  return n >= lanes ? row.vector() : row.part(n);
}

// Panels (size, panel) of the transposed keys; columns past `count` are zero.
template <class Row>
void pack_keys(Row keys, int64_t row, int64_t count, int64_t size, float* to) {
  for (int64_t first = 0; first < count; first += panel, to += size * panel)
    for (int half = 0; half < panel_vectors; ++half) {
      const int64_t key = first + half * lanes, n = least(lanes, count - key);
      for (int64_t c = 0; c < size; c += lanes) {
        const int64_t wide = least(lanes, size - c);
        F32 square[lanes];
        for (int i = 0; i < lanes; ++i) square[i] = i < n ? up_to(keys.at((key + i) * row + c), wide) : F32{};
        transpose_square(square);
        for (int i = 0; i < wide; ++i) store(to + (c + i) * panel + half * lanes, square[i]);
      }
    }
}

// Panels (count, panel) of the values; columns past `size` are zero.
template <class Row>
void pack_values(Row values, int64_t row, int64_t count, int64_t size, float* to) {
  for (int64_t first = 0; first < size; first += panel)
    for (int64_t key = 0; key < count; ++key, to += panel)
      for (int v = 0; v < panel_vectors; ++v) {
        const int64_t c = first + v * lanes;
        store(to + v * lanes, c < size ? up_to(values.at(key * row + c), size - c) : F32{});
      }
}

#define OUTPOST_EACH_SUM                                  \
  _Pragma("GCC unroll 16") for (int r = 0; r < rows; ++r) \
      _Pragma("GCC unroll 16") for (int v = 0; v < vectors; ++v)

// sum[r][v] = over k of a[r * a_stride + k] * b[k * panel + v * lanes ...]
template <int rows, int vectors, int a_stride>
inline void multiply(const float* a, const float* b, int64_t k, F32 (&sum)[rows][vectors]) {
  OUTPOST_EACH_SUM sum[r][v] = F32{};
#pragma GCC unroll 2
  for (; k > 0; --k, ++a, b += panel) {
    F32 column[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) column[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const F32 x = broadcast(a[r * a_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] += x * column[v];
    }
  }
}

// Scores of some rows with a panel of keys, added to what is there where the queries come in several blocks.
template <int rows, int vectors>
void panel_scores(const float* q, const float* keys, int64_t size, float* scores, bool add) {
  F32 sum[rows][vectors];
  multiply<rows, vectors, query_stride>(q, keys, size, sum);
  if (add) {
    OUTPOST_EACH_SUM sum[r][v] += load(scores + r * score_stride + v * lanes);
  }
  OUTPOST_EACH_SUM store(scores + r * score_stride + v * lanes, sum[r][v]);
}

// sums = sums * shrink[row] + weights V for a panel of columns; shrink null: sums start here.
template <int rows, int vectors>
void panel_values(const float* weights, const float* values, int64_t keys, float* sums, int64_t sum_stride,
                  const float* shrink) {
  F32 sum[rows][vectors];
  multiply<rows, vectors, score_stride>(weights, values, keys, sum);
  if (shrink) {
    OUTPOST_EACH_SUM sum[r][v] += load(sums + r * sum_stride + v * lanes) * shrink[r];
  }
  OUTPOST_EACH_SUM store(sums + r * sum_stride + v * lanes, sum[r][v]);
}

using ScoreKernel = void (*)(const float* q, const float* keys, int64_t size, float* scores, bool add);
using ValueKernel = void (*)(const float* weights, const float* values, int64_t keys, float* sums, int64_t sum_stride,
                             const float* shrink);
struct RowKernels {
  ScoreKernel scores[2];  // one register of columns, a whole panel
  ValueKernel values[2];
};

template <int rows = block_rows>
inline RowKernels kernels_for(int wanted) {
  if constexpr (rows > 1) {
    if (wanted < rows) return kernels_for<rows - 1>(wanted);
  }
  return {{panel_scores<rows, 1>, panel_scores<rows, panel_vectors>},
          {panel_values<rows, 1>, panel_values<rows, panel_vectors>}};
}

// ---- Few rows: keys and values are read where they lie, once.

// scores[r][j] = q(r) . key(j), a register of keys at a time.
template <int rows, class Row>
void row_scores(const float* q, int64_t q_stride, Row keys, int64_t row, int64_t count, int64_t size, float* scores) {
  constexpr int together = rows > 2 ? 4 : 8;
  for (int64_t first = 0; first < count; first += lanes) {
    const int64_t n = least(lanes, count - first);
    F32 dots[rows][lanes] = {};
    for (int64_t key = 0; key < n; key += together) {
      F32 sum[rows][together] = {};
      for (int64_t c = 0; c < size; c += lanes) {
        F32 x[rows];
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) x[r] = load(q + r * q_stride + c);
#pragma GCC unroll 8
        for (int j = 0; j < together; ++j) {
          const F32 y = up_to(keys.at((first + least(key + j, n - 1)) * row + c), size - c);
#pragma GCC unroll 4
          for (int r = 0; r < rows; ++r) sum[r][j] += x[r] * y;
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < together && key + j < lanes; ++j) dots[r][key + j] = sum[r][j];
    }
    for (int r = 0; r < rows; ++r) {
      transpose_square(dots[r]);
      F32 sum = {};
      for (int i = 0; i < lanes; ++i) sum += dots[r][i];
      store(scores + r * score_stride + first, sum);
    }
  }
}

// sums = sums * shrink[row] + weights V, four registers of columns at a time.
template <int rows, class Row>
void row_values(const float* weights, Row values, int64_t row, int64_t keys, int64_t size, float* sums,
                int64_t sum_stride, const float* shrink) {
  constexpr int vectors = 4;
  for (int64_t first = 0; first < size; first += vectors * lanes) {
    const int64_t wide = size - first;
    F32 sum[rows][vectors] = {};
    const auto add = [&](int64_t j, auto read) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const F32 y = read(values.at(j * row + first + v * lanes), wide - v * lanes);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) sum[r][v] += broadcast(weights[r * score_stride + j]) * y;
      }
    };
    if (wide >= vectors * lanes)
      for (int64_t j = 0; j < keys; ++j) add(j, [](Row x, int64_t) { return x.vector(); });
    else
      for (int64_t j = 0; j < keys; ++j) add(j, [](Row x, int64_t n) { return n > 0 ? up_to(x, n) : F32{}; });
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors && v * lanes < wide; ++v) {
        float* to = sums + r * sum_stride + first + v * lanes;
        store(to, shrink ? load(to) * shrink[r] + sum[r][v] : sum[r][v]);
      }
  }
}

#undef OUTPOST_EACH_SUM

}  // namespace
}  // namespace outpost::kernels
