// ArgMax and ArgMin: where along an axis the largest (smallest) element is; the first of equals, or the last. NaN counts
// as both largest and smallest, as in numpy.
//
// x is (outer, n, inner). A tile is up to `tile` neighbours in inner, followed along n: any axis reads memory in order.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t tile = 256;

void infer(InferContext& c) {
  c.require(c.dtype(0) != DType::string && c.dtype(0) != DType::boolean, "input is ", c.dtype(0), "; expected numbers");
  const bool keep = c.attributes().integer("keepdims", 1) != 0;
  if (!c.ranked(0)) return c.output(0, DType::i64);
  const int rank = c.rank(0);
  Dims dims = c.dims(0);
  if (rank > 0 || c.attributes().integer("axis", 0) != 0) {
    const int axis = c.axis(c.attributes().integer("axis", 0), rank);
    if (keep) dims[axis] = 1;
    else dims.erase(dims.begin() + axis);
  }
  c.output(0, DType::i64, std::move(dims));
}

template <class T>
bool beats(T candidate, T best, bool smallest, bool last) {
  if (best != best) return last && candidate != candidate;
  if (candidate != candidate) return true;
  if (smallest) return last ? candidate <= best : candidate < best;
  return last ? candidate >= best : candidate > best;
}

struct Search {
  const View& x;
  DType compute;
  int64_t n, inner;
  bool smallest, last;
};

// `count` columns from `first` of one outer position.
template <class T>
void search_columns(const Search& s, int64_t outer, int64_t first, int64_t count, int64_t* y) {
  T best[tile], buffer[tile];
  for (int64_t j = 0; j < s.n; ++j) {
    const int64_t at = (outer * s.n + j) * s.inner + first;
    load(s.x.dtype, s.x.data, at, count, s.compute, j == 0 ? best : buffer);
    if (j == 0) std::fill(y, y + count, 0);
    else
      for (int64_t i = 0; i < count; ++i)
        if (beats(buffer[i], best[i], s.smallest, s.last)) best[i] = buffer[i], y[i] = j;
  }
}

template <class T>
int64_t search_row(const Search& s, int64_t outer) {
  T buffer[tile];
  T best{};
  int64_t where = 0;
  for (int64_t j = 0; j < s.n; j += tile) {
    const int64_t count = std::min(tile, s.n - j);
    load(s.x.dtype, s.x.data, outer * s.n + j, count, s.compute, buffer);
    if (j == 0) best = buffer[0];
    for (int64_t i = j == 0 ? 1 : 0; i < count; ++i)
      if (beats(buffer[i], best, s.smallest, s.last)) best = buffer[i], where = j + i;
  }
  return where;
}

template <class T>
void search(RunContext& ctx, const Search& s, int64_t outer, int64_t* y) {
  const int64_t across = (s.inner + tile - 1) / tile;
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, s.n * std::min(tile, s.inner)));
  ctx.parallel_ranges(outer * across, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (s.inner == 1) {
        y[i] = search_row<T>(s, i);
        continue;
      }
      const int64_t first = i % across * tile;
      search_columns<T>(s, i / across, first, std::min(tile, s.inner - first), y + i / across * s.inner + first);
    }
  });
}

void run(RunContext& ctx, bool smallest) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  if (y.count() == 0) return;
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  const bool scalar = x.rank() == 0;
  const Search s{x, compute_type(x.dtype), scalar ? 1 : x.dim(axis), scalar ? 1 : x.shape().count(axis + 1, x.rank()), smallest,
                 ctx.attributes().integer("select_last_index", 0) != 0};
  ctx.require(s.n > 0, "axis ", axis, " is empty: it has no largest or smallest element");
  const int64_t outer = scalar ? 1 : x.shape().count(0, axis);
  switch (s.compute) {
    case DType::f32: return search<float>(ctx, s, outer, y.as<int64_t>());
    case DType::f64: return search<double>(ctx, s, outer, y.as<int64_t>());
    case DType::i64: return search<int64_t>(ctx, s, outer, y.as<int64_t>());
    case DType::u64: return search<uint64_t>(ctx, s, outer, y.as<int64_t>());
    default: ctx.fail(x.dtype, " has no order");
  }
}

void run_max(RunContext& ctx) { run(ctx, false); }
void run_min(RunContext& ctx) { run(ctx, true); }

}  // namespace

OUTPOST_DEFINE_OP(ArgMax, .name = "ArgMax", .since = 13, .first = 1, .doc = "The index of the largest element of an axis.",
                  .infer = infer, .run = run_max, .no_gradient = "integer output",
                  .cases = R"(
                    | f32[3,4]
                    axis=-1 keepdims=0 | f32[2,300]
                    axis=1 select_last_index=1 | i32[2,3,2]={1,1,2,1,2,0,3,3,3,3,1,3}
                    axis=1 | f32[0,4])");

OUTPOST_DEFINE_OP(ArgMin, .name = "ArgMin", .since = 13, .first = 1, .doc = "The index of the smallest element of an axis.",
                  .infer = infer, .run = run_min, .no_gradient = "integer output",
                  .cases = R"(
                    | f32[3,4]
                    axis=-1 keepdims=0 | f32[2,300]
                    axis=0 select_last_index=1 | u8[3,2]={1,1,0,1,0,4}
                    axis=1 | f32[0,4])");

}  // namespace outpost
