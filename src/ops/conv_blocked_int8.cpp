// BlockedConvInt8 (domain outpost): a convolution of codes in blocks of channels, requantised, with a quantised residual
// and saturation to [low, high] as the activation. In integers and single f32 roundings, so that its value is defined to
// the bit:
//   q = round(clip((sum of (x - x_zero) w + bias) * scale, low - y_zero, high - y_zero))
//   y = q + y_zero; with a residual r:
//   y = round(clip((q * own + r * other) + offset, sum_low - sum_zero, sum_high - sum_zero)) + sum_zero
// Inputs: x, w (i8, as ONNX has it), scale f32 (output channels), bias i32 (output channels; may be absent), residual.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/blocked_bytes.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

constexpr int64_t most_reach = 1 << 14;

enum Input { ix, iw, iscale, ibias, iresidual };

struct Prepared {
  WindowAttributes window;
  int64_t groups = 1;
  int32_t x_zero = 0;
  kernels::Requantise requantise;  // pointers unused
  Tensor packed;                   // weights | bias | scale, or undefined: made anew in scratch
};

// ---- attributes

Prepared parse(const Node& node) {
  Prepared p;
  p.window = WindowAttributes::of(node);
  p.groups = node.attributes.integer("group", 1);
  p.x_zero = code_attribute(node, "x_zero", 0);
  kernels::Requantise& q = p.requantise;
  const int32_t y_zero = code_attribute(node, "y_zero", 0);
  q.low = static_cast<float>(code_attribute(node, "low", 0) - y_zero);
  q.high = static_cast<float>(code_attribute(node, "high", 255) - y_zero);
  q.zero = y_zero;
  q.own = node.attributes.real("own", 1), q.other = node.attributes.real("other", 1);
  q.offset = node.attributes.real("offset", 0);
  const int32_t sum_zero = code_attribute(node, "sum_zero", 0);
  q.sum_low = static_cast<float>(code_attribute(node, "sum_low", 0) - sum_zero);
  q.sum_high = static_cast<float>(code_attribute(node, "sum_high", 255) - sum_zero);
  if (node.input(iresidual)) q.zero = sum_zero;
  return p;
}

bool is_depthwise(const Shape& w, int64_t groups) { return groups > 1 && w[1] == 1 && w[0] == groups; }

void infer(InferContext& c) {
  c.require_dtype(ix, {DType::u8});
  c.require_dtype(iw, {DType::i8});
  c.require_dtype(iscale, {DType::f32});
  if (c.has(ibias)) c.require_dtype(ibias, {DType::i32});
  if (c.has(iresidual)) c.require_dtype(iresidual, {DType::u8});
  const Prepared p = parse(c.node());
  c.require(p.groups >= 1 && p.groups <= (int64_t{1} << 40), "group is ", p.groups, "; expected 1 or more");
  c.require(c.input(iw).is_static() && c.rank(iw) == 4, "W must be (out, in, height, width); found ", c.input(iw));
  const Shape w = c.input(iw).shape();
  c.require(w[0] % p.groups == 0, "W has ", w[0], " output channels; they do not divide into ", p.groups, " groups");
  c.require(w[1] >= 1 && w[2] >= 1 && w[3] >= 1 && w[3] <= 64, "W has shape ", w, "; widths up to 64 are supported");
  for (int i = 0; i < 2; ++i)  // bounds what a tile copies
    c.require((w[2 + i] - 1) * p.window.dilation.at(i, 1) < most_reach && p.window.stride.at(i, 1) < most_reach,
              "windows that reach further than ", most_reach, " are not supported");
  c.require(p.groups == 1 || is_depthwise(w, p.groups) ||
                (w[1] % kernels::byte_block == 0 && w[0] / p.groups % kernels::byte_block == 0),
            "channels of a group must be blocks of 16, or one each");
  for (int i : {iscale, ibias})
    if (c.has(i) && c.input(i).is_static())
      c.require(c.input(i).shape().count() == w[0], "input ", i, " must have one value per output channel; found ", c.input(i));
  if (!c.ranked(ix)) return c.output(0, DType::u8);
  const Dims& x = c.dims(ix);
  const Dims kernel{Dim(w[2]), Dim(w[3])};
  Dims y = blocked_dims(c, ix, p.window, Dim((w[0] + kernels::byte_block - 1) / kernels::byte_block), kernel);
  const int64_t block = x[4].known() ? x[4].size : kernels::byte_block, in = w[1] * p.groups;
  c.require(block == kernels::byte_block || (block == 4 && p.groups == 1), "blocks of ", block, " are not supported");
  c.require(!x[1].known() || x[1].size == (in + block - 1) / block, c.input(ix), " does not hold ", in, " channels");
  c.require(block != 4 || in <= 4, "blocks of 4 hold up to 4 channels; W asks for ", in);
  if (c.has(iresidual) && c.ranked(iresidual)) {
    const Dims& r = c.dims(iresidual);
    c.require(r.size() == y.size(), "the residual must be of Y's shape; found ", c.input(iresidual));
    for (size_t i = 0; i < y.size(); ++i)
      c.require(!r[i].known() || !y[i].known() || r[i].size == y[i].size, "the residual must be of Y's shape; found ", c.input(iresidual));
  }
  c.output(0, DType::u8, std::move(y));
}

