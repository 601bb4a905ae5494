// Depthwise convolution and pooling of 8-bit blocks, tap by tap: codes are widened as they are read.
#include "kernels/depthwise_int8_parts.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

inline I32 load_wide(const uint8_t* p) {
  LaneBytes bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(bytes, I32);
}

struct WideTaps {
  static int64_t packed_bytes(int64_t kernel_w) { return kernel_w * byte_block * int64_t(sizeof(int32_t)); }
  template <class Weight>
  static void pack(Weight weight, int64_t kernel_w, uint8_t* packed) {
    auto* to = reinterpret_cast<int32_t*>(packed);
    for (int64_t kx = 0; kx < kernel_w; ++kx)
      for (int64_t c = 0; c < byte_block; ++c) *to++ = weight(c, kx);
  }
  template <int columns>
  static void accumulate(const uint8_t* x, int64_t stride, int64_t dilation, const uint8_t* weights, int64_t kernel_w,
                         I32 (&sum)[columns][block_vectors]) {
    const auto* w = reinterpret_cast<const int32_t*>(weights);
    for (int64_t kx = 0; kx < kernel_w; ++kx, x += dilation, w += byte_block)
      for (int c = 0; c < columns; ++c)
        for (int v = 0; v < block_vectors; ++v)
          sum[c][v] = (I32)((U32)sum[c][v] + (U32)(load_wide(x + c * stride + v * lanes) * load(w + v * lanes)));
  }
};

typedef uint8_t BlockBytes __attribute__((vector_size(16)));

void max_pool(const PoolInt8& p, int64_t begin, int64_t end) {
  const Window& w = p.window;
  for (int64_t block = begin; block < end; ++block) {
    const uint8_t* x = p.x + block * w.in[1] * w.in[2] * byte_block;
    uint8_t* y = p.y + block * w.out[1] * w.out[2] * byte_block;
    for (int64_t i = 0; i < w.out[1]; ++i)
      for (int64_t j = 0; j < w.out[2]; ++j, y += byte_block) {
        BlockBytes best = {};
        for (int64_t ky = 0; ky < w.kernel[1]; ++ky) {
          const int64_t h = i * w.stride[1] + ky * w.dilation[1] - w.pad[1];
          if (h < 0 || h >= w.in[1]) continue;
          for (int64_t kx = 0; kx < w.kernel[2]; ++kx) {
            const int64_t v = j * w.stride[2] + kx * w.dilation[2] - w.pad[2];
            if (v < 0 || v >= w.in[2]) continue;
            BlockBytes codes;
            __builtin_memcpy(&codes, x + (h * w.in[2] + v) * byte_block, sizeof codes);
            best = codes > best ? codes : best;
          }
        }
        __builtin_memcpy(y, &best, sizeof best);
      }
  }
}

void sum_blocks(const uint8_t* x, int64_t positions, int64_t begin, int64_t end, int32_t* sums) {
  for (int64_t block = begin; block < end; ++block) {
    const uint8_t* from = x + block * positions * byte_block;
    for (int v = 0; v < block_vectors; ++v) {
      I32 sum = {};
      for (int64_t i = 0; i < positions; ++i) sum += load_wide(from + i * byte_block + v * lanes);
      store(sums + block * byte_block + v * lanes, sum);
    }
  }
}

}  // namespace

void OUTPOST_ISA::fill_depthwise_int8(Kernels& table) {
  set_depthwise_entries<WideTaps>(table.int8);
  table.int8.max_pool = max_pool;
  table.int8.sum_blocks = sum_blocks;
}

}  // namespace outpost::kernels
