// Conversion between dtypes by runs of elements: how operators compute on storage types they have no kernel for
// ("storage types convert per tile to a compute type"). Semantics are C's and numpy's: integers wrap, floats truncate
// towards zero to integers (NaN and out-of-range give the type's minimum, or 0 for unsigned; what is in the range of i32
// wraps into the sub-byte integers), anything non-zero is true.
#pragma once
#include "outpost/tensor.h"

namespace outpost {

// The type an elementwise operator computes a storage type in: f32 for narrow floats and f32, f64, i64 for signed
// integers and bool, u64 for unsigned, complex128 for complex64, string for strings.
DType compute_type(DType storage) noexcept;

// Elements [first, first + count) of `from` into `to[0..count)` where `to` is one of f32, f64, i64, u64, complex128
// or any byte-wide type. Sub-byte sources are unpacked.
void load(DType from_type, const void* from, int64_t first, int64_t count, DType to_type, void* to);
// The inverse: from[0..count) into elements [first, first + count) of `to`. Sub-byte targets must be written in runs
// that start at an even (u4/i4/f4) or four-aligned (u2/i2) element. `saturate` concerns f8 targets only.
void store(DType from_type, const void* from, int64_t count, DType to_type, void* to, int64_t first, bool saturate = true);
// Whole tensors of any two numeric dtypes.
void convert(DType from_type, const void* from, DType to_type, void* to, int64_t count, bool saturate = true);

}  // namespace outpost
