// The two moves that do the work (a plane of two axes with any strides; a blocked transpose), one pair an element size,
// and how a copy of any rank is cut into them. Units depend on the shape only; each is small enough to balance threads.
#include "ops/movement.h"

#include <algorithm>
#include <cstring>

namespace outpost {
namespace {

constexpr int64_t unit_elements = 32768;  // of one tile of work: ~100 us of one core at worst, some L1 caches at best

struct Wide {
  uint64_t low, high;
};

// rows × columns of elements, any strides.
struct Plane {
  int64_t rows, columns, x_row, x_column, y_row, y_column;
};

template <class T>
void move_plane(const Plane& p, const void* from, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  for (int64_t i = 0; i < p.rows; ++i, x += p.x_row, y += p.y_row) {
    if (p.x_column == 1 && p.y_column == 1) {
      if constexpr (std::is_trivially_copyable_v<T>) {
        if (p.columns * sizeof(T) >= 32) {
          std::memcpy(y, x, static_cast<size_t>(p.columns) * sizeof(T));
          continue;
        }
      }
      for (int64_t j = 0; j < p.columns; ++j) y[j] = x[j];
    } else if (p.x_column == 0 && p.y_column == 1) {
      const T value = *x;
      std::fill(y, y + p.columns, value);
    } else {
      for (int64_t j = 0; j < p.columns; ++j) y[j * p.y_column] = x[j * p.x_column];
    }
  }
}

// x has unit row stride, y unit column stride: squares of `side` keep both within L1 lines.
template <class T>
void move_transposed(const Plane& p, const void* from, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  constexpr int64_t side = sizeof(T) >= 8 ? 8 : 16;
  for (int64_t i0 = 0; i0 < p.rows; i0 += side) {
    const int64_t i1 = std::min(p.rows, i0 + side);
    for (int64_t j0 = 0; j0 < p.columns; j0 += side) {
      const int64_t j1 = std::min(p.columns, j0 + side);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t j = j0; j < j1; ++j) y[i * p.y_row + j] = x[i + j * p.x_column];
    }
  }
}

using Move = void (*)(const Plane&, const void*, void*);

template <class T>
Move move_for(const Plane& p) {
  return p.x_row == 1 && p.y_column == 1 && p.x_column != 1 ? &move_transposed<T> : &move_plane<T>;
}

Move choose(DType dtype, const Plane& p) {
  if (dtype == DType::string) return &move_plane<std::string>;
  switch (element_bytes(dtype)) {
    case 1: return move_for<uint8_t>(p);
    case 2: return move_for<uint16_t>(p);
    case 4: return move_for<uint32_t>(p);
    case 8: return move_for<uint64_t>(p);
    default: return move_for<Wide>(p);
  }
}

// Axes in the order of y, 1-extents dropped, neighbours that step alike in x and y merged.
struct Axes {
  Shape extent, x, y;
  bool empty = false;

  Axes(const Shape& extent_in, const Shape& x_in, const Shape& y_in) {
    for (int a = 0; a < extent_in.rank(); ++a) {
      const int64_t n = extent_in[a];
      if (n == 0) empty = true;
      if (n == 1) continue;
      const int last = extent.rank() - 1;
      if (last >= 0 && x[last] == x_in[a] * n && y[last] == y_in[a] * n) {
        extent[last] *= n;
        x[last] = x_in[a];
        y[last] = y_in[a];
      } else {
        extent.push_back(n);
        x.push_back(x_in[a]);
        y.push_back(y_in[a]);
      }
    }
  }
  void drop(int axis) {
    extent.erase(axis);
    x.erase(axis);
    y.erase(axis);
  }
};

// Takes the plane out of the axes: columns along y's unit stride, rows along x's when that is another axis.
Plane take_plane(Axes& axes) {
  Plane p{1, 1, 0, 1, 0, 1};
  int column = axes.extent.rank() - 1;
  if (column < 0) return p;
  for (int a = column; a >= 0; --a)
    if (axes.y[a] == 1) {
      column = a;
      break;
    }
  int row = -1;
  if (axes.x[column] != 1)
    for (int a = 0; a < axes.extent.rank(); ++a)
      if (a != column && axes.x[a] == 1) row = a;
  p.columns = axes.extent[column];
  p.x_column = axes.x[column];
  p.y_column = axes.y[column];
  axes.drop(column);
  if (row > column) --row;
  if (row < 0) row = axes.extent.rank() - 1;
  if (row < 0) return p;
  p.rows = axes.extent[row];
  p.x_row = axes.x[row];
  p.y_row = axes.y[row];
  axes.drop(row);
  return p;
}

Plane part(const Plane& p, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  Plane q = p;
  q.rows = std::min(rows, p.rows - row);
  q.columns = std::min(columns, p.columns - column);
  return q;
}

}  // namespace

