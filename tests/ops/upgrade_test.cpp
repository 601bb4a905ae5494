// Old forms of operators from hostile files: whatever inputs a node lacks, bringing it to the newest form ends in an error.
#include "ops/upgrade.h"

#include <gtest/gtest.h>

#include "ops/op.h"

namespace outpost {
namespace {

TEST(Upgrade, NodesThatLackInputsAreErrors) {
  for (const OpDef* def : all_ops())
    for (int version = def->first; version <= def->since; ++version)
      for (size_t inputs : {0, 1, 4})
        for (bool first : {false, true}) {
          Graph graph;
          graph.opsets[std::string(def->domain)] = version;
          std::vector<Value*> values(inputs, nullptr);
          if (first && inputs > 0) values[0] = graph.add_input("x", Type::tensor(DType::f32, Shape{2, 3}));
          Node* node = graph.add_node(std::string(def->name), std::string(def->domain), values, {}, std::max(1, def->min_outputs));
          node->version = version;
          graph.outputs = {node->output(0)};
          try {
            upgrade_graph(graph);
          } catch (const Error& e) {
            EXPECT_NE(e.code(), ErrorCode::internal) << e.what();
          }
        }
}

}  // namespace
}  // namespace outpost
