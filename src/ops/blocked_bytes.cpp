// BlockBytes, UnblockBytes and QuantizeBlocks (domain outpost): codes into blocks of channels and back; the last is
// QuantizeLinear and BlockBytes in one. Channels past the last hold 0.
#include "ops/blocked_bytes.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"

namespace outpost {
namespace {

constexpr int64_t tile = 2048;  // positions at a time: 16 planes of them stay in a core's nearest cache
constexpr int64_t most_channels = int64_t{1} << 40;

int64_t block_attribute(const Node& node) {
  const int64_t block = node.attributes.integer("block", kernels::byte_block);
  if (block != 4 && block != kernels::byte_block)
    fail(ErrorCode::invalid_model, node.label(), ": block is ", block, "; expected 4 or 16");
  return block;
}

Dim blocks_of(Dim channels, int64_t block) { return channels.known() ? Dim((channels.size + block - 1) / block) : Dim(); }

void infer_block(InferContext& c, DType dtype) {
  const int64_t block = block_attribute(c.node());
  if (!c.ranked(0)) return c.output(0, dtype);
  const Dims& x = c.dims(0);
  c.require(x.size() == 4, "X must be (batch, channels, height, width); found ", c.input(0));
  c.output(0, dtype, {x[0], blocks_of(x[1], block), x[2], x[3], Dim(block)});
}

void infer_bytes(InferContext& c) {
  c.require_dtype(0, {DType::i8, DType::u8});
  infer_block(c, DType::u8);
}

void infer_quantize(InferContext& c) {
  c.require_dtype(0, {DType::f32});
  c.require_dtype(1, {DType::f32});
  c.require_dtype(2, {DType::u8});
  for (int i : {1, 2})
    c.require(!c.input(i).is_static() || c.input(i).shape().count() == 1, "input ", i, " must be one value; found ", c.input(i));
  infer_block(c, DType::u8);
}

void flip_signs(uint8_t* codes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) codes[i] ^= 0x80;
}

// Four planes of n codes side by side.
void weave(const uint8_t* planes, int64_t n, uint8_t* to) {
  const uint8_t *a = planes, *b = a + n, *c = b + n, *d = c + n;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t four = uint32_t(a[i]) | uint32_t(b[i]) << 8 | uint32_t(c[i]) << 16 | uint32_t(d[i]) << 24;
    std::memcpy(to + 4 * i, &four, 4);
  }
}

// Tiles of one block of one image: `plane(channel, first, count, to)` writes codes of a channel.
template <class Plane>
void block_planes(const RunContext& c, const Shape& x, View& y, Plane&& plane) {
  const int64_t block = y.dim(4), channels = x[1], positions = x[2] * x[3], blocks = y.dim(1);
  const int64_t tiles = (positions + tile - 1) / tile;
  const kernels::Kernels& k = kernels::kernels();
  c.parallel_ranges(x[0] * blocks * tiles, 4, [&](int64_t begin, int64_t end) {
    uint8_t codes[tile * kernels::byte_block];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % tiles * tile, n = std::min(tile, positions - first);
      const int64_t group = i / tiles, image = group / blocks, channel0 = group % blocks * block;
      for (int64_t j = 0; j < block; ++j) {
        uint8_t* to = codes + j * n;
        if (channel0 + j < channels) plane((image * channels + channel0 + j) * positions + first, n, to);
        else std::memset(to, 0, static_cast<size_t>(n));
      }
      uint8_t* to = y.as<uint8_t>() + (group * positions + first) * block;
      if (block == 4) weave(codes, n, to);
      else k.transpose(1, codes, n, to, block, block, n);
    }
  });
}

void run_block(RunContext& c) {
  const View& x = c.in(0);
  block_planes(c, x.shape(), c.out(0), [&](int64_t at, int64_t n, uint8_t* to) {
    std::memcpy(to, x.as<const uint8_t>() + at, static_cast<size_t>(n));
    if (x.dtype == DType::i8) flip_signs(to, n);
  });
}

void run_quantize(RunContext& c) {
  const View& x = c.in(0);
  const float scale = *c.in(1).as<const float>();
  const int32_t zero = *c.in(2).as<const uint8_t>();
  const kernels::Kernels& k = kernels::kernels();
  block_planes(c, x.shape(), c.out(0), [&](int64_t at, int64_t n, uint8_t* to) {
    k.quantize_u8(x.as<const float>() + at, scale, zero, to, n);
  });
}

// ---- back

