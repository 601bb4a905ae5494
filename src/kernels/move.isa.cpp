// Transposition and strided copies of elements of 1 to 16 bytes. A transposition goes through squares of registers, in
// blocks that keep both sides in L1; any other permutation is a run of copies or of transpositions over outer axes.
#include "kernels/shuffle.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

struct Wide {
  uint64_t low, high;
};

// The register whose square transposes elements of T: 16 bytes for the small ones (16 x 16 and 8 x 8).
template <class T>
struct Square {
  typedef T type __attribute__((vector_size(sizeof(T) < 4 ? 16 : vector_bytes)));
};

template <class T>
inline void transpose_scalar(const T* x, int64_t x_row, T* y, int64_t y_row, int64_t rows, int64_t columns) {
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t i = 0; i < rows; ++i) y[j * y_row + i] = x[i * x_row + j];
}

// One block; whole squares by register, the edges one by one.
template <class T>
void transpose_block(const T* x, int64_t x_row, T* y, int64_t y_row, int64_t rows, int64_t columns) {
  using V = typename Square<T>::type;
  constexpr int n = sizeof(V) / sizeof(T);
  int64_t i = 0;
  for (; i + n <= rows; i += n) {
    int64_t j = 0;
    for (; j + n <= columns; j += n) {
      V square[n];
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) __builtin_memcpy(&square[k], x + (i + k) * x_row + j, sizeof(V));
      transpose_square(square);
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) __builtin_memcpy(y + (j + k) * y_row + i, &square[k], sizeof(V));
    }
    transpose_scalar(x + i * x_row + j, x_row, y + j * y_row + i, y_row, n, columns - j);
  }
  transpose_scalar(x + i * x_row, x_row, y + i, y_row, rows - i, columns);
}

template <>
void transpose_block(const Wide* x, int64_t x_row, Wide* y, int64_t y_row, int64_t rows, int64_t columns) {
  transpose_scalar(x, x_row, y, y_row, rows, columns);
}

template <class T>
void transpose_all(const T* x, int64_t x_row, T* y, int64_t y_row, int64_t rows, int64_t columns) {
  constexpr int64_t block = 64;
  for (int64_t i = 0; i < rows; i += block)
    for (int64_t j = 0; j < columns; j += block)
      transpose_block(x + i * x_row + j, x_row, y + j * y_row + i, y_row, rows - i < block ? rows - i : block,
                      columns - j < block ? columns - j : block);
}

// Axes of extent 1 dropped, neighbours that step as one merged.
struct Axes {
  int64_t shape[32], strides[32];
  int rank = 0;
  bool empty = false;

  Axes(int given, const int64_t* given_shape, const int64_t* given_strides) {
    for (int i = 0; i < given; ++i) {
      empty |= given_shape[i] == 0;
      if (given_shape[i] == 1) continue;
      if (rank > 0 && strides[rank - 1] == given_shape[i] * given_strides[i]) {
        shape[rank - 1] *= given_shape[i];
        strides[rank - 1] = given_strides[i];
      } else {
        shape[rank] = given_shape[i];
        strides[rank++] = given_strides[i];
      }
    }
    if (rank == 0) shape[0] = 1, strides[0] = 1, rank = 1;
  }
};

// Calls body(x offset, y offset) for every index of the axes whose bit is not in `inner`.
template <class Body>
void for_outer(const Axes& a, uint32_t inner, Body body) {
  int64_t index[32] = {}, y_strides[32], x = 0, y = 0;
  int64_t step = 1;
  for (int i = a.rank; i-- > 0; step *= a.shape[i]) y_strides[i] = step;
  for (;;) {
    body(x, y);
    int i = a.rank - 1;
    for (; i >= 0; --i) {
      if (inner >> i & 1) continue;
      x += a.strides[i], y += y_strides[i];
      if (++index[i] < a.shape[i]) break;
      x -= a.strides[i] * a.shape[i], y -= y_strides[i] * a.shape[i];
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

template <class T>
void gather_runs(const Axes& a, const T* x, T* y) {
  const int last = a.rank - 1;
  const int64_t n = a.shape[last], stride = a.strides[last];
  for_outer(a, 1u << last, [=](int64_t from, int64_t to) {
    if (stride == 1 && n * int64_t(sizeof(T)) >= 64) {
      __builtin_memcpy(y + to, x + from, size_t(n) * sizeof(T));
    } else if (stride == 0) {
      for (int64_t i = 0; i < n; ++i) y[to + i] = x[from];
    } else {
      for (int64_t i = 0; i < n; ++i) y[to + i] = x[from + i * stride];
    }
  });
}

template <class T>
void gather(int rank, const int64_t* shape, const int64_t* strides, const void* from, void* to) {
  const Axes a(rank, shape, strides);
  if (a.empty) return;
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  const int last = a.rank - 1;
  int unit = last;
  if (a.strides[last] != 1)
    for (int i = 0; i < last; ++i)
      if (a.strides[i] == 1) unit = i;
  if (unit == last) return gather_runs(a, x, y);
  int64_t y_row = 1;
  for (int i = unit + 1; i <= last; ++i) y_row *= a.shape[i];
  for_outer(a, 1u << last | 1u << unit, [=, &a](int64_t x_at, int64_t y_at) {
    transpose_all(x + x_at, a.strides[last], y + y_at, y_row, a.shape[last], a.shape[unit]);
  });
}

template <class T>
void transpose_of(const void* x, int64_t x_row, void* y, int64_t y_row, int64_t rows, int64_t columns) {
  transpose_all(static_cast<const T*>(x), x_row, static_cast<T*>(y), y_row, rows, columns);
}

void transpose(int element_bytes, const void* x, int64_t x_row, void* y, int64_t y_row, int64_t rows, int64_t columns) {
  switch (element_bytes) {
    case 1: return transpose_of<uint8_t>(x, x_row, y, y_row, rows, columns);
    case 2: return transpose_of<uint16_t>(x, x_row, y, y_row, rows, columns);
    case 4: return transpose_of<float>(x, x_row, y, y_row, rows, columns);
    case 8: return transpose_of<double>(x, x_row, y, y_row, rows, columns);
    case 16: return transpose_of<Wide>(x, x_row, y, y_row, rows, columns);
  }
}

void gather_strided(int element_bytes, int rank, const int64_t* shape, const int64_t* strides, const void* x, void* y) {
  switch (element_bytes) {
    case 1: return gather<uint8_t>(rank, shape, strides, x, y);
    case 2: return gather<uint16_t>(rank, shape, strides, x, y);
    case 4: return gather<float>(rank, shape, strides, x, y);
    case 8: return gather<double>(rank, shape, strides, x, y);
    case 16: return gather<Wide>(rank, shape, strides, x, y);
  }
}

}  // namespace

void OUTPOST_ISA::fill_move(Kernels& table) {
  table.transpose = transpose;
  table.gather_strided = gather_strided;
}

}  // namespace outpost::kernels
