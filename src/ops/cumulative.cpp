// CumSum and CumProd: running sums and products along an axis, in order (so results do not depend on threads).
#include <algorithm>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

struct Direction {
  bool exclusive, reverse;
};
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Direction>(
      Direction{c.attributes().integer("exclusive", 0) != 0, c.attributes().integer("reverse", 0) != 0});
}

template <class T>
using Wrapping = std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, T>;
struct Plus {
  template <class T>
  static T apply(T a, T b) { return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b)); }
  static constexpr int start = 0;
};
struct Times {
  template <class T>
  static T apply(T a, T b) { return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b)); }
  static constexpr int start = 1;
};

// One tile of `lanes` running values, moved by one step of x.
template <class Op, class T>
void step(T* running, T* x, int64_t lanes, bool exclusive) {
  for (int64_t i = 0; i < lanes; ++i) {
    const T before = running[i];
    running[i] = Op::apply(before, x[i]);
    x[i] = exclusive ? before : running[i];
  }
}

// (outer, length, inner): lanes of `inner` go together.
template <class Op, class T>
void scan_lanes(const View& x, View& y, int64_t outer, int64_t first, int64_t lanes, int64_t length, int64_t inner,
                Direction d) {
  T running[elementwise_tile], values[elementwise_tile];
  std::fill_n(running, lanes, T(Op::start));
  for (int64_t t = 0; t < length; ++t) {
    const int64_t at = (outer * length + (d.reverse ? length - 1 - t : t)) * inner + first;
    load_tile(x.dtype, x.data, at, lanes, dtype_of<T>(), values);
    step<Op>(running, values, lanes, d.exclusive);
    store_tile(dtype_of<T>(), values, lanes, y.dtype, y.data, at);
  }
}

// inner = 1: along contiguous memory, a tile at a time.
template <class Op, class T>
void scan_row(const View& x, View& y, int64_t row, int64_t length, Direction d) {
  T running = T(Op::start), values[elementwise_tile];
  for (int64_t done = 0; done < length; done += elementwise_tile) {
    const int64_t n = std::min(elementwise_tile, length - done);
    const int64_t at = row * length + (d.reverse ? length - done - n : done);
    load_tile(x.dtype, x.data, at, n, dtype_of<T>(), values);
    for (int64_t i = 0; i < n; ++i) step<Op>(&running, values + (d.reverse ? n - 1 - i : i), 1, d.exclusive);
    store_tile(dtype_of<T>(), values, n, y.dtype, y.data, at);
  }
}

template <class Op, class T>
void scan(RunContext& c, int axis) {
  const View& x = c.in(0);
  View& y = c.out(0);
  const auto d = c.prepared<Direction>();
  const int64_t outer = x.shape().count(0, axis), length = x.dim(axis), inner = x.shape().count(axis + 1, x.rank());
  if (x.count() == 0) return;
  if (inner == 1) {
    const int64_t rows = std::max<int64_t>(1, elementwise_grain / length);
    return c.parallel_ranges(outer, rows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) scan_row<Op, T>(x, y, row, length, d);
    });
  }
  const int64_t chunks = (inner + elementwise_tile - 1) / elementwise_tile;
  c.parallel_ranges(
      outer * chunks, std::max<int64_t>(1, elementwise_grain / (length * std::min(inner, elementwise_tile))),
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t first = i % chunks * elementwise_tile;
          scan_lanes<Op, T>(x, y, i / chunks, first, std::min(elementwise_tile, inner - first), length, inner, d);
        }
      });
}

template <class Op>
void run(RunContext& c) {
  int64_t axis;
  c.require(c.in(1).count() == 1, "axis has shape ", c.in(1).shape(), "; expected a scalar");
  load(c.in(1).dtype, c.in(1).data, 0, 1, DType::i64, &axis);
  const int rank = c.in(0).rank();
  c.require(axis >= -rank && axis < rank, "axis ", axis, " is outside rank ", rank);
  if (axis < 0) axis += rank;
  switch (compute_type(c.in(0).dtype)) {
    case DType::f32: return scan<Op, float>(c, static_cast<int>(axis));
    case DType::f64: return scan<Op, double>(c, static_cast<int>(axis));
    case DType::i64: return scan<Op, int64_t>(c, static_cast<int>(axis));
    default: return scan<Op, uint64_t>(c, static_cast<int>(axis));
  }
}

void infer(InferContext& c) {
  require_types(c, 0, floats | integers);
  c.require_dtype(1, {DType::i32, DType::i64});
  std::vector<int64_t> axis;
  if (c.integers(1, axis) && c.ranked(0)) {
    c.require(axis.size() == 1, "axis has ", axis.size(), " values; expected one");
    c.axis(axis[0], c.rank(0));
  }
  c.output(0, c.input(0));
}

Value* reversed_sum(GradientContext& c, Value* x) {
  const auto& a = c.attributes();
  const int64_t reverse = a.integer("reverse", 0) == 0;
  return c.emit("CumSum", {x, c.in(1)}, {{"reverse", reverse}, {"exclusive", a.integer("exclusive", 0)}});
}
void gradient_sum(GradientContext& c) { c.set(0, reversed_sum(c, c.grad())); }
// Every product that holds x_j is y_i, of which x_j is a factor; x is not 0.
void gradient_product(GradientContext& c) { c.set(0, c.div(reversed_sum(c, c.mul(c.grad(), c.out(0))), c.in(0))); }

constexpr std::string_view cases =
    "| f32[2,3,4](0.5,1.5) i64[]={1}\nexclusive=1 | f64[5](0.5,1.5) i64[]={-1}\n"
    "reverse=1 | f32[3,2](0.5,1.5) i32[]={0}\n"
    "reverse=1 exclusive=1 | f32[2,5](0.5,1.5) i64[]={1}\n| i32[4](-3,3) i64[]={0}\n| f32[2,0,3] i64[]={1}\n"
    "| f16[2,7] i64[]={1}";

}  // namespace

OUTPOST_DEFINE_OP(CumSum, .name = "CumSum", .since = 14, .first = 11, .min_inputs = 2, .max_inputs = 2,
                  .doc = "running sum along an axis", .infer = infer, .run = run<Plus>, .gradient = gradient_sum,
                  .prepare = prepare, .in_place = {{0, 0}}, .cases = cases);
OUTPOST_DEFINE_OP(CumProd, .name = "CumProd", .since = 26, .first = 26, .min_inputs = 2, .max_inputs = 2,
                  .doc = "running product along an axis", .infer = infer, .run = run<Times>,
                  .gradient = gradient_product, .prepare = prepare, .in_place = {{0, 0}}, .cases = cases);

}  // namespace outpost
