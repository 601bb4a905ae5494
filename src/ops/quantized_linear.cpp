// QuantizedLinear (domain outpost): rows of codes times constant weights, requantised; the linear layer of a quantised
// model. Rows are put into blocks of channels, (k / 16, rows, 16), where they are a pointwise convolution.
//   y = round(clip((sum of (x - x_zero) w + bias) * scale, low - y_zero, high - y_zero)) + y_zero
// Inputs: x (…, k) u8 or i8, w i8 (k, n), scale f32 (n), bias i32 (n; may be absent). i8 codes are read and written as
// code + 128; x_zero, y_zero, low and high count that way.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/blocked_bytes.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

constexpr int64_t block = kernels::byte_block;

enum Input { ix, iw, iscale, ibias };

struct Prepared {
  int32_t x_zero = 0;
  kernels::Requantise requantise;
  Tensor packed;  // undefined: made anew in scratch
};

Prepared parse(const Node& node) {
  Prepared p;
  p.x_zero = code_attribute(node, "x_zero", 0);
  p.requantise.zero = code_attribute(node, "y_zero", 0);
  p.requantise.low = static_cast<float>(code_attribute(node, "low", 0) - p.requantise.zero);
  p.requantise.high = static_cast<float>(code_attribute(node, "high", 255) - p.requantise.zero);
  return p;
}

void infer(InferContext& c) {
  c.require_dtype(ix, {DType::u8, DType::i8});
  c.require_dtype(iw, {DType::i8});
  c.require_dtype(iscale, {DType::f32});
  if (c.has(ibias)) c.require_dtype(ibias, {DType::i32});
  parse(c.node());
  const int64_t to = c.attributes().integer("to", 2);
  c.require(to == int64_t(DType::u8) || to == int64_t(DType::i8), "to is ", to, "; expected u8 or i8");
  const DType dtype = static_cast<DType>(to);
  c.require(c.input(iw).is_static() && c.rank(iw) == 2, "W must be (k, n); found ", c.input(iw));
  const Shape w = c.input(iw).shape();
  for (int i : {iscale, ibias})
    if (c.has(i) && c.input(i).is_static())
      c.require(c.input(i).shape().count() == w[1], "input ", i, " must have one value per column of W; found ", c.input(i));
  if (!c.ranked(ix)) return c.output(0, dtype);
  Dims y = c.dims(ix);
  c.require(!y.empty() && (!y.back().known() || y.back().size == w[0]), "X must end in an axis of ", w[0], "; found ", c.input(ix));
  y.back() = Dim(w[1]);
  c.output(0, dtype, std::move(y));
}

// Weights | bias with the zero point folded in | scale | a transposed copy of W while packing.
struct Sizes {
  size_t weights, channels, copy;
  size_t kept() const noexcept { return weights + 2 * channels; }
};

kernels::ConvInt8 shape_of(const Shape& w, const Prepared& p) {
  kernels::ConvInt8 c;
  c.in_channels = w[0], c.out_channels = w[1];
  c.x_zero = static_cast<uint8_t>(p.x_zero), c.requantise = p.requantise;
  return c;
}

Sizes sizes_of(const kernels::ConvInt8& c) {
  return {slice_bytes(kernels::kernels().int8.conv_pack_bytes(c)),
          slice_bytes(static_cast<size_t>((c.out_channels + block - 1) / block * block) * 4),
          slice_bytes(static_cast<size_t>(c.in_channels * c.out_channels))};
}

