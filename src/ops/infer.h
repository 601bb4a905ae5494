// Types of a whole graph, from its inputs and its operators' shape rules.
#pragma once
#include <span>
#include <vector>

#include "graph/graph.h"

namespace outpost {

// The output types of one node. `inputs` and `values` have one entry per input of the node (null where absent / not
// known). Checks the number of inputs and outputs. Throws Error(invalid_model).
std::vector<Type> infer_node(const Node& node, std::span<const Type* const> inputs, std::span<const Tensor* const> values);

// Gives every node output of the graph (and of its subgraphs) its type; a rule that knows less than the type already
// there keeps the latter, one that contradicts it throws.
// With `name_unknown`, a dim that nothing is known of gets a symbol of its own: then it can be told that two values share
// it. The graph's Symbols grow by it, so they must not be shared with another graph that is in use.
void infer_graph(Graph& graph, bool name_unknown = false);

// What the body's outputs are for inputs of these types; the graph is not changed.
std::vector<Type> infer_body(const Graph& body, std::span<const Type> inputs);

}  // namespace outpost
