// Passes: graph in, graph out. Each lives in a file of its own; this wrapper runs them in order and gives every one an
// off-switch, a timer, a verifier and a dump.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace outpost {

struct Pass {
  std::string_view name;
  int (*run)(Graph&);          // changes made; works on one graph (the wrapper goes into subgraphs first)
  bool required = false;       // the executor cannot do without it: has no off-switch
  std::string_view doc;
};

struct PassOptions {
  std::vector<std::string> off;                       // names; "all": every pass that is not required
  bool verify = false;                                // check the graph's invariants after every pass
  std::function<void(std::string_view pass, const Graph&)> dump;
};

struct PassReport {
  std::string_view name;
  int changes = 0;
  double milliseconds = 0;
};

const std::vector<Pass>& all_passes();
// Runs every pass in order, twice around while something changes.
std::vector<PassReport> optimise(Graph& graph, const PassOptions& options = {});

// The passes.
int expand_composites(Graph&);   // operators without an implementation of their own become others
int remove_identities(Graph&);   // Identity, Dropout at inference, Cast to the same type, …
int fold_constants(Graph&);      // nodes whose inputs are all constant, unless the model would grow
int drop_unused_outputs(Graph&); // optional outputs that nobody reads
int remove_dead(Graph&);         // nodes and constants that nobody reads

}  // namespace outpost
