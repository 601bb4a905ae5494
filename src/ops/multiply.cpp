// Products below 256k flops (2 to 10 microseconds) stay on one thread; tiles depend on the shape alone either way.
#include "ops/multiply.h"

#include "kernels/kernels.h"

namespace outpost {

kernels::FloatType float_type(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64: return kernels::FloatType::f64;
    case DType::f16: return kernels::FloatType::f16;
    case DType::bf16: return kernels::FloatType::bf16;
    default: return kernels::FloatType::f32;
  }
}

static size_t scratch_bytes(const kernels::Gemm& gemm) { return (kernels::kernels().gemm_scratch_bytes(gemm) + 63) / 64 * 64; }

size_t multiply_scratch_bytes(const kernels::Gemm& gemm, int threads) { return scratch_bytes(gemm) * static_cast<size_t>(threads); }

void multiply(const RunContext& c, const kernels::Gemm& gemm, void* scratch) {
  const auto& k = kernels::kernels();
  const int worker = RunContext::worker();
  const bool small = 2.0 * double(gemm.m) * double(gemm.n) * double(gemm.k) < 256e3;
  if (worker == 0 && (small || c.threads() == 1)) return k.gemm(gemm, 0, kernels::all_tiles, scratch);
  const size_t bytes = scratch_bytes(gemm);
  auto mine = [&] { return static_cast<std::byte*>(scratch) + bytes * static_cast<size_t>(RunContext::worker()); };
  if (small) return k.gemm(gemm, 0, kernels::all_tiles, mine());
  c.parallel(k.gemm_tiles(gemm), [&](int64_t tile) { k.gemm(gemm, tile, tile + 1, mine()); });
}

std::shared_ptr<const void> pack_right(const PrepareContext& c, std::string_view key, const kernels::Gemm& gemm) {
  const auto& k = kernels::kernels();
  const Tensor packed = c.packed(key, k.gemm_pack_b_bytes(gemm) + 1, [&](void* memory) { k.gemm_pack_b(gemm, memory); });
  return {packed.buffer().owner, packed.raw()};
}

}  // namespace outpost
