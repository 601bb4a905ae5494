// TopK: the k largest (or smallest) elements of an axis, in order, and where they are. Of equals the lower index comes
// first; NaN counts as the largest. https://onnx.ai/onnx/operators/onnx__TopK.html
//
// Lanes are copied out as (value, index) in the type the dtype computes in. A small k keeps a sorted shortlist that most
// elements fail to enter; a large one selects, then sorts: O(n + k log k).
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t shortlist = 32, tile = 256;

int64_t wanted(const InferContext& c) {
  std::vector<int64_t> k;
  if (!c.integers(1, k)) return -1;
  c.require(k.size() == 1, "K has ", k.size(), " elements; expected one");
  c.require(k[0] >= 0, "K is ", k[0], "; expected 0 or more");
  return k[0];
}

void infer(InferContext& c) {
  c.require(c.dtype(0) != DType::string, "input is string; expected numbers");
  const int64_t k = wanted(c);
  if (!c.ranked(0)) {
    c.output(0, c.dtype(0));
    return c.output(1, DType::i64);
  }
  const int axis = c.axis(c.attributes().integer("axis", -1), c.rank(0));
  Dims dims = c.dims(0);
  c.require(k < 0 || !dims[axis].known() || k <= dims[axis].size, "K is ", k, " for an axis of size ", dims[axis].size);
  dims[axis] = k < 0 ? Dim() : Dim(k);
  c.output(0, c.dtype(0), dims);
  c.output(1, DType::i64, std::move(dims));
}

template <class T>
struct Entry {
  T value;
  int64_t index;
};

template <class T>
struct Order {
  bool largest;
  bool operator()(const Entry<T>& a, const Entry<T>& b) const {
    const T &x = largest ? a.value : b.value, &y = largest ? b.value : a.value;
    if (x > y || (x != x && y == y)) return true;
    if (y > x || (y != y && x == x)) return false;
    return a.index < b.index;
  }
};

// The k first of n entries that `read(begin, count, values)` delivers, in order, into `out` (room for n where k is large).
template <class T, class Read>
void select(int64_t n, int64_t k, Order<T> before, Read&& read, Entry<T>* out) {
  T values[tile];
  int64_t held = 0;
  const bool small = k <= shortlist;
  for (int64_t i = 0; i < n; i += tile) {
    const int64_t count = std::min(tile, n - i);
    read(i, count, values);
    for (int64_t j = 0; j < count; ++j) {
      const Entry<T> e{values[j], i + j};
      if (!small) {
        out[held++] = e;
        continue;
      }
      if (held == k && !before(e, out[k - 1])) continue;
      int64_t at = held < k ? held++ : k - 1;
      for (; at > 0 && before(e, out[at - 1]); --at) out[at] = out[at - 1];
      out[at] = e;
    }
  }
  if (small) return;
  if (k < n) std::nth_element(out, out + k, out + n, before);
  std::sort(out, out + k, before);
}

template <class T>
void top(RunContext& ctx, int axis, DType compute) {
  const View& x = ctx.in(0);
  const bool values = ctx.wants(0), indices = ctx.wants(1);
  const View& sized = ctx.out(values ? 0 : 1);
  const int64_t n = x.dim(axis), k = sized.dim(axis), inner = x.shape().count(axis + 1, x.rank()), lanes = x.shape().count(0, axis) * inner;
  if (lanes == 0 || k == 0) return;
  const int64_t room = k <= shortlist ? shortlist : n;
  auto* memory = static_cast<Entry<T>*>(ctx.temporary(static_cast<size_t>(room * ctx.threads()) * sizeof(Entry<T>)));
  const Order<T> before{ctx.attributes().integer("largest", 1) != 0};
  ctx.parallel_ranges(lanes, std::max<int64_t>(1, 16384 / n), [&](int64_t begin, int64_t end) {
    Entry<T>* entries = memory + room * RunContext::worker();
    for (int64_t lane = begin; lane < end; ++lane) {
      const int64_t in = lane / inner * n * inner + lane % inner, out = lane / inner * k * inner + lane % inner;
      select<T>(n, k, before, [&](int64_t first, int64_t count, T* to) {
        if (inner == 1) load(x.dtype, x.data, in + first, count, compute, to);
        else
          for (int64_t i = 0; i < count; ++i) load(x.dtype, x.data, in + (first + i) * inner, 1, compute, to + i);
      }, entries);
      for (int64_t i = 0; i < k; ++i) {
        if (indices) ctx.out(1).as<int64_t>()[out + i * inner] = entries[i].index;
        if (values) store(compute, &entries[i].value, 1, x.dtype, ctx.out(0).data, out + i * inner);
      }
    }
  });
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  if (!ctx.wants(0) && !ctx.wants(1)) return;
  const View& x = ctx.in(0);
  const int64_t attribute = ctx.attributes().integer("axis", -1);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  if (is_packed(x.dtype)) ctx.fail("no elements of ", x.dtype, " can be selected");
  switch (const DType compute = compute_type(x.dtype)) {
    case DType::f32: return top<float>(ctx, axis, compute);
    case DType::f64: return top<double>(ctx, axis, compute);
    case DType::i64: return top<int64_t>(ctx, axis, compute);
    case DType::u64: return top<uint64_t>(ctx, axis, compute);
    default: ctx.fail(x.dtype, " has no order");
  }
}

void gradient(GradientContext& g) {
  if (!g.wants(0) || !g.grad(0)) return;
  g.set(0, g.emit("ScatterElements", {zeros_like(g, g.in(0)), g.out(1), g.grad(0)},
                  {{"axis", g.attributes().integer("axis", -1)}, {"reduction", std::string("add")}}));
}

// Opset 1 had k as an attribute; 1 and 10 knew only the largest, sorted.
void upgrade(UpgradeContext& u) {
  if (!u.node.attributes.has("k")) return;
  u.node.set_input(1, u.integers({u.node.attributes.integer("k", 0)}));
  u.node.attributes.erase("k");
}

}  // namespace

OUTPOST_DEFINE_OP(TopK, .name = "TopK", .since = 24, .first = 1, .min_inputs = 2, .max_inputs = 2, .min_outputs = 2, .max_outputs = 2,
                  .doc = "The k largest or smallest elements of an axis and their indices.", .infer = infer, .run = run,
                  .upgrade = upgrade, .gradient = gradient,
                  .cases = R"(
                    | f32[3,7] i64[1]={3}
                    axis=0 largest=0 | f32[5,2] i64[1]={5}
                    axis=1 | f32[2,200,3] i64[1]={50}
                    | f32[2,3] i64[1]={0}
                    axis=-1 | f32[0,3] i64[1]={2})");

}  // namespace outpost