void infer_unblock(InferContext& c) {
  c.require_dtype(0, {DType::u8});
  const int64_t channels = c.attributes().integer("channels", 0), to = c.attributes().integer("to", 2);
  c.require(channels >= 0 && channels <= most_channels, "channels is ", channels, "; expected 0 or more");
  c.require(to == int64_t(DType::u8) || to == int64_t(DType::i8), "to is ", to, "; expected u8 or i8");
  const DType dtype = static_cast<DType>(to);
  if (!c.ranked(0)) return c.output(0, dtype);
  const Dims& x = c.dims(0);
  c.require(x.size() == 5, "X must be (batch, blocks, height, width, block); found ", c.input(0));
  c.require(!x[1].known() || !x[4].known() ||
                (x[4].size > 0 && x[1].size == (channels + x[4].size - 1) / x[4].size), c.input(0), " does not hold ",
            channels, " channels");
  c.output(0, dtype, {x[0], Dim(channels), x[2], x[3]});
}

void run_unblock(RunContext& c) {
  const View& x = c.in(0);
  View& y = c.out(0);
  const int64_t block = x.dim(4), blocks = x.dim(1), positions = x.dim(2) * x.dim(3), channels = y.dim(1);
  const int64_t tiles = (positions + tile - 1) / tile;
  const kernels::Kernels& k = kernels::kernels();
  c.parallel_ranges(x.dim(0) * blocks * tiles, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % tiles * tile, n = std::min(tile, positions - first);
      const int64_t group = i / tiles, image = group / blocks, channel0 = group % blocks * block;
      const int64_t count = std::min(block, channels - channel0);
      uint8_t* to = y.as<uint8_t>() + (image * channels + channel0) * positions + first;
      k.transpose(1, x.as<const uint8_t>() + (group * positions + first) * block, block, to, positions, n, count);
      if (y.dtype == DType::i8)
        for (int64_t j = 0; j < count; ++j) flip_signs(to + j * positions, n);
    }
  });
}

void expand_quantize(ExpandContext& c) {
  c.replace(0, c.emit("BlockBytes", {c.emit("QuantizeLinear", {c.in(0), c.in(1), c.in(2)})}, c.attributes(), "outpost"));
}

}  // namespace

int32_t code_attribute(const Node& node, std::string_view name, int64_t fallback) {
  const int64_t code = node.attributes.integer(name, fallback);
  if (code < 0 || code > 255) fail(ErrorCode::invalid_model, node.label(), ": ", name, " is ", code, "; expected 0..255");
  return static_cast<int32_t>(code);
}

kernels::Window blocked_window(const WindowAttributes& w, const Shape& x, const int64_t* kernel) {
  return resolve_window(w, 2, x.data() + 2, kernel);
}

Dims blocked_dims(const InferContext& c, int i, const WindowAttributes& w, Dim blocks, std::span<const Dim> kernel) {
  const Dims& x = c.dims(i);
  c.require(x.size() == 5, "input ", i, " must be (batch, blocks, height, width, block); found ", c.input(i));
  Dims out{x[0], blocks};
  for (const Dim& d : window_dims(c, w, std::span(x).subspan(2, 2), kernel)) out.push_back(d);
  out.emplace_back(kernels::byte_block);
  return out;
}

OUTPOST_DEFINE_OP(outpost_BlockBytes, .name = "BlockBytes", .domain = "outpost",
                  .doc = "8-bit codes into blocks of channels", .infer = infer_bytes, .run = run_block,
                  .no_gradient = "integers", .cases = R"(
  | u8[2,20,3,5]
  block=4 | i8[1,3,7,2]
  | u8[1,16,50,50]
)");
OUTPOST_DEFINE_OP(outpost_UnblockBytes, .name = "UnblockBytes", .domain = "outpost",
                  .doc = "8-bit codes from blocks of channels", .infer = infer_unblock, .run = run_unblock,
                  .no_gradient = "integers", .cases = R"(
  channels=20 | u8[2,2,3,5,16]
  channels=3 to=3 | u8[1,1,7,2,4]
)");
OUTPOST_DEFINE_OP(outpost_QuantizeBlocks, .name = "QuantizeBlocks", .domain = "outpost", .min_inputs = 3,
                  .max_inputs = 3, .doc = "QuantizeLinear into blocks of channels", .infer = infer_quantize,
                  .run = run_quantize, .expand = expand_quantize,
                  .no_gradient = "piecewise constant: zero wherever it exists", .cases = R"(
  | f32[2,20,3,5] f32[]={0.02} u8[]={128}
  block=4 | f32[1,3,7,9] f32[]={0.03} u8[]={7}
)");

}  // namespace outpost
