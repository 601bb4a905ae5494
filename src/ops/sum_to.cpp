// outpost.SumTo(x, shape): the adjoint of broadcasting: sums x over the axes along which `shape` would be repeated to
// give x's shape. Floats accumulate in f64, integers wrap in 64 bits.
//
// x is seen as (kept and reduced groups…, R, C): R the last reduced group, C the kept one after it (1 if there is none).
// A tile is one position of the outer kept groups and up to `tile_columns` columns; no tile is shared by threads.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t tile_columns = 512, buffer_elements = 1024;

void infer(InferContext& c) {
  std::vector<int64_t> shape;
  if (!c.integers(1, shape)) {
    if (c.ranked(1) && c.rank(1) == 1 && c.dims(1)[0].known() && c.dims(1)[0].size <= Shape::max_rank)
      return c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.dims(1)[0].size)));
    return c.output(0, c.dtype(0));
  }
  for (int64_t s : shape) c.require(s >= 0, "shape holds ", s, "; expected sizes");
  if (c.ranked(0)) {
    const int rank = c.rank(0), shift = rank - static_cast<int>(shape.size());
    c.require(shift >= 0, "shape has ", shape.size(), " dimensions for rank ", rank);
    for (int a = shift; a < rank; ++a) {
      const Dim d = c.dims(0)[a];
      c.require(!d.known() || shape[a - shift] == d.size || shape[a - shift] == 1, "axis ", a, " of size ", d.size, " does not sum to ", shape[a - shift]);
    }
  }
  c.output(0, c.dtype(0), Dims(shape.begin(), shape.end()));
}

struct Layout {
  Shape kept, kept_strides;        // outer groups
  Shape reduced, reduced_strides;
  int64_t rows = 1, columns = 1;   // R, C
};

Layout layout(const Shape& x, const Shape& y) {
  Shape extent, strides, keep;
  const int shift = x.rank() - y.rank();
  const Shape own = strides_of(x);
  for (int a = 0; a < x.rank(); ++a) {
    if (x[a] == 1) continue;
    const int64_t kept = a >= shift && y[a - shift] == x[a];
    if (!keep.empty() && keep.back() == kept) {
      extent[extent.rank() - 1] *= x[a];
      strides[extent.rank() - 1] = own[a];
    } else {
      extent.push_back(x[a]);
      strides.push_back(own[a]);
      keep.push_back(kept);
    }
  }
  Layout l;
  int last = extent.rank();
  if (last > 0 && keep[last - 1]) l.columns = extent[--last];
  if (last > 0) l.rows = extent[--last];
  for (int a = 0; a < last; ++a) {
    (keep[a] ? l.kept : l.reduced).push_back(extent[a]);
    (keep[a] ? l.kept_strides : l.reduced_strides).push_back(strides[a]);
  }
  return l;
}

template <class T>
void add_rows(const T* x, int64_t rows, int64_t columns, T* sums) {
  if (columns > 1) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) sums[j] += x[i * columns + j];
    return;
  }
  T part[4] = {};
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4)
    for (int k = 0; k < 4; ++k) part[k] += x[i + k];
  for (; i < rows; ++i) part[0] += x[i];
  sums[0] += (part[0] + part[1]) + (part[2] + part[3]);
}

template <class T>
void sum_tile(const View& x, View& y, const Layout& l, DType compute, int64_t outer, int64_t first, int64_t columns) {
  T sums[tile_columns] = {}, buffer[buffer_elements];
  const int64_t base = Odometer(l.kept, l.kept_strides, outer).offset() + first;
  const int64_t step = columns == l.columns ? std::max<int64_t>(1, buffer_elements / columns) : 1;
  Odometer reduced(l.reduced, l.reduced_strides, 0);
  for (int64_t i = l.reduced.count(); i > 0; --i, reduced.next())
    for (int64_t row = 0; row < l.rows; row += step) {
      const int64_t rows = std::min(step, l.rows - row);
      load(x.dtype, x.data, base + reduced.offset() + row * l.columns, rows * columns, compute, buffer);
      add_rows(buffer, rows, columns, sums);
    }
  store(compute, sums, columns, y.dtype, y.data, outer * l.columns + first);
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  if (x.count() == y.count()) return copy_view(ctx, x, y);
  const Layout l = layout(x.shape(), y.shape());
  DType compute = compute_type(x.dtype);
  if (compute == DType::f32) compute = DType::f64;
  if (compute != DType::f64 && compute != DType::i64 && compute != DType::u64) ctx.fail("cannot sum ", x.dtype);
  const int64_t across = (l.columns + tile_columns - 1) / tile_columns, tiles = l.kept.count() * across;
  const int64_t work = std::max<int64_t>(1, x.count() / std::max<int64_t>(1, tiles));
  ctx.parallel_ranges(tiles, std::max<int64_t>(1, 32768 / work), [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile % across * tile_columns, columns = std::min(tile_columns, l.columns - first);
      if (compute == DType::f64) sum_tile<double>(x, y, l, compute, tile / across, first, columns);
      else sum_tile<uint64_t>(x, y, l, compute, tile / across, first, columns);
    }
  });
}

void gradient(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.emit("Expand", {g.grad(), g.emit("Shape", {g.in(0)})}));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_SumTo, .name = "SumTo", .domain = "outpost", .min_inputs = 2, .max_inputs = 2,
                  .doc = "Sums down to a shape that broadcasts to the input's: the gradient of broadcasting.", .infer = infer,
                  .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3,4] i64[2]={3,1}
                    | f32[2,3,4] i64[3]={2,1,4}
                    | f32[5,700] i64[1]={700}
                    | f32[2,3] i64[0]={}
                    | f32[0,3] i64[2]={1,3}
                    | f32[2,3] i64[2]={2,3})");

}  // namespace outpost