// ---- packing: weights | bias with the zero point folded in | scale

struct Packed {
  size_t weights, channels;
  size_t bytes() const noexcept { return weights + 2 * channels; }
};

Packed packed_sizes(const kernels::ConvInt8& c, bool depthwise) {
  const auto& k = kernels::kernels().int8;
  const int64_t whole = (c.out_channels + kernels::byte_block - 1) / kernels::byte_block * kernels::byte_block;
  return {slice_bytes(depthwise ? k.depthwise_pack_bytes(c) : k.conv_pack_bytes(c)),
          slice_bytes(static_cast<size_t>(whole) * 4)};
}

kernels::ConvInt8 with_weights(const Shape& w, const Prepared& p, int64_t block) {
  kernels::ConvInt8 c;
  c.groups = p.groups, c.in_channels = w[1] * p.groups, c.out_channels = w[0], c.block = block;
  c.window.kernel[1] = w[2], c.window.kernel[2] = w[3];
  c.x_zero = static_cast<uint8_t>(p.x_zero);
  c.requantise = p.requantise;
  return c;
}

// Does every sum, scaled, stay within what Requantise::fits promises?
bool pack(const kernels::ConvInt8& c, bool depthwise, const int8_t* weights, const int32_t* bias, const float* scale,
          char* to) {
  const auto& k = kernels::kernels().int8;
  const Packed sizes = packed_sizes(c, depthwise);
  if (depthwise) k.depthwise_pack(c, weights, to);
  else k.conv_pack(c, weights, to);
  auto* sums = reinterpret_cast<int32_t*>(to + sizes.weights);
  auto* scales = reinterpret_cast<float*>(to + sizes.weights + sizes.channels);
  bool fits = true;
  std::memset(to + sizes.weights, 0, 2 * sizes.channels);
  const int64_t taps = c.in_channels / c.groups * c.window.kernel[1] * c.window.kernel[2];
  for (int64_t o = 0; o < c.out_channels; ++o) {
    uint32_t sum = 0;
    double most = 0;
    for (int64_t i = 0; i < taps; ++i) {
      sum += static_cast<uint32_t>(weights[o * taps + i]);
      most += 255 * std::abs(double(weights[o * taps + i]));
    }
    sums[o] = static_cast<int32_t>((bias ? static_cast<uint32_t>(bias[o]) : 0) - sum * static_cast<uint32_t>(c.x_zero));
    scales[o] = scale[o];
    most += std::abs(double(sums[o]));
    fits = fits && most * std::abs(double(scale[o])) < 0x1p30;
  }
  return fits;
}

