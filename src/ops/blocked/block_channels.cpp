// BlockChannels and UnblockChannels: (batch, channels, height, width) to channel blocks and back. Every block is a small
// matrix transposed.
#include <cstring>

#include "kernels/kernels.h"
#include "ops/blocked/blocked.h"

namespace outpost {
namespace {

constexpr int64_t tile_positions = 4096;

// body(image, block index, lanes in use, first position, positions): tiles of a tensor of `channels` channels.
template <class Body>
void for_tiles(const RunContext& r, int64_t batch, int64_t channels, int64_t positions, int64_t block, Body&& body) {
  const int64_t blocks = blocks_of(channels, block), parts = (positions + tile_positions - 1) / tile_positions;
  const int64_t grain = std::max<int64_t>(1, tile_positions / std::max<int64_t>(1, std::min(positions, tile_positions)));
  r.parallel_ranges(batch * blocks * parts, grain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t at = tile % parts * tile_positions, b = tile / parts % blocks, image = tile / parts / blocks;
      body(image, b, std::min(block, channels - b * block), at, std::min(tile_positions, positions - at));
    }
  });
}

void infer_block(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64});
  const int64_t block = block_of(c.node());
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims{Dim(), Dim(), Dim(), Dim(), Dim(block)});
  c.require(c.rank(0) == 4, "X must be (batch, channels, height, width); found ", c.input(0));
  c.output(0, c.dtype(0), blocked_dims(c.dims(0), block));
}

void run_block(RunContext& r) {
  const View &x = r.in(0), &y = r.out(0);
  const int64_t channels = x.dim(1), positions = x.dim(2) * x.dim(3), block = y.dim(4), bytes = bits(x.dtype) / 8;
  const auto* from = static_cast<const char*>(x.data);
  auto* to = static_cast<char*>(y.data);
  for_tiles(r, x.dim(0), channels, positions, block, [&](int64_t image, int64_t b, int64_t lanes, int64_t at, int64_t n) {
    const char* source = from + ((image * channels + b * block) * positions + at) * bytes;
    char* target = to + (((image * y.dim(1) + b) * positions + at) * block) * bytes;
    if (lanes < block) std::memset(target, 0, static_cast<size_t>(n * block * bytes));
    kernels::kernels().transpose(static_cast<int>(bytes), source, positions, target, block, lanes, n);
  });
}

void expand_block(ExpandContext& c) {
  const int64_t block = block_of(c.node);
  Value* x = c.in(0);
  if (!x->type.ranked || !x->type.dims[1].known()) fail(ErrorCode::unsupported, c.node.label(), ": the channels must be known");
  const int64_t channels = x->type.dims[1].size, blocks = blocks_of(channels, block);
  if (channels % block) x = c.emit("Pad", {x, c.integers({0, 0, 0, 0, 0, blocks * block - channels, 0, 0})});
  Value* batch = c.emit("Shape", {x}, {{"end", int64_t{1}}});
  Value* spatial = c.emit("Shape", {x}, {{"start", int64_t{2}}});
  Value* shape = c.emit("Concat", {batch, c.integers({blocks, block}), spatial}, {{"axis", int64_t{0}}});
  c.replace(0, lanes_last(c, c.emit("Reshape", {x, shape}, {{"allowzero", int64_t{1}}})));
}

void infer_unblock(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64});
  const int64_t channels = c.attributes().integer("channels", 0);
  c.require(channels >= 1, "channels is ", channels, "; expected 1 or more");
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims{Dim(), Dim(channels), Dim(), Dim()});
  c.require(c.rank(0) == 5, "X must be (batch, blocks, height, width, block); found ", c.input(0));
  const Dims& x = c.dims(0);
  if (x[1].known() && x[4].known())
    c.require(x[4].size > 0 && x[1].size == (channels - 1) / x[4].size + 1, "X ", c.input(0), " does not hold ", channels, " channels");
  c.output(0, c.dtype(0), Dims{x[0], Dim(channels), x[2], x[3]});
}

void run_unblock(RunContext& r) {
  const View &x = r.in(0), &y = r.out(0);
  const int64_t channels = y.dim(1), positions = y.dim(2) * y.dim(3), block = x.dim(4), bytes = bits(x.dtype) / 8;
  if (x.dim(1) != blocks_of(channels, block)) r.fail("X ", x.shape(), " does not hold ", channels, " channels");
  const auto* from = static_cast<const char*>(x.data);
  auto* to = static_cast<char*>(y.data);
  for_tiles(r, y.dim(0), channels, positions, block, [&](int64_t image, int64_t b, int64_t lanes, int64_t at, int64_t n) {
    const char* source = from + (((image * x.dim(1) + b) * positions + at) * block) * bytes;
    char* target = to + ((image * channels + b * block) * positions + at) * bytes;
    if (positions == 1) std::memcpy(target, source, static_cast<size_t>(lanes * bytes));
    else kernels::kernels().transpose(static_cast<int>(bytes), source, block, target, positions, n, lanes);
  });
}

void expand_unblock(ExpandContext& c) {
  const int64_t channels = c.attributes().integer("channels", 0);
  Value* x = lanes_first(c, c.in(0));
  Value* batch = c.emit("Shape", {x}, {{"end", int64_t{1}}});
  Value* spatial = c.emit("Shape", {x}, {{"start", int64_t{3}}});
  Value* sizes = c.emit("Shape", {x}, {{"start", int64_t{1}}, {"end", int64_t{3}}});
  Value* all = c.emit("ReduceProd", {sizes}, {{"keepdims", int64_t{1}}});
  Value* shape = c.emit("Concat", {batch, all, spatial}, {{"axis", int64_t{0}}});
  x = c.emit("Reshape", {x, shape}, {{"allowzero", int64_t{1}}});
  c.replace(0, c.emit("Slice", {x, c.integers({0}), c.integers({channels}), c.integers({1})}));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_BlockChannels, .name = "BlockChannels", .domain = "outpost",
                  .doc = "Channels into blocks of a register's lanes", .infer = infer_block, .run = run_block,
                  .expand = expand_block, .no_gradient = "made for inference, after gradients", .cases = R"(
  block=16 | f32[2,40,5,7]
  block=8 | f32[1,3,4,4]
  block=4 | f32[1,8,1,1]
  block=16 | f32[0,3,2,2]
)");

OUTPOST_DEFINE_OP(outpost_UnblockChannels, .name = "UnblockChannels", .domain = "outpost",
                  .doc = "Channel blocks back to (batch, channels, height, width)", .infer = infer_unblock,
                  .run = run_unblock, .expand = expand_unblock, .no_gradient = "made for inference, after gradients",
                  .cases = R"(
  channels=40 | f32[2,3,5,7,16]
  channels=3 | f32[1,1,4,4,8]
  channels=8 | f32[1,2,1,1,4]
  channels=17 | f32[0,2,2,2,16]
)");

}  // namespace outpost
