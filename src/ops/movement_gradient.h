// Gradients of operators that only rearrange elements: run the same operator on the positions 0, 1, 2, … of the input
// instead of its values, and it says where every output element came from; the gradient goes back there.
#pragma once
#include "ops/op.h"

namespace outpost {

// i64, the shape of x: its row-major positions, plus `first`.
Value* positions_like(Builder&, Value* x, int64_t first = 0);
// A tensor like x holding, at each position, the sum of the elements of `gradient` whose `positions` name it.
Value* scatter_back(Builder&, Value* positions, Value* gradient, Value* x);
// Zeros of x's shape and dtype.
Value* zeros_like(Builder&, Value* x);

}  // namespace outpost
