// BlockedMaxPoolInt8 and BlockedGlobalAveragePoolInt8 (domain outpost): pooling of codes in blocks of channels. The
// average comes out as (batch, channels, 1, 1): round((sum - count * x_zero) * (scale / count)) + y_zero, saturated.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "ops/blocked_bytes.h"
#include "ops/pool.h"

namespace outpost {
namespace {

constexpr int64_t most_positions = 1 << 23;  // sums of codes stay within int32

void infer_max(InferContext& c) {
  c.require_dtype(0, {DType::u8});
  const PoolAttributes a = pool_attributes(c.node());
  c.require(a.window.kernel.length == 2, "kernel_shape must have two entries");
  if (!c.ranked(0)) return c.output(0, DType::u8);
  c.require(c.rank(0) == 5, "X must be (batch, blocks, height, width, 16); found ", c.input(0));
  const Dim block = c.dims(0)[4];
  c.require(!block.known() || block.size == kernels::byte_block, "blocks must be of 16; found ", c.input(0));
  c.output(0, DType::u8, blocked_dims(c, 0, a.window, c.dims(0)[1], {}));
}

void run_max(RunContext& c) {
  const View& x = c.in(0);
  kernels::PoolInt8 p;
  p.blocks = x.dim(0) * x.dim(1);
  p.window = blocked_window(c.prepared<PoolAttributes>().window, x.shape(), nullptr);
  p.x = x.as<const uint8_t>(), p.y = c.out(0).as<uint8_t>();
  if (c.out(0).count() == 0) return;
  c.parallel_ranges(p.blocks, 1, [&](int64_t begin, int64_t end) { kernels::kernels().int8.max_pool(p, begin, end); });
}

void expand_max(ExpandContext& c) {
  const Type& x = c.in(0)->type;
  if (!x.ranked || !x.dims[1].known()) fail(ErrorCode::unsupported, c.node.label(), ": the channels must be known");
  Value* codes = c.emit("UnblockBytes", {c.in(0)}, {{"channels", x.dims[1].size * kernels::byte_block}}, "outpost");
  c.replace(0, c.emit("BlockBytes", {c.emit("MaxPool", {codes}, c.attributes())}, {}, "outpost"));
}

// ---- global average

struct Average {
  int64_t channels;
  int32_t x_zero, y_zero;
  float scale;
};

Average average(const Node& node) {
  return {node.attributes.integer("channels", 0), code_attribute(node, "x_zero", 0), code_attribute(node, "y_zero", 0),
          node.attributes.real("scale", 1)};
}

void infer_average(InferContext& c) {
  c.require_dtype(0, {DType::u8});
  const Average a = average(c.node());
  c.require(std::isfinite(a.scale), "scale is ", a.scale, "; expected a finite number");
  c.require(a.channels >= 0 && a.channels <= (int64_t{1} << 40), "channels is ", a.channels, "; expected 0 or more");
  if (!c.ranked(0)) return c.output(0, DType::u8);
  const Dims& x = c.dims(0);
  c.require(x.size() == 5 && (!x[4].known() || x[4].size == kernels::byte_block),
            "X must be (batch, blocks, height, width, 16); found ", c.input(0));
  c.require(!x[1].known() || x[1].size == (a.channels + kernels::byte_block - 1) / kernels::byte_block, c.input(0),
            " does not hold ", a.channels, " channels");
  if (x[2].known() && x[3].known())
    c.require(x[2].size > 0 && x[3].size > 0 && x[2].size <= most_positions && x[2].size * x[3].size <= most_positions,
              "X has ", x[2].size, " x ", x[3].size, " positions; expected 1..", most_positions);
  c.output(0, DType::u8, {x[0], Dim(a.channels), Dim(1), Dim(1)});
}

void run_average(RunContext& c) {
  const View& x = c.in(0);
  const Average a = average(c.node());
  const int64_t positions = x.dim(2) * x.dim(3), blocks = x.dim(1);
  const float scale = a.scale / static_cast<float>(positions);
  c.parallel_ranges(x.dim(0) * blocks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int32_t sums[kernels::byte_block];
      kernels::kernels().int8.sum_blocks(x.as<const uint8_t>() + i * positions * kernels::byte_block, positions, 0, 1, sums);
      const int64_t channel = i % blocks * kernels::byte_block;
      uint8_t* y = c.out(0).as<uint8_t>() + i / blocks * a.channels + channel;
      for (int64_t j = 0; j < std::min(kernels::byte_block, a.channels - channel); ++j) {
        const float mean = static_cast<float>(sums[j] - static_cast<int32_t>(positions) * a.x_zero) * scale;
        const float code = std::nearbyint(std::clamp(mean, -1e6f, 1e6f)) + static_cast<float>(a.y_zero);
        y[j] = static_cast<uint8_t>(std::clamp(code, 0.0f, 255.0f));
      }
    }
  });
}

void expand_average(ExpandContext& c) {
  const Average a = average(c.node);
  const Type& x = c.in(0)->type;
  if (!x.is_static()) fail(ErrorCode::unsupported, c.node.label(), ": the shape must be known");
  const float positions = static_cast<float>(x.shape()[2] * x.shape()[3]);
  auto real = [&](float v) { return c.constant(Tensor::scalar(v)); };
  Value* codes = c.emit("UnblockBytes", {c.in(0)}, {{"channels", a.channels}}, "outpost");
  Value* sum = c.emit("ReduceSum", {c.emit("Cast", {codes}, {{"to", static_cast<int64_t>(DType::f32)}}), c.integers({2, 3})});
  Value* mean = c.mul(c.sub(sum, real(positions * static_cast<float>(a.x_zero))), real(a.scale / positions));
  Value* y = c.emit("Clip", {c.add(c.emit("Round", {mean}), real(static_cast<float>(a.y_zero))), real(0), real(255)});
  c.replace(0, c.emit("Cast", {y}, {{"to", static_cast<int64_t>(DType::u8)}}));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_BlockedMaxPoolInt8, .name = "BlockedMaxPoolInt8", .domain = "outpost",
                  .doc = "MaxPool of codes in blocks of channels", .infer = infer_max, .run = run_max,
                  .expand = expand_max, .no_gradient = "integers", .prepare = prepare_pool, .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | u8[2,2,7,8,16](0,255)
  kernel_shape=[2,2] ceil_mode=1 strides=[2,2] | u8[1,1,5,5,16](0,255)
)");
OUTPOST_DEFINE_OP(outpost_BlockedGlobalAveragePoolInt8, .name = "BlockedGlobalAveragePoolInt8", .domain = "outpost",
                  .doc = "GlobalAveragePool of codes in blocks of channels", .infer = infer_average, .run = run_average,
                  .expand = expand_average, .no_gradient = "integers", .cases = R"(
  channels=20 x_zero=3 y_zero=7 scale=2.3 | u8[2,2,5,3,16](0,255)
)");

}  // namespace outpost
