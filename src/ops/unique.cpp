// Unique: the distinct elements (or slices of an axis), where each first occurs, which one every element is, how often.
// https://onnx.ai/onnx/operators/onnx__Unique.html
//
// Rows (an element each, or a slice as one row) are sorted by content, then index: equal ones stand together, the first
// occurrence first. NaNs are equal to each other and last, as in numpy. Complex numbers order by real, then imaginary.
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  Dims dims(1);
  bool ranked = true;
  if (c.attributes().has("axis")) {
    ranked = c.ranked(0);
    if (ranked) {
      dims = c.dims(0);
      dims[c.axis(c.attributes().integer("axis", 0), c.rank(0))] = Dim();
    }
  }
  if (ranked) c.output(0, c.dtype(0), std::move(dims));
  else c.output(0, c.dtype(0));
  for (int i = 1; i < 4; ++i) c.output(i, DType::i64, Dims(1));
}

// The input as rows: (outer, rows, inner), each row outer·inner elements.
struct Rows {
  int64_t outer = 1, rows, inner = 1;
  int64_t width() const { return outer * inner; }
};

Rows rows_of(const RunContext& ctx) {
  const Shape& x = ctx.in(0).shape();
  if (!ctx.attributes().has("axis")) return {1, x.count(), 1};
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  return {x.count(0, axis), x[axis], x.count(axis + 1, x.rank())};
}

template <class T>
int compare(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a || b != b) return int(a != a) - int(b != b);
  }
  return a < b ? -1 : b < a ? 1 : 0;
}

template <class T>
int compare_rows(const T* keys, int64_t width, int64_t i, int64_t j) {
  for (int64_t k = 0; k < width; ++k)
    if (int order = compare(keys[i * width + k], keys[j * width + k])) return order;
  return 0;
}

// Sorted by content then index into `order`; `group[row]` counts distinct rows in sorted order. Returns how many.
template <class T>
int64_t group_rows(const T* keys, int64_t width, int64_t rows, int64_t* order, int64_t* group) {
  for (int64_t i = 0; i < rows; ++i) order[i] = i;
  std::sort(order, order + rows, [&](int64_t i, int64_t j) {
    const int c = compare_rows(keys, width, i, j);
    return c < 0 || (c == 0 && i < j);
  });
  int64_t groups = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (i > 0 && compare_rows(keys, width, order[i - 1], order[i]) != 0) ++groups;
    group[order[i]] = groups;
  }
  return rows > 0 ? groups + 1 : 0;
}

// The rows as contiguous keys of a type that compares.
int64_t group_input(RunContext& ctx, const Rows& r, int64_t* order, int64_t* group) {
  const View& x = ctx.in(0);
  const int64_t count = x.count(), width = r.width();
  const void* data = whole_bytes(ctx, x);
  const bool move = r.outer > 1 && r.rows > 1;
  auto by_rows = [&](DType dtype, const void* from, void* to) {
    copy_strided(ctx, dtype, {r.rows, r.outer, r.inner}, from, {r.inner, r.rows * r.inner, 1}, to, {width, r.inner, 1});
  };
  if (x.dtype == DType::string) {
    std::vector<std::string> moved;
    if (move) by_rows(x.dtype, data, (moved.resize(static_cast<size_t>(count)), moved.data()));
    return group_rows(move ? moved.data() : static_cast<const std::string*>(data), width, r.rows, order, group);
  }
  const int64_t parts = x.dtype == DType::complex64 || x.dtype == DType::complex128 ? 2 : 1;
  const DType plain = x.dtype == DType::complex64 ? DType::f32 : x.dtype == DType::complex128 ? DType::f64 : x.dtype;
  if (move) {
    void* moved = ctx.temporary(static_cast<size_t>(count * element_bytes(x.dtype)));
    by_rows(x.dtype, data, moved);
    data = moved;
  }
  DType key = compute_type(plain);
  if (key == DType::f32) key = DType::f64;
  if (is_packed(plain)) ctx.fail("no distinct elements of ", plain, " can be found");
  void* keys = ctx.temporary(static_cast<size_t>(count * parts) * 8);
  load(plain, data, 0, count * parts, key, keys);
  if (key == DType::f64) return group_rows(static_cast<const double*>(keys), width * parts, r.rows, order, group);
  if (key == DType::i64) return group_rows(static_cast<const int64_t*>(keys), width, r.rows, order, group);
  return group_rows(static_cast<const uint64_t*>(keys), width, r.rows, order, group);
}

void run(RunContext& ctx) {
  const View& x = ctx.in(0);
  const Rows r = rows_of(ctx);
  auto list = [&](int64_t n) { return static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(n) * sizeof(int64_t))); };
  int64_t *order = list(r.rows), *group = list(r.rows);
  const int64_t groups = group_input(ctx, r, order, group);
  int64_t *first = list(groups), *counts = list(groups), *rank = list(groups);  // rank: of a group in the output
  std::fill(first, first + groups, r.rows);
  std::fill(counts, counts + groups, 0);
  for (int64_t i = 0; i < r.rows; ++i) {
    first[group[i]] = std::min(first[group[i]], i);
    ++counts[group[i]];
  }
  int64_t* shown = order;  // the groups in output order
  for (int64_t g = 0; g < groups; ++g) shown[g] = g;
  if (ctx.attributes().integer("sorted", 1) == 0) std::sort(shown, shown + groups, [&](int64_t a, int64_t b) { return first[a] < first[b]; });
  for (int64_t g = 0; g < groups; ++g) rank[shown[g]] = g;
  auto fill = [&](int output, int64_t n, auto&& value) {
    if (!ctx.wants(output)) return;
    int64_t* y = produce(ctx, output, {n}).as<int64_t>();
    for (int64_t i = 0; i < n; ++i) y[i] = value(i);
  };
  fill(1, groups, [&](int64_t g) { return first[shown[g]]; });
  fill(2, r.rows, [&](int64_t i) { return rank[group[i]]; });
  fill(3, groups, [&](int64_t g) { return counts[shown[g]]; });
  if (!ctx.wants(0)) return;
  Shape shape{groups};
  if (ctx.attributes().has("axis")) {
    shape = x.shape();
    const int64_t axis = ctx.attributes().integer("axis", 0);
    shape[static_cast<int>(axis < 0 ? axis + x.rank() : axis)] = groups;
  }
  View& y = produce(ctx, 0, shape);
  gather_blocks(ctx, x.dtype, r.inner, r.outer * groups, x.data, y.data, [&](int64_t begin, int64_t end, int64_t* at) {
    for (int64_t i = begin; i < end; ++i) at[i - begin] = i / groups * r.rows + first[shown[i % groups]];
  });
}

}  // namespace

OUTPOST_DEFINE_OP(Unique, .name = "Unique", .since = 28, .first = 11, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, .max_outputs = 4,
                  .doc = "The distinct elements or slices.", .infer = infer, .run = run,
                  .no_gradient = "which of several equal elements is taken is arbitrary",
                  .cases = R"(
                    | f32[6]={2,1,1,3,4,3}
                    sorted=0 | i64[2,3]={5,2,5,0,2,7}
                    axis=-1 | f32[2,4]={1,0,1,1,2,2,2,3}
                    | f32[0])");

}  // namespace outpost
