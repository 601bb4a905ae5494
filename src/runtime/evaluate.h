// One node, run at once on given values: how constants are folded and plan-time values computed.
#pragma once
#include <span>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"

namespace outpost {

// `inputs` may hold null for absent ones. Output shapes are inferred from the values. Throws Error like a run would;
// Error(limit) when an output would pass `limit_bytes`. The node must have a run and no subgraphs.
std::vector<Tensor> evaluate(const Node& node, std::span<const Tensor* const> inputs, size_t limit_bytes);

// For nodes that read only their inputs' shapes (OpDef::host_shape): inputs by type, which must be static.
std::vector<Tensor> evaluate_shapes(const Node& node, std::span<const Type* const> inputs);

}  // namespace outpost