void attach(kernels::ConvInt8& c, const char* packed, const Packed& sizes) {
  c.packed_weights = packed;
  c.requantise.bias = reinterpret_cast<const int32_t*>(packed + sizes.weights);
  c.requantise.scale = reinterpret_cast<const float*>(packed + sizes.weights + sizes.channels);
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>(parse(c.node));
  const Tensor *w = c.constant(iw), *scale = c.constant(iscale), *bias = c.constant(ibias);
  const Type& x = c.node.input(ix)->type;
  if (!w || !scale || (c.node.input(ibias) && !bias) || !x.ranked || x.rank() != 5 || !x.dims[4].known()) return p;
  const bool depthwise = is_depthwise(w->shape(), p->groups);
  const kernels::ConvInt8 conv = with_weights(w->shape(), *p, x.dims[4].size);
  p->packed = Tensor(DType::u8, {static_cast<int64_t>(packed_sizes(conv, depthwise).bytes())});
  p->requantise.fits = pack(conv, depthwise, w->data<int8_t>(), bias ? bias->data<int32_t>() : nullptr, scale->data<float>(),
       reinterpret_cast<char*>(p->packed.raw()));
  return p;
}

// ---- running

kernels::ConvInt8 convolution(const View& x, const View& w, const Prepared& p) {
  kernels::ConvInt8 c = with_weights(w.shape(), p, x.dim(4));
  c.batch = x.dim(0);
  c.window = blocked_window(p.window, x.shape(), w.shape().data() + 2);
  return c;
}

size_t kernel_scratch(const kernels::ConvInt8& c, bool depthwise) {
  const auto& k = kernels::kernels().int8;
  return slice_bytes(depthwise ? k.depthwise_scratch_bytes(c) : k.conv_scratch_bytes(c));
}

size_t scratch(const ScratchContext& c) {
  const auto& p = *static_cast<const Prepared*>(c.prepared);
  const kernels::ConvInt8 conv = convolution(c.in(ix), c.in(iw), p);
  const bool depthwise = is_depthwise(c.in(iw).shape(), p.groups);
  const size_t packed = p.packed.defined() ? 0 : packed_sizes(conv, depthwise).bytes();
  return packed + kernel_scratch(conv, depthwise) * static_cast<size_t>(c.threads);
}

double work(const kernels::ConvInt8& c) {
  return static_cast<double>(c.batch) * static_cast<double>(volume(c.window.out)) * static_cast<double>(c.out_channels) *
         static_cast<double>(c.in_channels / c.groups * c.window.kernel[1] * c.window.kernel[2]);
}

void run(RunContext& c) {
  if (c.out(0).count() == 0) return;
  const auto& p = c.prepared<Prepared>();
  kernels::ConvInt8 conv = convolution(c.in(ix), c.in(iw), p);
  const bool depthwise = is_depthwise(c.in(iw).shape(), p.groups);
  const Packed sizes = packed_sizes(conv, depthwise);
  char* memory = c.scratch<char>();
  if (p.packed.defined()) {
    attach(conv, static_cast<const char*>(p.packed.raw()), sizes);
  } else {
    conv.requantise.fits = pack(conv, depthwise, c.in(iw).as<const int8_t>(), c.has(ibias) ? c.in(ibias).as<const int32_t>() : nullptr,
         c.in(iscale).as<const float>(), memory);
    attach(conv, memory, sizes);
    memory += sizes.bytes();
  }
  conv.x = c.in(ix).as<const uint8_t>(), conv.y = c.out(0).as<uint8_t>();
  if (c.has(iresidual)) conv.requantise.residual = c.in(iresidual).as<const uint8_t>();
  const auto& k = kernels::kernels().int8;
  const int64_t tiles = depthwise ? k.depthwise_tiles(conv) : k.conv_tiles(conv);
  const size_t slice = kernel_scratch(conv, depthwise);
  auto body = [&](int64_t begin, int64_t end) {
    (depthwise ? k.depthwise : k.conv)(conv, begin, end, memory + slice * static_cast<size_t>(RunContext::worker()));
  };
  const double all = work(conv) / 4;  // a product of codes costs a quarter of a product of floats
  if (all < serial_work) return body(0, tiles);
  c.parallel_ranges(tiles, static_cast<int64_t>(serial_work / (all / static_cast<double>(tiles) + 1)) + 1, body);
}

