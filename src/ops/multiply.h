// Matrix products inside operators: kernels::Gemm over its tiles, on all threads where that pays.
#pragma once
#include <memory>

#include "kernels/gemm.h"
#include "ops/op.h"

namespace outpost {

// f32 also for types that are not floats.
kernels::FloatType float_type(DType) noexcept;

// `scratch` holds multiply_scratch_bytes(gemm, threads). May be called inside a parallel body: then it runs on that
// thread alone, in that thread's part of the scratch.
void multiply(const RunContext&, const kernels::Gemm&, void* scratch);
size_t multiply_scratch_bytes(const kernels::Gemm&, int threads);

// The packed right-hand side (reads b, its strides and type, n and k), owned. `key` as PrepareContext::packed's.
std::shared_ptr<const void> pack_right(const PrepareContext&, std::string_view key, const kernels::Gemm&);

}  // namespace outpost
