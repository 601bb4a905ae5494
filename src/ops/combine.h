// What scatters do where an element is already there: replace it, or combine old and new.
#pragma once
#include "ops/infer_context.h"
#include "ops/movement.h"

namespace outpost {

enum class Combine : uint8_t { none, add, mul, max, min };

// Attribute 'reduction'; fails for an unknown name.
Combine combine_of(const Attributes& attributes, const std::string& label);

// y[at[i]·block + j] = combine(y[…], x[i·block + j]) for each of `count` blocks, one after another, in the type that the
// dtype computes in. max and min give NaN where either is NaN. Sub-byte types are not for combining.
void combine_blocks(const RunContext&, Combine, DType, int64_t block, int64_t count, const void* x, void* y, Locate locate);

}  // namespace outpost