// Does every sum, scaled, stay within what Requantise::fits promises?
bool pack(const kernels::ConvInt8& c, const int8_t* w, const int32_t* bias, const float* scale, char* to, char* copy) {
  const Sizes s = sizes_of(c);
  const kernels::Kernels& k = kernels::kernels();
  k.transpose(1, w, c.out_channels, copy, c.in_channels, c.in_channels, c.out_channels);
  const auto* rows = reinterpret_cast<const int8_t*>(copy);
  k.int8.conv_pack(c, rows, to);
  auto* sums = reinterpret_cast<int32_t*>(to + s.weights);
  auto* scales = reinterpret_cast<float*>(to + s.weights + s.channels);
  bool fits = true;
  std::memset(to + s.weights, 0, 2 * s.channels);
  for (int64_t o = 0; o < c.out_channels; ++o) {
    uint32_t sum = 0;
    double most = 0;
    for (int64_t i = 0; i < c.in_channels; ++i) {
      sum += static_cast<uint32_t>(rows[o * c.in_channels + i]);
      most += 255 * std::abs(double(rows[o * c.in_channels + i]));
    }
    sums[o] = static_cast<int32_t>((bias ? static_cast<uint32_t>(bias[o]) : 0) - sum * static_cast<uint32_t>(c.x_zero));
    scales[o] = scale[o];
    most += std::abs(double(sums[o]));
    fits = fits && most * std::abs(double(scale[o])) < 0x1p30;
  }
  return fits;
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>(parse(c.node));
  const Tensor *w = c.constant(iw), *scale = c.constant(iscale), *bias = c.constant(ibias);
  if (!w || !scale || (c.node.input(ibias) && !bias) || w->count() == 0) return p;
  const kernels::ConvInt8 conv = shape_of(w->shape(), *p);
  const Sizes s = sizes_of(conv);
  p->packed = Tensor(DType::u8, {static_cast<int64_t>(s.kept())});
  Tensor copy(DType::u8, {static_cast<int64_t>(s.copy)});
  p->requantise.fits = pack(conv, w->data<int8_t>(), bias ? bias->data<int32_t>() : nullptr, scale->data<float>(),
       static_cast<char*>(p->packed.raw()), static_cast<char*>(copy.raw()));
  return p;
}

struct Plan {
  kernels::ConvInt8 conv;
  Sizes sizes;
  int64_t rows;
  size_t x_bytes, y_bytes, slice;
};

Plan plan(const View& x, const View& w, const Prepared& p) {
  Plan s{.conv = shape_of(w.shape(), p)};
  s.sizes = sizes_of(s.conv);
  s.rows = x.dim(x.rank() - 1) > 0 ? x.count() / x.dim(x.rank() - 1) : 0;
  s.conv.window.in[1] = s.conv.window.out[1] = s.rows;
  s.x_bytes = slice_bytes(static_cast<size_t>((s.conv.in_channels + block - 1) / block * block * s.rows));
  s.y_bytes = slice_bytes(static_cast<size_t>((s.conv.out_channels + block - 1) / block * block * s.rows));
  s.slice = slice_bytes(kernels::kernels().int8.conv_scratch_bytes(s.conv));
  return s;
}

size_t scratch(const ScratchContext& c) {
  const auto& p = *static_cast<const Prepared*>(c.prepared);
  const Plan s = plan(c.in(ix), c.in(iw), p);
  const size_t packed = p.packed.defined() ? 0 : s.sizes.kept() + s.sizes.copy;
  return packed + s.x_bytes + s.y_bytes + s.slice * static_cast<size_t>(c.threads);
}

// Rows (rows, channels) from or into blocks (channels / 16, rows, 16); the last block ends in zeros.
template <bool into>
void move_rows(const RunContext& c, uint8_t* rows, int64_t channels, int64_t count, uint8_t flip, uint8_t* blocks) {
  constexpr int64_t grain_bytes = 1 << 15;
  c.parallel_ranges(count, grain_bytes / std::max<int64_t>(channels, 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t k = 0; k < channels; k += block) {
        const int64_t n = std::min(block, channels - k);
        uint8_t *row = rows + r * channels + k, *at = blocks + (k / block * count + r) * block;
        uint8_t codes[block] = {};
        std::memcpy(codes, into ? row : at, static_cast<size_t>(into ? n : block));
        for (int64_t i = 0; i < block; ++i) codes[i] ^= flip;
        std::memcpy(into ? at : row, codes, static_cast<size_t>(into ? block : n));
      }
  });
}

