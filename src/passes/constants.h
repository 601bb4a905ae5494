// Constants as numbers, for passes that fold arithmetic into weights.
#pragma once
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace outpost {

std::vector<double> values_of(const Tensor&);                     // row by row; numeric dtypes
Tensor tensor_of(DType, Shape, const std::vector<double>& values);

// The constant's value for each of `channels` along `axis` of a tensor of `rank` that it is broadcast to, if it varies
// along no other axis and does not enlarge the tensor.
std::optional<std::vector<double>> along_axis(const Value* constant, int rank, int axis, int64_t channels);

// w seen as (outer, channels, inner), every channel times its factor, rounded once. Undefined where a product would be
// infinite, not a number, or lost to the type's denormals.
Tensor scaled_along(const Tensor& w, int64_t outer, int64_t inner, const std::vector<double>& factors);
// A vector of these values; undefined where one is not finite in that dtype.
Tensor vector_of(DType, const std::vector<double>& values);

}  // namespace outpost
