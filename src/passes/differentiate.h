// Reverse-mode differentiation as a pass: the gradient of a value is more nodes of the same graph, so that planner,
// executor and export treat it like any other (Griewank & Walther, Evaluating Derivatives, ch. 3).
#pragma once
#include <span>
#include <vector>

#include "graph/graph.h"

namespace outpost {

// Appends nodes that compute d(sum(seed * y))/dx for every x, in that order; `seed` null means ones. An x that y does
// not depend on gets zeros. Operators without a gradient of their own are expanded first where they can be.
// Throws Error(unsupported) naming the node that has no gradient.
std::vector<Value*> differentiate(Graph& graph, Value* y, std::span<Value* const> xs, Value* seed = nullptr);

}  // namespace outpost
