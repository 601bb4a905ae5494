// See blocked.h.
#include "ops/blocked/blocked.h"

#include "kernels/kernels.h"

namespace outpost {

int64_t block_of(const Node& node) {
  const int64_t block = node.attributes.integer("block", 0);
  if (block != 4 && block != 8 && block != 16)
    fail(ErrorCode::invalid_model, node.label(), ": block is ", block, "; expected 4, 8 or 16");
  return block;
}

int64_t native_block() { return kernels::kernels().vector_bytes / static_cast<int64_t>(sizeof(float)); }

Dims blocked_dims(const Dims& planar, int64_t block) {
  const Dim blocks = planar[1].known() ? Dim(blocks_of(planar[1].size, block)) : Dim();
  return {planar[0], blocks, planar[2], planar[3], Dim(block)};
}

Value* lanes_first(Builder& b, Value* blocked) {
  return b.emit("Transpose", {blocked}, {{"perm", std::vector<int64_t>{0, 1, 4, 2, 3}}});
}
Value* lanes_last(Builder& b, Value* planes) {
  return b.emit("Transpose", {planes}, {{"perm", std::vector<int64_t>{0, 1, 3, 4, 2}}});
}

namespace {

// The sum over one output's window; `group` is the output channel's.
template <class T>
T window_sum(const PlainConv& p, int64_t image, int64_t o, int64_t oh, int64_t ow) {
  const kernels::BlockedConv& c = p.shape;
  const kernels::Window& w = c.window;
  const int64_t in = c.in_channels / c.groups, group = o / (c.out_channels / c.groups), plane = w.in[1] * w.in[2];
  const int64_t blocks = blocks_of(c.in_channels, p.block), taps = w.kernel[1] * w.kernel[2];
  const TapRange rows = tap_range(w, 1, oh), columns = tap_range(w, 2, ow);
  const T* weights = static_cast<const T*>(p.w) + o * in * taps;
  T sum = 0;
  for (int64_t i = 0; i < in; ++i) {
    const int64_t channel = group * in + i;
    const T* x = static_cast<const T*>(p.x);
    if (c.x_planar) x += (image * c.in_channels + channel) * plane;
    else x += (image * blocks + channel / p.block) * plane * p.block + channel % p.block;
    for (int64_t h = rows.first; h < rows.last; ++h)
      for (int64_t v = columns.first; v < columns.last; ++v) {
        const int64_t at = (rows.origin + h * w.dilation[1]) * w.in[2] + columns.origin + v * w.dilation[2];
        sum += weights[i * taps + h * w.kernel[2] + v] * x[c.x_planar ? at : at * p.block];
      }
  }
  return sum;
}

}  // namespace

template <class T>
void run_plain_conv(const RunContext& r, const PlainConv& p) {
  const kernels::BlockedConv& c = p.shape;
  const int64_t width = c.window.out[2], positions = c.window.out[1] * width, blocks = blocks_of(c.out_channels, p.block);
  r.parallel(c.batch * blocks, [&](int64_t tile) {
    T* y = static_cast<T*>(p.y) + tile * positions * p.block;
    const T* residual = p.residual ? static_cast<const T*>(p.residual) + tile * positions * p.block : nullptr;
    for (int64_t at = 0; at < positions; ++at)
      for (int64_t lane = 0; lane < p.block; ++lane) {
        const int64_t o = tile % blocks * p.block + lane, i = at * p.block + lane;
        if (o >= c.out_channels) {
          y[i] = 0;
          continue;
        }
        T sum = window_sum<T>(p, tile / blocks, o, at / width, at % width);
        if (p.bias) sum += static_cast<const T*>(p.bias)[o];
        if (residual) sum += residual[i];
        if (p.activation.none()) y[i] = sum;
        else p.activation.apply(&sum, y + i, 1);
      }
  });
}

template void run_plain_conv<float>(const RunContext&, const PlainConv&);
template void run_plain_conv<double>(const RunContext&, const PlainConv&);

}  // namespace outpost
