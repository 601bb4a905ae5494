// AffineGrid (ONNX 20): the places of GridSample's output under an affine map: grid(p) = theta (p, 1), for p the centres
// of the output's pixels (or corners to corners) in [-1, 1].
#include <algorithm>

#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_inputs(2, 2);
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_dtype(1, {DType::i64});
  int spatial = 0;
  Dim batch;
  if (c.ranked(0)) {
    const Dims& theta = c.dims(0);
    c.require(theta.size() == 3, "theta has rank ", theta.size(), "; expected 3");
    batch = theta[0];
    if (theta[1].known()) spatial = static_cast<int>(theta[1].size);
    c.require(spatial == 0 || spatial == 2 || spatial == 3, "theta has ", spatial, " rows; expected 2 or 3");
    c.require(spatial == 0 || !theta[2].known() || theta[2].size == spatial + 1, "theta has ", theta[2].size, " columns; expected ", spatial + 1);
  }
  std::vector<int64_t> size;
  if (!c.integers(1, size)) {
    if (spatial == 0) return c.output(0, c.dtype(0));
    Dims dims(static_cast<size_t>(spatial + 2));
    dims[0] = batch, dims.back() = spatial;
    return c.output(0, c.dtype(0), dims);
  }
  c.require(size.size() == 4 || size.size() == 5, "size has ", size.size(), " values; expected 4 or 5");
  c.require(spatial == 0 || static_cast<int>(size.size()) == spatial + 2, "size has ", size.size(), " values; theta asks for ", spatial + 2);
  c.require(!batch.known() || size[0] == batch.size, "size has a batch of ", size[0], "; theta has ", batch.size);
  Dims dims{size[0]};
  for (size_t i = 2; i < size.size(); ++i) {
    c.require(size[i] >= 0, "size has ", size[i], " at ", i);
    dims.push_back(size[i]);
  }
  dims.push_back(static_cast<int64_t>(size.size()) - 2);
  c.output(0, c.dtype(0), dims);
}

void run(RunContext& c) {
  const View &theta = c.in(0), &size = c.in(1);
  const int64_t* sizes = size.as<int64_t>();
  const int spatial = static_cast<int>(theta.dim(1));
  c.require(size.count() == spatial + 2 && (spatial == 2 || spatial == 3) && theta.dim(2) == spatial + 1, "theta is ", to_string(theta.shape()), " and size has ",
            size.count(), " values; expected (n,2,3) and 4, or (n,3,4) and 5");
  if (!c.out(0).defined()) {
    Shape shape{sizes[0]};
    for (int i = 0; i < spatial; ++i) shape.push_back(sizes[i + 2]);
    shape.push_back(spatial);
    c.require(sizes[0] == theta.dim(0), "size has a batch of ", sizes[0], "; theta has ", theta.dim(0));
    for (int64_t d : shape) c.require(d >= 0, "size has ", d);
    c.allocate(0, shape);
  }
  View& y = c.out(0);
  const bool corners = c.attributes().integer("align_corners", 0) != 0;
  const int64_t row = y.dim(spatial), rows = y.shape().count(0, spatial);
  auto centre = [&](int64_t i, int64_t n) {
    const double at = static_cast<double>(i), count = static_cast<double>(n);
    return corners ? (n > 1 ? 2 * at / (count - 1) - 1 : -1) : (2 * at + 1) / count - 1;
  };
  c.parallel_ranges(rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, row)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double p[4], m[12], place[3];  // x, y, (z,) 1: innermost first
      int64_t rest = r;
      for (int d = spatial - 2; d >= 0; --d) {
        p[spatial - 1 - d] = centre(rest % y.dim(d + 1), y.dim(d + 1));
        rest /= y.dim(d + 1);
      }
      p[spatial] = 1;
      load(theta.dtype, theta.data, rest * spatial * (spatial + 1), spatial * (spatial + 1), DType::f64, m);
      for (int64_t i = 0; i < row; ++i) {
        p[0] = centre(i, row);
        for (int k = 0; k < spatial; ++k) {
          place[k] = 0;
          for (int j = 0; j <= spatial; ++j) place[k] += m[k * (spatial + 1) + j] * p[j];
        }
        store(DType::f64, place, spatial, y.dtype, y.data, (r * row + i) * spatial);
      }
    }
  });
}

}  // namespace

OUTPOST_DEFINE_OP(AffineGrid, .name = "AffineGrid", .since = 20, .first = 20, .min_inputs = 2, .max_inputs = 2,
                  .doc = "the grid of an affine map, for GridSample", .infer = infer, .run = run,
                  .cases = R"( | f32[2,2,3] i64[4]={2,3,4,5}
align_corners=1 | f32[1,3,4] i64[5]={1,2,3,2,4}
 | f32[1,2,3] i64[4]={1,1,0,4})");

}  // namespace outpost
