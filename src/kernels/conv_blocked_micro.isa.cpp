// The register tiles of conv_blocked_micro.h.
#include "kernels/conv_blocked_micro.h"

#include "kernels/activate.h"

namespace outpost::kernels {
namespace {

using OUTPOST_ISA::BlockedMicro;
using OUTPOST_ISA::BlockedTile;

#define OUTPOST_EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); ++i)

// Finished sums: the activations that are no clamp (a clamp may come twice), then zero in padding lanes.
__attribute__((noinline)) void finish_tile(const BlockedTile& t, int rows, int columns, int blocks) {
  const F32 low = broadcast(t.low), high = broadcast(t.high);
  for_activation(t.activation, [&]<Activation kind>() {
    for (int b = 0; b < blocks; ++b) {
      const I32 real = lane_index() < (b + 1 < blocks ? lanes : t.real_lanes);
      for (int r = 0; r < rows; ++r) {
        float* y = t.y + b * t.y_block + r * t.y_row;
        for (int q = 0; q < columns; ++q)
          store(y + q * lanes, select(real, activate(load(y + q * lanes), kind, low, high), F32{}));
      }
    }
  });
}

template <int rows, int columns, int blocks>
void micro(const BlockedTile& t) {
  constexpr int positions = rows * columns;
  // Three positions share a pointer: x, x + stride and x + 2 stride are one instruction's addresses.
  constexpr int thirds = (columns + 2) / 3;
  F32 sum[positions][blocks];
  const int64_t y_row = t.y_row, y_block = t.y_block;
  float* const y = t.y;
  if (!t.first) {
    OUTPOST_EACH(r, rows) OUTPOST_EACH(q, columns) OUTPOST_EACH(b, blocks)
      sum[r * columns + q][b] = load(y + r * y_row + b * y_block + q * lanes);
  } else {
    F32 bias[blocks];
    OUTPOST_EACH(b, blocks) bias[b] = t.bias ? load(t.bias + b * lanes) : F32{};
    if (t.has_residual) {
      const float* residual = y + t.residual;
      OUTPOST_EACH(r, rows) OUTPOST_EACH(q, columns) OUTPOST_EACH(b, blocks)
        sum[r * columns + q][b] = load(residual + r * y_row + b * y_block + q * lanes) * t.residual_scale + bias[b];
    } else {
      OUTPOST_EACH(p, positions) OUTPOST_EACH(b, blocks) sum[p][b] = bias[b];
    }
  }

  const int64_t stride = t.x_position, w_block = t.w_block, ahead = t.w_ahead;
  const float* w = t.w;
  for (int64_t block = 0; block < t.blocks; ++block) {
    const int64_t steps = block + 1 < t.blocks ? t.steps : t.last_steps;
    for (int64_t tap = 0; tap < t.tap_count; ++tap) {
      const float* x[rows][thirds];
      OUTPOST_EACH(r, rows) OUTPOST_EACH(j, thirds)
        x[r][j] = t.x + block * t.x_block + t.taps[tap] + r * t.x_row + 3 * j * stride;
#pragma GCC unroll 1
      for (int64_t step = steps; step > 0; --step) {
        F32 weight[blocks];
        OUTPOST_EACH(b, blocks) weight[b] = load(w + b * w_block);
        OUTPOST_EACH(b, blocks) __builtin_prefetch(w + b * w_block + ahead);
        OUTPOST_EACH(r, rows) OUTPOST_EACH(q, columns) {
          const float* value = x[r][q / 3] + q % 3 * stride;
          OUTPOST_EACH(b, blocks) sum[r * columns + q][b] = multiply_add(sum[r * columns + q][b], weight[b], value);
        }
        OUTPOST_EACH(r, rows) OUTPOST_EACH(j, thirds) ++x[r][j];
        w += lanes;
      }
    }
  }

  const bool clamps = t.last && (t.activation == Activation::relu || t.activation == Activation::clip);
  if (clamps) {
    const F32 low = broadcast(t.low), high = broadcast(t.high);
    OUTPOST_EACH(p, positions) OUTPOST_EACH(b, blocks) sum[p][b] = clamp(sum[p][b], low, high);
  }
  OUTPOST_EACH(r, rows) OUTPOST_EACH(q, columns) OUTPOST_EACH(b, blocks)
    store(y + r * y_row + b * y_block + q * lanes, sum[r * columns + q][b]);
  const bool done = t.real_lanes == lanes && (clamps || t.activation == Activation::none);
  if (t.last && !done) finish_tile(t, rows, columns, blocks);
}

template <int rows, int blocks, int columns = tile_positions / rows>
BlockedMicro of_columns(int wanted) {
  if constexpr (columns > 1) {
    if (wanted < columns) return of_columns<rows, blocks, columns - 1>(wanted);
  }
  return micro<rows, columns, blocks>;
}

}  // namespace

BlockedMicro OUTPOST_ISA::blocked_micro(int rows, int columns, int blocks) {
  if (rows == 1) return blocks == 1 ? of_columns<1, 1>(columns) : of_columns<1, 2>(columns);
  return blocks == 1 ? of_columns<2, 1>(columns) : of_columns<2, 2>(columns);
}

}  // namespace outpost::kernels
