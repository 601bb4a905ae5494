// The verifier accepts what edits make and finds what they must not leave behind.
#include "graph/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/text.h"

namespace outpost::test {
namespace {

std::string problem_of(const Graph& graph) {
  try {
    verify_graph(graph, "pass");
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::shared_ptr<Graph> chain() {
  return parse_graph(R"(graph "g" {
    input %x f32[2]
    const %c f32[] {1}
    %a f32[2] = Add(%x, %c)
    %b f32[2], - = Foo(%a, -, %a)
    output %b
  })");
}

TEST(VerifyGraph, edits_keep_the_invariants) {
  auto graph = chain();
  EXPECT_EQ(problem_of(*graph), "");
  auto* a = graph->find("a");
  auto* fresh = graph->add_node("Neg", "", {graph->find("x")}, {}, 1, a->producer());
  graph->replace_uses(a, fresh->output(0));
  EXPECT_EQ(problem_of(*graph), "");
  graph->remove_dead();
  EXPECT_EQ(problem_of(*graph), "");
  EXPECT_EQ(problem_of(*graph->clone()), "");
}

TEST(VerifyGraph, a_broken_order_is_found) {
  auto graph = chain();
  graph->move_before(graph->find("b")->producer(), graph->find("a")->producer());
  EXPECT_THAT(problem_of(*graph), testing::HasSubstr("after 'pass': Foo -> 'b' reads 'a' before it is made"));
  graph->sort();
  EXPECT_EQ(problem_of(*graph), "");
}

TEST(VerifyGraph, foreign_values_are_found) {
  auto graph = chain(), other = chain();
  graph->outputs[0] = other->find("b");
  EXPECT_THAT(problem_of(*graph), testing::HasSubstr("no live value"));
}

TEST(VerifyGraph, renaming_behind_the_graph_is_found) {
  auto graph = chain();
  graph->find("a")->name = "z";
  EXPECT_THAT(problem_of(*graph), testing::HasSubstr("'z' is not found by its name"));
}

TEST(VerifyGraph, a_subgraph_without_room_for_captures_is_found) {
  auto graph = parse_graph(R"(graph "g" {
    input %x f32[2]
    input %p bool[]
    %y f32[2] = If(%p; %x) {then_branch = graph "t" {input %x f32[2] output %x}, else_branch = graph "e" {const %k f32[2] {0, 0} output %k}}
    output %y
  })");
  EXPECT_THAT(problem_of(*graph), testing::HasSubstr("subgraph 'else_branch' has 0 inputs for 1 captures"));
}

}  // namespace
}  // namespace outpost::test
