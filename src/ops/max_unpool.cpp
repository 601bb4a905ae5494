// MaxUnpool: values go back to where MaxPool's indices took them from; the rest is zero. With an output_shape larger
// than the pooled-from shape, that shape sits in its corner. Source: ONNX MaxUnpool-22.
#include <algorithm>
#include <cstring>

#include "ops/staging.h"
#include "ops/window.h"

namespace outpost {
namespace {

// Spatial axis i of what was pooled from.
Dim unpooled(const WindowAttributes& w, int i, int rank, Dim in) {
  if (!in.known()) return {};
  if (in.size == 0) return Dim(0);
  const int64_t grow = w.kernel.at(i, 1) - w.pad.at(i, 0) - w.pad.at(i + rank, 0);
  return Dim(std::max<int64_t>(0, ((in - Dim(1)) * Dim(w.stride.at(i, 1))).size + grow));
}

void infer(InferContext& c) {
  c.require_dtype(1, {DType::i64});
  c.require_dtype(2, {DType::i64});
  const WindowAttributes w = WindowAttributes::of(c.node());
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  const int rank = static_cast<int>(x.size()) - 2;
  c.require(rank >= 1 && rank <= 3, "X must be (batch, channels, 1 to 3 spatial axes); found ", c.input(0));
  c.require(w.kernel.length == rank, "kernel_shape has ", w.kernel.length, " entries; expected ", rank);
  if (c.ranked(1)) {
    c.require(c.rank(1) == c.rank(0), "indices must have X's shape; found ", c.input(1), " for ", c.input(0));
    for (size_t i = 0; i < x.size(); ++i)
      c.require(!x[i].known() || !c.dims(1)[i].known() || x[i].size == c.dims(1)[i].size,
                "indices must have X's shape; found ", c.input(1), " for ", c.input(0));
  }
  std::vector<int64_t> shape;
  if (c.has(2) && !c.integers(2, shape)) return c.output(0, c.dtype(0), Dims(x.size()));
  Dims out{x[0], x[1]};
  if (c.has(2)) {
    c.require(shape.size() == x.size(), "output_shape has ", shape.size(), " entries; expected ", x.size());
    for (int64_t d : shape) c.require(d >= 0, "output_shape holds ", d);
    out.assign(shape.begin(), shape.end());
  } else {
    for (int i = 0; i < rank; ++i) out.push_back(unpooled(w, i, rank, x[static_cast<size_t>(i) + 2]));
  }
  c.output(0, c.dtype(0), std::move(out));
}

struct Prepared {
  WindowAttributes window;
};
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{WindowAttributes::of(c.node)});
}

View& output(RunContext& c) {
  if (!c.out(0).defined()) {
    const View& s = c.in(2);
    c.require(s.count() == c.in(0).rank(), "output_shape has ", s.count(), " entries; expected ", c.in(0).rank());
    c.allocate(0, Shape(s.as<const int64_t>(), static_cast<size_t>(s.count())));
  }
  return c.out(0);
}

template <class T>
void scatter(const View& x, const View& indices, const Shape& from, const View& y) {
  const int rank = from.rank();
  const bool same = from == y.shape();
  for (int64_t i = 0; i < x.count(); ++i) {
    int64_t at = indices.as<const int64_t>()[i];
    if (!same) {
      int64_t rest = at, stride = 1;
      at = 0;
      for (int axis = rank - 1; axis >= 0; --axis) {
        at += rest % from[axis] * stride;
        rest /= from[axis];
        stride *= y.dim(axis);
      }
    }
    y.as<T>()[at] = x.as<const T>()[i];
  }
}

void run(RunContext& c) {
  const WindowAttributes& w = c.prepared<Prepared>().window;
  const View &x = c.in(0), &indices = c.in(1), &y = output(c);
  Shape from = x.shape();
  const int rank = x.rank() - 2;
  for (int i = 0; i < rank; ++i) from[i + 2] = unpooled(w, i, rank, Dim(x.dim(i + 2))).size;
  for (int i = 0; i < x.rank(); ++i)
    c.require(y.dim(i) >= from[i], "output_shape ", y.shape(), " is smaller than what was pooled from, ", from);
  const int64_t count = checked_count(from);
  for (int64_t i = 0; i < indices.count(); ++i) {
    const int64_t at = indices.as<const int64_t>()[i];
    c.require(at >= 0 && at < count, "index ", at, " is outside [0, ", count, ")");
  }
  std::memset(y.data, 0, y.bytes());
  const int width = bits(x.dtype);
  if (width == 16) scatter<uint16_t>(x, indices, from, y);
  else if (width == 32) scatter<float>(x, indices, from, y);
  else scatter<double>(x, indices, from, y);
}

// dX gathers dY at the indices. Where an output_shape enlarged the output, dY is cut back to what was pooled from:
// (in - 1) * stride + kernel - pads along each spatial axis.
void gradient(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value* dy = c.grad();
  if (c.has(2)) {
    const WindowAttributes w = WindowAttributes::of(c.node);
    const int rank = w.kernel.length;
    std::vector<int64_t> strides, grow, axes, zeros(static_cast<size_t>(rank), 0);
    for (int i = 0; i < rank; ++i) {
      strides.push_back(w.stride.at(i, 1));
      grow.push_back(w.kernel.at(i, 1) - w.pad.at(i, 0) - w.pad.at(i + rank, 0) - w.stride.at(i, 1));
      axes.push_back(i + 2);
    }
    Value* in = c.emit("Shape", {c.in(0)}, {{"start", int64_t{2}}});
    Value* ends = c.add(c.mul(in, c.integers(strides)), c.integers(grow));
    dy = c.emit("Slice", {dy, c.integers(zeros), ends, c.integers(axes)});
  }
  c.set(0, c.emit("Gather", {c.emit("Reshape", {dy, c.integers({-1})}), c.in(1)}));
}

}  // namespace

OUTPOST_DEFINE_OP(MaxUnpool, .name = "MaxUnpool", .since = 22, .first = 9, .min_inputs = 2, .max_inputs = 3,
                  .doc = "Puts pooled values back at their indices", .infer = infer, .run = run, .gradient = gradient,
                  .prepare = prepare, .cases = R"(
  kernel_shape=[2,2] strides=[2,2] | f32[1,1,2,2] i64[1,1,2,2]={1,3,8,15}
  kernel_shape=[2] strides=[2] | f32[1,2,2] i64[1,2,2]={0,3,4,7} i64[3]={1,2,6}
)");

}  // namespace outpost
