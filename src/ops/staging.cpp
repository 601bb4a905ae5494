// Conversions of staged runs: the vectorised kernels where there are some, else the general ones.
#include "ops/staging.h"

namespace outpost {

void widen(DType from, const void* x, int64_t first, int64_t count, float* y) {
  const kernels::Kernels& k = kernels::kernels();
  if (from == DType::f16) k.f16_to_f32(static_cast<const uint16_t*>(x) + first, y, count);
  else if (from == DType::bf16) k.bf16_to_f32(static_cast<const uint16_t*>(x) + first, y, count);
  else load(from, x, first, count, DType::f32, y);
}

void narrow(DType to, const float* x, int64_t count, void* y, int64_t first) {
  const kernels::Kernels& k = kernels::kernels();
  if (to == DType::f16) k.f32_to_f16(x, static_cast<uint16_t*>(y) + first, count);
  else if (to == DType::bf16) k.f32_to_bf16(x, static_cast<uint16_t*>(y) + first, count);
  else store(DType::f32, x, count, to, y, first);
}

}  // namespace outpost
