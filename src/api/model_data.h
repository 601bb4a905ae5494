// What a Model holds: the graph as read, and its description for callers.
#pragma once
#include "graph/graph.h"
#include "outpost/model.h"

namespace outpost {

struct Model::Data {
  std::shared_ptr<const Graph> graph;
  std::vector<ValueInfo> inputs, outputs;
};

TypeInfo describe(const Type& type, const Symbols& symbols);
// The position of a name among inputs or outputs; throws Error(not_found) that lists them.
size_t position(const std::vector<ValueInfo>& infos, std::string_view name, std::string_view kind);

}  // namespace outpost
