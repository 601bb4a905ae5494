// Col2Im: columns of sliding blocks (batch, channels·block, positions) summed back into an image (batch, channels, …).
// https://onnx.ai/onnx/operators/onnx__Col2Im.html
//
// Each channel's image is summed by one thread, block offset by block offset, in the order of the columns.
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

struct Blocks {
  Shape image, block, dilation, stride, begin, positions;  // spatial axes; positions: how many blocks fit
};

// Attribute lists have one entry an axis (pads two) and defaults.
Blocks blocks(const InferContext& c, const std::vector<int64_t>& image, const std::vector<int64_t>& block) {
  const size_t rank = image.size();
  const Attributes& attributes = c.attributes();
  auto list = [&](const char* name, size_t count, int64_t fallback, int64_t least) {
    std::vector<int64_t> v = attributes.integers(name);
    if (v.empty()) v.assign(count, fallback);
    c.require(v.size() == count, name, " has ", v.size(), " entries; expected ", count);
    for (int64_t x : v) c.require(x >= least && x <= (int64_t{1} << 31), name, " holds ", x);
    return v;
  };
  c.require(block.size() == rank && rank >= 1 && rank <= Shape::max_rank, "image_shape and block_shape have ", rank, " and ", block.size(), " entries");
  const auto dilation = list("dilations", rank, 1, 1), stride = list("strides", rank, 1, 1), pads = list("pads", 2 * rank, 0, 0);
  Blocks b{Shape(image), Shape(block), Shape(dilation), Shape(stride), Shape(pads.data(), rank), {}};
  for (size_t i = 0; i < rank; ++i) {
    c.require(image[i] >= 0 && image[i] <= (int64_t{1} << 40), "image_shape holds ", image[i]);
    c.require(block[i] >= 1 && block[i] <= (int64_t{1} << 31), "block_shape holds ", block[i]);
    const int64_t span = image[i] + pads[i] + pads[i + rank] - dilation[i] * (block[i] - 1) - 1;
    c.require(span >= 0, "a block of ", block[i], " does not fit into an image of ", image[i]);
    b.positions.push_back(span / stride[i] + 1);
  }
  return b;
}

void infer(InferContext& c) {
  if (c.ranked(0)) c.require(c.rank(0) == 3, "input has rank ", c.rank(0), "; expected 3 (batch, channels x block, positions)");
  std::vector<int64_t> image, block;
  const Dim batch = c.ranked(0) ? c.dims(0)[0] : Dim();
  if (!c.integers(1, image) || !c.integers(2, block)) {
    if (!c.ranked(1) || c.rank(1) != 1 || !c.dims(1)[0].known() || c.dims(1)[0].size > Shape::max_rank - 2) return c.output(0, c.dtype(0));
    Dims dims(static_cast<size_t>(c.dims(1)[0].size + 2));
    dims[0] = batch;
    return c.output(0, c.dtype(0), std::move(dims));
  }
  const Blocks b = blocks(c, image, block);
  const int64_t size = checked_count(b.block), positions = checked_count(b.positions);
  Dim channels;
  if (c.ranked(0)) {
    const Dim rows = c.dims(0)[1], columns = c.dims(0)[2];
    c.require(!rows.known() || rows.size % size == 0, "axis 1 has ", rows.size, " rows; expected a multiple of the block's ", size);
    c.require(!columns.known() || columns.size == positions, "axis 2 has ", columns.size, " positions; expected ", positions);
    channels = divide_exact(rows, size);
  }
  Dims dims{batch, channels};
  dims.insert(dims.end(), image.begin(), image.end());
  c.output(0, c.dtype(0), std::move(dims));
}

template <class T>
void sum_channel(const Blocks& b, const T* x, T* y) {
  const int rank = b.image.rank();
  const Shape strides = strides_of(b.image);
  const int64_t count = b.positions.count(), image = b.image.count();
  std::fill(y, y + image, T(0));
  if (image == 0) return;
  Odometer offset(b.block, b.block, 0);
  for (int64_t k = b.block.count(); k > 0; --k, offset.next()) {
    Odometer position(b.positions, b.positions, 0);
    for (int64_t i = 0; i < count; ++i, position.next(), ++x) {
      int64_t at = 0;
      bool inside = true;
      for (int a = 0; a < rank; ++a) {
        const int64_t p = position.at(a) * b.stride[a] + offset.at(a) * b.dilation[a] - b.begin[a];
        inside = inside && p >= 0 && p < b.image[a];
        at += p * strides[a];
      }
      if (inside) y[at] += *x;
    }
  }
}

// A list attribute with a default of `fallback` for each axis.
Shape listed(const Attributes& attributes, const char* name, int rank, int64_t fallback) {
  const std::vector<int64_t>& v = attributes.integers(name);
  Shape s;
  for (int a = 0; a < rank; ++a) s.push_back(v.empty() ? fallback : v[static_cast<size_t>(a)]);
  return s;
}

Blocks blocks_of(const RunContext& ctx) {
  const Integers image(ctx.in(1)), block(ctx.in(2));
  const int rank = static_cast<int>(image.size());
  const Attributes& attributes = ctx.attributes();
  Blocks b{{}, {}, listed(attributes, "dilations", rank, 1), listed(attributes, "strides", rank, 1), listed(attributes, "pads", rank, 0), {}};
  const std::vector<int64_t>& pads = attributes.integers("pads");
  for (int a = 0; a < rank; ++a) {
    b.image.push_back(image[a]);
    b.block.push_back(block[a]);
    const int64_t end = pads.empty() ? 0 : pads[static_cast<size_t>(a + rank)];
    b.positions.push_back((image[a] + b.begin[a] + end - b.dilation[a] * (block[a] - 1) - 1) / b.stride[a] + 1);
  }
  return b;
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const Blocks b = blocks_of(ctx);
  const int64_t image = b.image.count(), columns = b.block.count() * b.positions.count(), channels = y.dim(0) * y.dim(1);
  if (y.dtype == DType::f32 || y.dtype == DType::f64) {
    ctx.parallel(channels, [&](int64_t i) {
      if (y.dtype == DType::f32) sum_channel(b, x.as<float>() + i * columns, y.as<float>() + i * image);
      else sum_channel(b, x.as<double>() + i * columns, y.as<double>() + i * image);
    });
    return;
  }
  if (y.dtype == DType::string || compute_type(y.dtype) == DType::complex128) ctx.fail("cannot sum ", y.dtype);
  auto* from = static_cast<double*>(ctx.temporary(static_cast<size_t>(columns) * sizeof(double)));
  auto* to = static_cast<double*>(ctx.temporary(static_cast<size_t>(image) * sizeof(double)));
  for (int64_t i = 0; i < channels; ++i) {
    load(x.dtype, x.data, i * columns, columns, DType::f64, from);
    sum_channel(b, from, to);
    store(DType::f64, to, image, y.dtype, y.data, i * image);
  }
}

}  // namespace

OUTPOST_DEFINE_OP(Col2Im, .name = "Col2Im", .since = 18, .first = 18, .min_inputs = 3, .max_inputs = 3,
                  .doc = "Sums columns of sliding blocks back into an image.", .infer = infer, .run = run,
                  .cases = R"(
                    | f32[1,5,5] i64[2]={5,5} i64[2]={1,5}
                    pads=[0,1,0,1] strides=[2,1] | f32[2,4,10] i64[2]={4,3} i64[2]={2,1}
                    dilations=[1,2] | f32[1,4,6] i64[2]={3,5} i64[2]={2,2}
                    | f32[0,2,2] i64[1]={3} i64[1]={2})");

}  // namespace outpost
