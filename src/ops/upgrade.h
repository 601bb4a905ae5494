// From a graph as a file holds it to one that the engine understands: operators resolved, every node in its newest form,
// every value typed.
#pragma once
#include "graph/graph.h"

namespace outpost {

// Walks the graph and its subgraphs in order, so that an upgrade sees the types of its inputs.
// Throws Error(unsupported) for an unknown operator or version, Error(invalid_model) where a shape rule is broken.
void upgrade_graph(Graph& graph);

}  // namespace outpost
