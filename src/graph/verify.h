// The invariants of a graph (graph.h), checked. Run after every pass in debug builds and in tests: a pass that breaks
// one is found where it did, not where it hurts.
#pragma once
#include "graph/graph.h"

namespace outpost {

// Checks the graph and its subgraphs; `after` (a pass, for the message). Throws Error(internal) naming the first fault.
void verify_graph(const Graph& graph, std::string_view after = "");

}  // namespace outpost