void run(RunContext& c) {
  if (c.out(0).count() == 0) return;
  const auto& p = c.prepared<Prepared>();
  Plan s = plan(c.in(ix), c.in(iw), p);
  char* memory = c.scratch<char>();
  const char* packed = static_cast<const char*>(p.packed.raw());
  if (!p.packed.defined()) {
    s.conv.requantise.fits = pack(s.conv, c.in(iw).as<const int8_t>(), c.has(ibias) ? c.in(ibias).as<const int32_t>() : nullptr,
         c.in(iscale).as<const float>(), memory, memory + s.sizes.kept());
    packed = memory;
    memory += s.sizes.kept() + s.sizes.copy;
  }
  s.conv.packed_weights = packed;
  s.conv.requantise.bias = reinterpret_cast<const int32_t*>(packed + s.sizes.weights);
  s.conv.requantise.scale = reinterpret_cast<const float*>(packed + s.sizes.weights + s.sizes.channels);
  auto *x = reinterpret_cast<uint8_t*>(memory), *y = x + s.x_bytes;
  move_rows<true>(c, c.in(ix).as<uint8_t>(), s.conv.in_channels, s.rows, c.in(ix).dtype == DType::i8 ? 0x80 : 0, x);
  s.conv.x = x, s.conv.y = y;
  const auto& k = kernels::kernels().int8;
  char* slices = memory + s.x_bytes + s.y_bytes;
  const int64_t tiles = k.conv_tiles(s.conv);
  auto body = [&](int64_t begin, int64_t end) {
    k.conv(s.conv, begin, end, slices + s.slice * static_cast<size_t>(RunContext::worker()));
  };
  const double work = static_cast<double>(s.rows) * static_cast<double>(s.conv.in_channels) * static_cast<double>(s.conv.out_channels) / 4;
  if (work < serial_work) body(0, tiles);
  else c.parallel_ranges(tiles, 1, body);
  move_rows<false>(c, c.out(0).as<uint8_t>(), s.conv.out_channels, s.rows, c.out(0).dtype == DType::i8 ? 0x80 : 0, y);
}

Cost cost(const CostContext& c) {
  const Type &w = *c.in(iw), &y = *c.out(0);
  if (!w.is_static()) return {};
  return {2 * c.count(y) * static_cast<double>(w.dims[0].size), c.count(*c.in(ix)) + c.count(w) + c.count(y)};
}

void expand(ExpandContext& c) {
  const Prepared p = parse(c.node);
  const Attributes to_float{{"to", static_cast<int64_t>(DType::f32)}};
  auto real = [&](float v) { return c.constant(Tensor::scalar(v)); };
  const int64_t to = c.attributes().integer("to", 2);
  const bool x_signed = c.in(ix)->type.dtype == DType::i8, y_signed = to == int64_t(DType::i8);
  Value* zero = c.scalar(c.in(ix)->type.dtype, p.x_zero - (x_signed ? 128 : 0));
  Value* sum = c.emit("MatMulInteger", {c.in(ix), c.in(iw), zero});
  if (c.has(ibias)) sum = c.add(sum, c.in(ibias));
  Value* y = c.mul(c.emit("Cast", {sum}, to_float), c.in(iscale));
  y = c.emit("Round", {c.emit("Clip", {y, real(p.requantise.low), real(p.requantise.high)})});
  y = c.add(y, real(static_cast<float>(p.requantise.zero - (y_signed ? 128 : 0))));
  c.replace(0, c.emit("Cast", {y}, {{"to", to}}));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_QuantizedLinear, .name = "QuantizedLinear", .domain = "outpost", .min_inputs = 3,
                  .max_inputs = 4, .doc = "Rows of codes times weights, requantised", .infer = infer, .run = run,
                  .expand = expand, .no_gradient = "integers", .cost = cost, .prepare = prepare, .scratch = scratch,
                  .cases = R"(
  x_zero=2 y_zero=100 | u8[5,20] i8[20,33] f32[33](0.1,1) i32[33]
  x_zero=129 y_zero=128 to=3 low=128 | i8[2,3,16] i8[16,48] f32[48](0.1,2)
  | u8[0,4] i8[4,3] f32[3]
)");

}  // namespace outpost