Cost cost(const CostContext& c) {
  const Type &w = *c.in(iw), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(y) * c.count(w) / static_cast<double>(w.dims[0].size),
          c.count(*c.in(ix)) + c.count(w) + c.count(y) * (c.in(iresidual) ? 2 : 1)};
}

// ---- the definition, in operators of ONNX

void expand(ExpandContext& c) {
  const Prepared p = parse(c.node);
  const Type& w = c.in(iw)->type;
  const int64_t out = w.shape()[0], in = w.shape()[1] * p.groups;
  const int64_t y_zero = c.attributes().integer("y_zero", 0);
  Attributes window;
  for (const char* name : {"kernel_shape", "strides", "pads", "dilations", "auto_pad", "group"})
    if (const Attribute* a = c.attributes().find(name)) window.set(name, *a);
  const Attributes to_float{{"to", static_cast<int64_t>(DType::f32)}};
  auto per_channel = [&](Value* v) { return c.emit("Reshape", {v, c.integers({1, out, 1, 1})}); };
  auto real = [&](float v) { return c.constant(Tensor::scalar(v)); };
  auto codes = [&](Value* v, int64_t channels) { return c.emit("UnblockBytes", {v}, {{"channels", channels}}, "outpost"); };
  Value* sum = c.emit("ConvInteger", {codes(c.in(ix), in), c.in(iw), c.scalar(DType::u8, p.x_zero)}, window);
  if (c.has(ibias)) sum = c.add(sum, per_channel(c.in(ibias)));
  Value* y = c.mul(c.emit("Cast", {sum}, to_float), per_channel(c.in(iscale)));
  y = c.emit("Round", {c.emit("Clip", {y, real(p.requantise.low), real(p.requantise.high)})});
  int64_t zero = y_zero;
  if (c.has(iresidual)) {
    Value* r = c.emit("Cast", {codes(c.in(iresidual), out)}, to_float);
    y = c.add(c.mul(y, real(p.requantise.own)), c.mul(r, real(p.requantise.other)));
    y = c.add(y, real(p.requantise.offset));
    y = c.emit("Round", {c.emit("Clip", {y, real(p.requantise.sum_low), real(p.requantise.sum_high)})});
    zero = c.attributes().integer("sum_zero", 0);
  }
  y = c.emit("Cast", {c.add(y, real(static_cast<float>(zero)))}, {{"to", static_cast<int64_t>(DType::u8)}});
  c.replace(0, c.emit("BlockBytes", {y}, {}, "outpost"));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_BlockedConvInt8, .name = "BlockedConvInt8", .domain = "outpost", .min_inputs = 3,
                  .max_inputs = 5, .doc = "Convolution of codes in blocks of channels, requantised", .infer = infer,
                  .run = run, .expand = expand, .no_gradient = "integers", .cost = cost, .prepare = prepare,
                  .scratch = scratch, .cases = R"(
  pads=[1,1,1,1] x_zero=3 y_zero=100 | u8[1,1,5,6,16] i8[16,9,3,3] f32[16](0.1,1) i32[16]
  strides=[2,2] x_zero=1 low=40 y_zero=40 high=90 | u8[2,1,7,6,4] i8[32,3,3,3] f32[32](0.1,1)
  pads=[1,1,1,1] group=32 x_zero=2 y_zero=50 | u8[1,2,6,6,16] i8[32,1,3,3] f32[32](0.5,2) i32[32]
  x_zero=1 y_zero=128 own=0.5 other=0.75 offset=-3.0 sum_zero=9 sum_low=9 | u8[1,2,4,4,16] i8[16,32,1,1] f32[16](0.1,1) - u8[1,1,4,4,16]
  group=2 | u8[1,2,4,4,16] i8[32,16,3,3] f32[32](0.1,1)
  | u8[0,1,4,4,16] i8[16,16,1,1] f32[16]
)");

}  // namespace outpost
