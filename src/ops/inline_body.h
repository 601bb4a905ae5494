// A subgraph's nodes, copied to where a builder stands.
#pragma once
#include <vector>

#include "ops/op.h"

namespace outpost {

// `inputs` as the body's inputs (captures included). Returns what its outputs became.
std::vector<Value*> inline_body(Builder&, const Graph& body, const std::vector<Value*>& inputs);

}  // namespace outpost
