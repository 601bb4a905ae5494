// Winograd convolution on channel blocks: what BlockedConv's algorithms winograd4 and winograd2 mean. A group of tiles,
// half a megabyte once transformed, passes three steps: inputs to V (frequency, in block, tile, B); for each frequency
// a product of the tiles with the weights U (frequency, pair of out blocks, in channel, 2 B) to M (frequency, out
// block, tile, B); M to outputs with bias, residual and activation. A frequency's V stays in L1 while its weights
// stream by, so weights are read once a group.
//
// Work is cut into (convolution group, group of tiles, part of the out blocks); a run of parts transforms its inputs
// once. Tiles are counted through the images of a batch. Infinities and NaNs reach the outputs whose windows hold them
// and no others, as in a direct sum: tiles that meet one are summed term by term.
#include "kernels/conv_blocked_entries.h"
#include "kernels/winograd_group.h"

namespace outpost::kernels {
namespace {

template <int m>
void run(const BlockedConv& c, int64_t begin, int64_t end, void* memory) {
  const Plan<m> s(c);
  auto* scratch = static_cast<float*>(memory);
  int64_t held = -1;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t inputs = item / s.parts;
    const Part part = part_of(s.pairs(), s.parts, item % s.parts);
    const Worker<m> work{c, s, scratch, scratch + s.v_floats(), inputs / s.tile_groups,
                         part_of(s.tiles, s.tile_groups, inputs % s.tile_groups)};
    if (inputs != held) work.inputs();
    held = inputs;
    work.products(part);
    work.outputs(part);
  }
}

template <int m>
void pack(const BlockedConv& c, const float* w, void* memory) {
  constexpr int n = m + 2;
  const Plan<m> s(c);
  auto* packed = static_cast<float*>(memory);
  const int64_t frequency = s.weight_floats() / (n * n), out_group = c.out_channels / c.groups;
  for (int64_t g = 0; g < c.groups; ++g, packed += s.weight_floats())
    for (int64_t o = 0; o < s.out_blocks * lanes; ++o) {
      const int64_t ob = o / lanes, step = (ob + 1 < s.out_blocks || ob % 2 ? 2 : 1) * lanes;
      float* to = packed + ob / 2 * 2 * lanes * s.in_channels + ob % 2 * lanes + o % lanes;
      for (int64_t i = 0; i < s.in_channels; ++i, to += step) {
        double half[3][n];
        for (int k = 0; k < 3; ++k) {
          const float* from = w + ((g * out_group + o) * s.in_channels + i) * 9 + k * 3;
          if (o < out_group) WinogradLine<m>::weights({from[0], from[1], from[2]}, half[k]);
          else WinogradLine<m>::weights({0, 0, 0}, half[k]);
        }
        for (int j = 0; j < n; ++j) {
          double u[n];
          WinogradLine<m>::weights({half[0][j], half[1][j], half[2][j]}, u);
          for (int k = 0; k < n; ++k) to[(k * n + j) * frequency] = float(u[k]);
        }
      }
    }
}

template <int m>
size_t pack_bytes(const BlockedConv& c) {
  return size_t(c.groups * Plan<m>(c).weight_floats()) * sizeof(float);
}

template <int m>
size_t scratch_bytes(const BlockedConv& c) {
  const Plan<m> s(c);
  return size_t(s.v_floats() + s.frequencies * s.p_stride) * sizeof(float);
}

template <int m>
int64_t tiles(const BlockedConv& c) {
  const Plan<m> s(c);
  return s.out_blocks == 0 ? 0 : c.groups * s.tile_groups * s.parts;
}

// Time in steps of one register multiplication. Products run at one a step, transforms take 7 a frequency and block,
// and a byte of weights, read once, takes 0.09 from memory: layers of ResNet-50 and YOLOv8n, cold weights, on Zen 4.
constexpr double transform_steps = 7, byte_steps = 0.09;

double direct_steps(const BlockedConv& c, double height, double width) {
  const double blocks = double(channel_blocks(c.out_channels, lanes)), depth = double(c.in_channels / c.groups);
  return 9 * depth * blocks * (double(c.batch) * height * width * 1.1 + byte_steps * vector_bytes);
}

template <int m>
double steps(const BlockedConv& c) {
  const Plan<m> s(c);
  const double depth = double(s.in_channels), blocks = double(s.image_blocks[1]);
  const double tile = depth * blocks + transform_steps * double(s.image_blocks[0] + s.image_blocks[1]);
  return s.frequencies * (double(s.tiles) * tile + byte_steps * vector_bytes * depth * blocks);
}

BlockedAlgorithm algorithm(const BlockedConv& asked) {
  if (!winograd_applies(asked, lanes)) return BlockedAlgorithm::direct;
  BlockedConv c = asked;
  for (int i = 1; i < 3; ++i)
    if (c.window.out[i] == 0) c.window.out[i] = 28;
  const double direct = direct_steps(c, double(c.window.out[1]), double(c.window.out[2]));
  const double by2 = steps<2>(c), by4 = steps<4>(c);
  if (direct <= by2 && direct <= by4) return BlockedAlgorithm::direct;
  return by2 < by4 ? BlockedAlgorithm::winograd2 : BlockedAlgorithm::winograd4;
}

BlockedEntries direct;  // the entries of the direct sum

#define OUTPOST_BY_ALGORITHM(name)                                                   \
  (c.algorithm == BlockedAlgorithm::winograd4   ? name<4>                              \
   : c.algorithm == BlockedAlgorithm::winograd2 ? name<2>                              \
                                                : direct.name)

}  // namespace

void OUTPOST_ISA::fill_winograd(Kernels& table) {
  direct = BlockedEntries::of(table);
  BlockedEntries{
      .algorithm = algorithm,
      .pack_bytes = [](const BlockedConv& c) { return OUTPOST_BY_ALGORITHM(pack_bytes)(c); },
      .pack = [](const BlockedConv& c, const float* w, void* to) { OUTPOST_BY_ALGORITHM(pack)(c, w, to); },
      .tiles = [](const BlockedConv& c) { return OUTPOST_BY_ALGORITHM(tiles)(c); },
      .scratch_bytes = [](const BlockedConv& c) { return OUTPOST_BY_ALGORITHM(scratch_bytes)(c); },
      .run = [](const BlockedConv& c, int64_t begin, int64_t end,
                void* scratch) { OUTPOST_BY_ALGORITHM(run)(c, begin, end, scratch); },
  }.set(table);
}

}  // namespace outpost::kernels
