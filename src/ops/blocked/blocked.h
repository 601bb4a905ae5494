// What the operators on channel blocks share. A blocked tensor is (batch, ceil(channels / B), height, width, B); the
// layout pass makes them with B the lanes of the instruction set in use, and then the kernels run them in f32. Any other
// block (a saved graph on another machine) and f64 run in plain loops, which the laws compare the kernels with.
// Channels past the last are zero when an operator here writes them, and never matter when it reads them.
#pragma once
#include "ops/fused_activation.h"
#include "ops/pool.h"

namespace outpost {

// The attribute `block`: 4, 8 or 16; else Error(invalid_model).
int64_t block_of(const Node& node);
// The block of the kernels in use.
int64_t native_block();
inline int64_t blocks_of(int64_t channels, int64_t block) { return (channels + block - 1) / block; }

// Blocked dims of planar ones (batch, channels, height, width).
Dims blocked_dims(const Dims& planar, int64_t block);

// The axes of (batch, blocks, height, width, B) moved to (batch, blocks, B, height, width) and back, as nodes.
Value* lanes_first(Builder& build, Value* blocked);
Value* lanes_last(Builder& build, Value* planes);

struct PlainConv {
  kernels::BlockedConv shape;  // sizes and window; pointers unused
  int64_t block = 1;
  const void *x = nullptr, *w = nullptr, *bias = nullptr, *residual = nullptr;  // bias: (out_channels)
  void* y = nullptr;
  FusedActivation activation;
};
// T: float or double.
template <class T>
void run_plain_conv(const RunContext&, const PlainConv&);

}  // namespace outpost
