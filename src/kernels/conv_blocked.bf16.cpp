// Direct convolution on channel blocks with products of bf16 and sums of f32: the code of conv_blocked.isa.cpp over
// pairs of channels, two multiply-adds a lane and step. A region's input is always copied, rounded to bf16 on the way;
// weights are rounded when packed. VDPBF16PS takes denormals as zero. Measured 1.7 to 2 times as fast as f32.
//
// A 3x3 convolution whose outputs are many stays with Winograd's algorithm in f32, which is faster still.
#define OUTPOST_BF16_PAIRS 1
#include "kernels/conv_blocked.isa.cpp"
#include "kernels/conv_blocked_entries.h"
#include "kernels/conv_blocked_micro.isa.cpp"

namespace outpost::kernels {
namespace {

BlockedEntries f32;

bool is_bf16(const BlockedConv& c) { return c.algorithm == BlockedAlgorithm::bf16; }

// Blocked inputs, and windows that the region's copy can always hold.
bool applies(const BlockedConv& c) {
  if (c.x_planar || is_depthwise(c) || c.in_channels < c.groups) return false;
  for (int i = 1; i < 3; ++i) {
    const Window& w = c.window;
    if (w.kernel[i] > 7 || w.stride[i] > 4 || w.dilation[i] > 4 || w.pad[i] > 64 || w.pad[i] < -64) return false;
  }
  return true;
}

BlockedAlgorithm algorithm(const BlockedConv& c) {
  constexpr int64_t many = 400;  // outputs of a channel: 20 x 20, Winograd 1.2 to 1.6 times faster; 14 x 14, alike
  const BlockedAlgorithm other = f32.algorithm(c);
  if (!c.bf16 || !applies(c)) return other;
  const int64_t outputs = c.batch * plane_of(c.window.out);
  return other == BlockedAlgorithm::winograd4 && (outputs == 0 || outputs >= many) ? other : BlockedAlgorithm::bf16;
}

}  // namespace

void OUTPOST_ISA::blocked_depthwise(const BlockedConv&, int64_t, int64_t) {}  // stays with f32
int64_t OUTPOST_ISA::blocked_depthwise_tiles(const BlockedConv&) { return 0; }

void OUTPOST_ISA::fill_conv_blocked(Kernels& table) {
  f32 = BlockedEntries::of(table);
  BlockedEntries{
      .algorithm = algorithm,
      .pack_bytes = [](const BlockedConv& c) { return (is_bf16(c) ? pack_bytes : f32.pack_bytes)(c); },
      .pack = [](const BlockedConv& c, const float* w, void* to) { (is_bf16(c) ? pack : f32.pack)(c, w, to); },
      .tiles = [](const BlockedConv& c) { return (is_bf16(c) ? tiles : f32.tiles)(c); },
      .scratch_bytes = [](const BlockedConv& c) { return (is_bf16(c) ? scratch_bytes : f32.scratch_bytes)(c); },
      .run = [](const BlockedConv& c, int64_t begin, int64_t end,
                void* scratch) { (is_bf16(c) ? run : f32.run)(c, begin, end, scratch); },
  }.set(table);
}

}  // namespace outpost::kernels
