// ConvInteger and QLinearConv: convolutions of 8-bit integers, unfolded by tiles of output positions into int32
// products. Padding holds X's zero point, so that it counts as zero. QLinearConv adds an int32 bias, scales by output
// channel and quantises. Source: ONNX ConvInteger-10, QLinearConv-10.
#include <algorithm>

#include "ops/convolution.h"
#include "ops/integer_product.h"

namespace outpost {
namespace {

struct Prepared {
  WindowAttributes window;
  int64_t groups = 1;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{WindowAttributes::of(c.node), c.attributes().integer("group", 1)});
}

// X at input ix, W at iw.
void infer_conv(InferContext& c, int ix, int iw, DType dtype) {
  c.require_dtype(ix, {DType::i8, DType::u8});
  c.require_dtype(iw, {DType::i8, DType::u8});
  const WindowAttributes w = WindowAttributes::of(c.node());
  const int64_t groups = c.attributes().integer("group", 1);
  c.require(groups >= 1, "group is ", groups, "; expected 1 or more");
  if (!c.ranked(ix)) return c.output(0, dtype);
  const Dims& x = c.dims(ix);
  c.require(x.size() >= 3, "X must be (batch, channels, spatial...); found ", c.input(ix));
  const Dims weight = c.ranked(iw) ? c.dims(iw) : Dims(x.size());
  c.require(weight.size() == x.size(), "W has rank ", weight.size(), " but X has rank ", x.size());
  const Dim in = weight[1];
  c.require(!x[1].known() || !in.known() || (in.size <= x[1].size && groups <= x[1].size + 1 &&
            groups * in.size == x[1].size), "X has ", x[1].size, " channels; W ", c.input(iw), " with group ", groups,
            " expects another number");
  c.require(!weight[0].known() || weight[0].size % groups == 0, "output channels do not divide into ", groups,
            " groups");
  Dims out{x[0], weight[0]};
  for (const Dim& d : window_dims(c, w, std::span(x).subspan(2), std::span(weight).subspan(2))) out.push_back(d);
  c.output(0, dtype, std::move(out));
}

// One value, or one for each output channel.
void check_channels(const InferContext& c, int input, int iw) {
  if (!c.has(input) || !c.input(input).is_static() || !c.input(iw).is_static()) return;
  const int64_t n = c.input(input).shape().count(), channels = c.input(iw).shape()[0];
  c.require(n == 1 || n == channels, "input ", input, " has ", n, " values; expected 1 or ", channels);
}

// ---- tiles

struct Plan {
  kernels::Window window;
  int64_t batch, groups, in, out, positions, tile, blocks;  // in, out: channels of one group
  kernels::GemmInt8 gemm;
  size_t columns_bytes, gemm_bytes;
  bool pointwise;
  int64_t tiles() const noexcept { return batch * groups * blocks; }
};

Plan plan(const View& x, const View& w, const Prepared& p) {
  Plan s;
  s.window = resolve_window(p.window, x.rank() - 2, x.shape().data() + 2, w.shape().data() + 2);
  s.batch = x.dim(0), s.groups = p.groups;
  s.in = x.dim(1) / p.groups, s.out = w.dim(0) / p.groups;
  s.positions = volume(s.window.out);
  const int64_t rows = s.in * volume(s.window.kernel);
  s.tile = std::max<int64_t>(1, std::min(s.positions, unfold_tile(rows, 4)));
  s.blocks = (s.positions + s.tile - 1) / s.tile;
  s.pointwise = is_pointwise(s.window);
  s.gemm.m = s.out, s.gemm.n = s.tile, s.gemm.k = rows;
  s.gemm.a_row_stride = rows, s.gemm.b_row_stride = s.pointwise ? s.positions : s.tile;
  s.gemm.a_signed = w.dtype == DType::i8, s.gemm.b_signed = x.dtype == DType::i8;
  s.columns_bytes = s.pointwise ? 0 : slice_bytes(static_cast<size_t>(rows * s.tile));
  s.gemm_bytes = slice_bytes(kernels::kernels().gemm_int8_scratch_bytes(s.gemm));
  return s;
}

struct Tile {
  int64_t image, group, begin, count;
};

// The sums of one tile, (out, count) at row_stride.
void sum_tile(const Plan& s, const View& x, const View& w, const View* x_zero, const View* w_zero, const Tile& t,
              int32_t* sums, int64_t row_stride, char* memory) {
  const kernels::Kernels& k = kernels::kernels();
  const auto* planes = x.as<const uint8_t>() + (t.image * s.groups + t.group) * s.in * volume(s.window.in);
  const uint8_t zero = x_zero ? *x_zero->as<const uint8_t>() : 0;
  kernels::GemmInt8 g = s.gemm;
  g.n = t.count;
  if (s.pointwise) {
    g.b = planes + t.begin;
  } else {
    unfold(s.window, 1, s.in, planes, t.begin, t.begin + t.count, &zero, memory);
    g.b = memory, g.b_row_stride = t.count;
  }
  g.a = w.as<const uint8_t>() + t.group * s.out * g.k;
  g.b_zero = &zero;
  if (w_zero) {
    g.a_zero_stride = w_zero->count() > 1 ? 1 : 0;
    g.a_zero = w_zero->as<const uint8_t>() + (g.a_zero_stride ? t.group * s.out : 0);
  }
  g.c = sums, g.c_row_stride = row_stride;
  k.gemm_int8(g, 0, k.gemm_int8_tiles(g), memory + s.columns_bytes);
}

template <class Body>
void for_tiles(const RunContext& c, const Plan& s, size_t slice, Body&& body) {
  c.parallel(s.tiles(), [&](int64_t i) {
    const int64_t block = i % s.blocks, group = i / s.blocks % s.groups, image = i / s.blocks / s.groups;
    const int64_t begin = block * s.tile;
    body(Tile{image, group, begin, std::min(s.tile, s.positions - begin)},
         c.scratch<char>() + slice * static_cast<size_t>(RunContext::worker()));
  });
}

// ---- ConvInteger (X, W, x_zero, w_zero)

void infer_integer(InferContext& c) {
  c.require_same_dtype(0, 2);
  c.require_same_dtype(1, 3);
  check_single(c, 2);
  check_channels(c, 3, 1);
  infer_conv(c, 0, 1, DType::i32);
}

size_t scratch_integer(const ScratchContext& c) {
  const Plan s = plan(c.in(0), c.in(1), *static_cast<const Prepared*>(c.prepared));
  return (s.columns_bytes + s.gemm_bytes) * static_cast<size_t>(c.threads);
}

void run_integer(RunContext& c) {
  if (c.out(0).count() == 0) return;
  const Plan s = plan(c.in(0), c.in(1), c.prepared<Prepared>());
  const View *x_zero = c.has(2) ? &c.in(2) : nullptr, *w_zero = c.has(3) ? &c.in(3) : nullptr;
  for_tiles(c, s, s.columns_bytes + s.gemm_bytes, [&](const Tile& t, char* memory) {
    int32_t* y = c.out(0).as<int32_t>() + (t.image * s.groups + t.group) * s.out * s.positions + t.begin;
    sum_tile(s, c.in(0), c.in(1), x_zero, w_zero, t, y, s.positions, memory);
  });
}

// ---- QLinearConv

enum Input { qx, qx_scale, qx_zero, qw, qw_scale, qw_zero, qy_scale, qy_zero, qbias };

void infer_qlinear(InferContext& c) {
  for (int i : {qx_scale, qw_scale, qy_scale}) c.require_dtype(i, {DType::f32});
  for (int i : {qx_scale, qx_zero, qy_scale, qy_zero}) check_single(c, i);
  c.require_same_dtype(qx, qx_zero);
  c.require_same_dtype(qw, qw_zero);
  c.require_dtype(qy_zero, {DType::i8, DType::u8});
  c.require_dtype(qbias, {DType::i32});
  check_channels(c, qw_scale, qw);
  check_channels(c, qw_zero, qw);
  if (c.has(qbias) && c.input(qbias).is_static() && c.input(qw).is_static())
    c.require(c.input(qbias).shape().count() == c.input(qw).shape()[0], "B must have one value per output channel");
  infer_conv(c, qx, qw, c.dtype(qy_zero));
}

// For each thread: columns | product memory | int32 sums of a tile | one f32 row.
size_t sums_bytes(const Plan& s) { return slice_bytes(static_cast<size_t>(s.out * s.tile) * sizeof(int32_t)); }
size_t qlinear_slice(const Plan& s) {
  return s.columns_bytes + s.gemm_bytes + sums_bytes(s) + slice_bytes(static_cast<size_t>(s.tile) * sizeof(float));
}

size_t scratch_qlinear(const ScratchContext& c) {
  const Plan s = plan(c.in(qx), c.in(qw), *static_cast<const Prepared*>(c.prepared));
  return qlinear_slice(s) * static_cast<size_t>(c.threads);
}

void quantise_tile(const RunContext& c, const Plan& s, const Tile& t, int32_t* sums, float* row) {
  const kernels::Kernels& k = kernels::kernels();
  const View& y = c.out(0);
  const float x_scale = value_f32(c.in(qx_scale), 0), y_scale = value_f32(c.in(qy_scale), 0);
  const int32_t zero = value_i32(c.in(qy_zero), 0);
  for (int64_t o = 0; o < s.out; ++o, sums += t.count) {
    const int64_t channel = t.group * s.out + o;
    if (c.has(qbias)) {
      const auto bias = static_cast<uint32_t>(c.in(qbias).as<const int32_t>()[channel]);
      for (int64_t i = 0; i < t.count; ++i) sums[i] = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + bias);
    }
    const float w_scale = value_f32(c.in(qw_scale), c.in(qw_scale).count() > 1 ? channel : 0);
    k.dequantize_s32(sums, x_scale * w_scale, 0, row, t.count);
    const int64_t first = (t.image * s.groups * s.out + channel) * s.positions + t.begin;
    if (y.dtype == DType::i8) k.quantize_s8(row, y_scale, zero, y.as<int8_t>() + first, t.count);
    else k.quantize_u8(row, y_scale, zero, y.as<uint8_t>() + first, t.count);
  }
}

