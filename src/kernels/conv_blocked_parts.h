// What the files of blocked convolutions share: sizes in blocks, the order of packed weights, the depthwise path.
#pragma once

#include "kernels/conv_blocked.h"
#include "kernels/gemm_pack.h"
#include "kernels/simd.h"

namespace outpost::kernels {

namespace OUTPOST_ISA {

// Depthwise: weights [block][tap][lane].
int64_t blocked_depthwise_tiles(const BlockedConv& c);
void blocked_depthwise(const BlockedConv& c, int64_t tile_begin, int64_t tile_end);

}  // namespace OUTPOST_ISA

namespace {

constexpr int64_t block = lanes;

inline int64_t plane_of(const int64_t (&extent)[3]) { return extent[1] * extent[2]; }
inline bool is_depthwise(const BlockedConv& c) {
  return c.groups > 1 && c.groups == c.in_channels && c.groups == c.out_channels;
}

// Of one group.
struct Sizes {
  int64_t in_channels, out_channels, in_blocks, out_blocks, taps;
  explicit Sizes(const BlockedConv& c)
      : in_channels(c.in_channels / c.groups), out_channels(c.out_channels / c.groups),
        in_blocks(channel_blocks(in_channels, block)), out_blocks(channel_blocks(out_channels, block)),
        taps(plane_of(c.window.kernel)) {}
  // Packed weights of one block of outputs: [in block][tap][in lane][out lane], the last block of inputs with its real
  // lanes only; of a planar x [in channel][tap][out lane].
  int64_t block_floats() const { return in_channels * taps * block; }
};

}  // namespace
}  // namespace outpost::kernels
