// Direct convolution on channel blocks: a register of output channels, weights as vectors, inputs as broadcasts.
// Packed weights: [out block][in block][tap][in lane][out lane]; depthwise [block][tap][lane].
#include "kernels/conv_blocked.h"

#include "kernels/activate.h"
#include "kernels/gemm_pack.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

constexpr int64_t block = lanes;

int64_t plane_of(const int64_t (&extent)[3]) { return extent[1] * extent[2]; }

// Weights run over `steps` in blocks (the last one partial) of one group.
struct Sizes {
  bool depthwise;
  int64_t in_group, out_group, in_blocks, out_blocks, taps;
  explicit Sizes(const BlockedConv& c)
      : depthwise(c.groups > 1 && c.groups == c.in_channels && c.groups == c.out_channels),
        in_group(c.in_channels / c.groups), out_group(depthwise ? c.out_channels : c.out_channels / c.groups),
        in_blocks(channel_blocks(in_group, block)), out_blocks(channel_blocks(out_group, block)),
        taps(plane_of(c.window.kernel)) {}
  int64_t all_out_blocks(const BlockedConv& c) const { return depthwise ? out_blocks : out_blocks * c.groups; }
  int64_t block_floats() const { return depthwise ? taps * block : in_blocks * taps * block * block; }
};

size_t pack_bytes(const BlockedConv& c) {
  const Sizes s(c);
  return size_t(s.all_out_blocks(c) * s.block_floats()) * sizeof(float);
}

void pack(const BlockedConv& c, const float* w, void* packed) {
  const Sizes s(c);
  float* to = static_cast<float*>(packed);
  for (int64_t ob = 0; ob < s.all_out_blocks(c); ++ob) {
    const int64_t first = s.depthwise ? ob * block : ob / s.out_blocks * s.out_group + ob % s.out_blocks * block;
    const int64_t end = s.depthwise ? c.out_channels : (ob / s.out_blocks + 1) * s.out_group;
    const int64_t in_steps = s.depthwise ? 1 : s.in_blocks * block;
    for (int64_t at = 0; at < in_steps; at += block)
      for (int64_t t = 0; t < s.taps; ++t)
        for (int64_t i = at; i < (s.depthwise ? 1 : at + block); ++i)
          for (int64_t o = first; o < first + block; ++o)
            *to++ = i < s.in_group && o < end ? w[(o * s.in_group + i) * s.taps + t] : 0.0f;
  }
}

F32 one_output(const BlockedConv& c, const Sizes& s, int64_t image, int64_t ob, int64_t oh, int64_t ow) {
  const Window& w = c.window;
  const int64_t plane = plane_of(w.in), in_blocks = channel_blocks(c.in_channels, block);
  const int64_t first_block = s.depthwise ? ob : ob / s.out_blocks * s.in_blocks;
  const float* weights = static_cast<const float*>(c.packed_weights) + ob * s.block_floats();
  F32 sum{};
  for (int64_t ib = 0; ib < (s.depthwise ? 1 : s.in_blocks); ++ib)
    for (int64_t kh = 0; kh < w.kernel[1]; ++kh)
      for (int64_t kw = 0; kw < w.kernel[2]; ++kw, weights += s.depthwise ? block : block * block) {
        const int64_t h = oh * w.stride[1] + kh * w.dilation[1] - w.pad[1];
        const int64_t v = ow * w.stride[2] + kw * w.dilation[2] - w.pad[2];
        if (h < 0 || h >= w.in[1] || v < 0 || v >= w.in[2]) continue;
        const int64_t at = h * w.in[2] + v;
        if (c.x_planar) {
          for (int64_t i = 0; i < smaller(block, c.in_channels - ib * block); ++i)
            sum += load(weights + i * block) * c.x[(image * c.in_channels + ib * block + i) * plane + at];
          continue;
        }
        const float* x = c.x + ((image * in_blocks + first_block + ib) * plane + at) * block;
        if (s.depthwise) sum += load(weights) * load(x);
        else
          for (int64_t i = 0; i < block; ++i) sum += load(weights + i * block) * x[i];
      }
  return sum;
}

int64_t tiles(const BlockedConv& c) { return c.batch * channel_blocks(c.out_channels, block) * c.window.out[1]; }
size_t scratch_bytes(const BlockedConv&) { return 0; }

void run(const BlockedConv& c, int64_t begin, int64_t end, void*) {
  const Sizes s(c);
  const int64_t blocks = channel_blocks(c.out_channels, block), width = c.window.out[2];
  const Epilogue& e = c.epilogue;
  const auto *bias = static_cast<const float*>(e.row_bias), *residual = static_cast<const float*>(e.residual);
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t oh = tile % c.window.out[1], ob = tile / c.window.out[1] % blocks, image = tile / c.window.out[1] / blocks;
    const I32 real = lane_index() < int32_t(smaller(block, c.out_channels - ob * block));
    for (int64_t ow = 0; ow < width; ++ow) {
      const int64_t at = (tile * width + ow) * block;
      F32 sum = one_output(c, s, image, ob, oh, ow);
      if (bias) sum += load(bias + ob * block);
      if (residual) sum += load(residual + at) * float(e.residual_scale);
      store(c.y + at, activate(select(real, sum, F32{}), e.activation, broadcast(e.low), broadcast(e.high)));
    }
  }
}

}  // namespace

void OUTPOST_ISA::fill_conv_blocked(Kernels& table) {
  table.conv_blocked_pack_bytes = pack_bytes;
  table.conv_blocked_pack = pack;
  table.conv_blocked_tiles = tiles;
  table.conv_blocked_scratch_bytes = scratch_bytes;
  table.conv_blocked = run;
}

}  // namespace outpost::kernels