int64_t element_bytes(DType dtype) noexcept { return std::max(bits(dtype) / 8, 1); }

Shape strides_of(const Shape& shape) {
  Shape strides;
  strides.resize(shape.rank());
  int64_t step = 1;
  for (int a = shape.rank() - 1; a >= 0; --a) {
    strides[a] = step;
    step *= shape[a];
  }
  return strides;
}

void copy_strided(const RunContext& ctx, DType dtype, const Shape& extent, const void* x, const Shape& x_strides, void* y,
                  const Shape& y_strides) {
  Axes axes(extent, x_strides, y_strides);
  if (axes.empty) return;
  const Plane plane = take_plane(axes);
  const Move move = choose(dtype, plane);
  const int64_t outer = axes.extent.count();
  const int64_t step = element_bytes(dtype);
  const char* from = static_cast<const char*>(x);
  char* to = static_cast<char*>(y);
  if (outer * plane.rows * plane.columns <= unit_elements) {
    Odometer xi(axes.extent, axes.x, 0), yi(axes.extent, axes.y, 0);
    for (int64_t i = 0; i < outer; ++i, xi.next(), yi.next()) move(plane, from + xi.offset() * step, to + yi.offset() * step);
    return;
  }
  const int64_t columns = std::min(plane.columns, unit_elements);
  const int64_t rows = std::min(plane.rows, std::max<int64_t>(1, unit_elements / columns));
  const int64_t across = (plane.columns + columns - 1) / columns, down = (plane.rows + rows - 1) / rows;
  const int64_t grain = std::max<int64_t>(1, unit_elements / (rows * columns));
  ctx.parallel_ranges(outer * down * across, grain, [&](int64_t begin, int64_t end) {
    int64_t unit = begin % (down * across);
    Odometer xi(axes.extent, axes.x, begin / (down * across)), yi(axes.extent, axes.y, begin / (down * across));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = unit / across * rows, column = unit % across * columns;
      move(part(plane, row, rows, column, columns),
           from + (xi.offset() + row * plane.x_row + column * plane.x_column) * step,
           to + (yi.offset() + row * plane.y_row + column * plane.y_column) * step);
      if (++unit == down * across) {
        unit = 0;
        xi.next();
        yi.next();
      }
    }
  });
}

void copy_elements(const RunContext& ctx, DType dtype, const void* x, void* y, int64_t count) {
  if (x != y) copy_strided(ctx, dtype, {count}, x, {1}, y, {1});
}

void copy_view(const RunContext& ctx, const View& x, const View& y) {
  if (is_packed(x.dtype)) copy_elements(ctx, DType::u8, x.data, y.data, static_cast<int64_t>(x.bytes()));
  else copy_elements(ctx, x.dtype, x.data, y.data, x.count());
}

void fill_elements(const RunContext& ctx, DType dtype, const void* value, void* y, int64_t count) {
  copy_strided(ctx, dtype, {count}, value, {0}, y, {1});
}

Odometer::Odometer(const Shape& extent, const Shape& strides, int64_t position) : extent_(extent), strides_(strides) {
  index_.resize(extent.rank(), 0);
  for (int a = extent.rank() - 1; a >= 0 && position > 0; --a) {
    index_[a] = position % extent[a];
    position /= extent[a];
    offset_ += index_[a] * strides[a];
  }
}

Cost movement_cost(const CostContext& c) {
  Cost cost;
  for (const Type* t : c.outputs)
    if (t && t->is_tensor() && t->dtype != DType::undefined) cost.bytes += 2 * c.count(*t) * bits(t->dtype) / 8.0;
  return cost;
}

}  // namespace outpost
