// Names within one body of nodes: what it takes from outside, and an order in which producers come before users.
#pragma once
#include <span>

#include "formats/onnx/proto.h"

namespace outpost::onnx {

// Puts `nodes` into topological order (unchanged when they already are) and returns the names they take from outside,
// in order of first use. `given` are the names that the body's inputs and initializers define; `wanted` its outputs.
// Throws Error(invalid_model) when a name is made twice or nodes form a cycle.
std::vector<std::string_view> order_nodes(const std::string& file, std::vector<NodeProto>& nodes,
                                          std::span<const std::string_view> given, std::span<const std::string_view> wanted);

}  // namespace outpost::onnx
