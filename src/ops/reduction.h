// Reductions over any axes: what Reduce*, global poolings and norms run.
//
// Neighbouring axes of the same fate (kept or reduced) merge into groups; then one group at a time, innermost first, a
// pass (outer, length, inner) -> (outer, inner) reduces what is left. Narrow types are widened by blocks in the first
// pass; what lies between passes is in the compute type. Passes are cut by shape only.
#pragma once
#include "ops/op.h"

namespace outpost {

enum class Reduction : uint8_t { sum, mean, prod, max, min, l1, l2, sum_square, log_sum, log_sum_exp };

// Which axes go; bit i is axis i. An empty set applies the element's part only (|x|, x², …).
using AxisSet = uint64_t;

// The type a reduction computes in: f32, f64, i64, u64.
DType reduction_type(Reduction, DType storage) noexcept;
size_t reduction_scratch_bytes(Reduction, DType dtype, const Shape& x, AxisSet, int threads);
// y holds the kept axes' elements in order (whether or not reduced axes stay as 1).
void run_reduction(const RunContext&, Reduction, const View& x, AxisSet, const View& y, void* scratch);

}  // namespace outpost