void run_qlinear(RunContext& c) {
  if (c.out(0).count() == 0) return;
  const Plan s = plan(c.in(qx), c.in(qw), c.prepared<Prepared>());
  for_tiles(c, s, qlinear_slice(s), [&](const Tile& t, char* memory) {
    char* rest = memory + s.columns_bytes + s.gemm_bytes;
    auto* sums = reinterpret_cast<int32_t*>(rest);
    sum_tile(s, c.in(qx), c.in(qw), &c.in(qx_zero), &c.in(qw_zero), t, sums, t.count, memory);
    quantise_tile(c, s, t, sums, reinterpret_cast<float*>(rest + sums_bytes(s)));
  });
}

template <int W>
Cost cost(const CostContext& c) {
  const Type &w = *c.in(W), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(y) * c.count(w) / static_cast<double>(w.dims[0].size),
          c.count(*c.in(0)) + c.count(w) + c.count(y) * bits(y.dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(ConvInteger, .name = "ConvInteger", .since = 10, .first = 10, .min_inputs = 2, .max_inputs = 4,
                  .doc = "Convolution of 8-bit integers, in int32", .infer = infer_integer, .run = run_integer,
                  .no_gradient = "integers", .cost = cost<1>, .prepare = prepare, .scratch = scratch_integer,
                  .cases = R"(
  pads=[1,1,1,1] | u8[1,2,5,5] u8[3,2,3,3] u8[]={7}
  group=2 strides=[2,2] | u8[2,4,5,5] i8[4,2,2,2] u8[]={100} i8[4]
  | i8[1,3,4] i8[2,3,1]
)");
OUTPOST_DEFINE_OP(QLinearConv, .name = "QLinearConv", .since = 10, .first = 10, .min_inputs = 8, .max_inputs = 9,
                  .doc = "Convolution of quantised values, quantised", .infer = infer_qlinear, .run = run_qlinear,
                  .no_gradient = "integers", .cost = cost<3>, .prepare = prepare, .scratch = scratch_qlinear,
                  .cases = R"(
  pads=[1,1,1,1] | u8[1,2,5,5] f32[]={0.5} u8[]={7} i8[3,2,3,3] f32[3](0.1,1) i8[3] f32[]={20.5} u8[]={100} i32[3]
  | i8[1,3,4,4] f32[]={0.5} i8[]={1} i8[2,3,1,1] f32[]={0.1} i8[]={0} f32[]={4.5} i8[]={3}
)");

}  // namespace outpost
