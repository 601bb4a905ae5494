// Attention (ONNX 25) in ordinary operators: its reference, and what its gradient is taken of.
#pragma once
#include "ops/op.h"

namespace outpost {

void expand_attention(ExpandContext&);

}  // namespace outpost
