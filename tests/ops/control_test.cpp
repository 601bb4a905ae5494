// Control flow: what a loop may cost, how it is stopped, and that wrong bodies are errors. Values are checked by the
// conformance suite.
#include <gtest/gtest.h>

#include "graph/text.h"
#include "node_run.h"
#include "ops/infer.h"
#include "runtime/program.h"

namespace outpost {
namespace {

using test::i64;
using test::iota;

void resolve_all(Graph& graph) {
  for (const auto& node : graph.nodes()) {
    resolve(*node);
    for_each_subgraph(*node, [](const std::string&, const std::shared_ptr<Graph>& body) { resolve_all(*body); });
  }
}

std::vector<Datum> run_graph(const char* text, std::vector<Datum> inputs, ExecuteOptions options = {}) {
  auto graph = parse_graph(text);
  resolve_all(*graph);
  infer_graph(*graph);
  auto program = Program::compile(graph, {});
  RunState state = program->new_state(0);
  std::vector<const Datum*> pointers;
  for (const Datum& d : inputs) pointers.push_back(&d);
  std::vector<Datum> outputs(graph->outputs.size());
  program->run(pointers, outputs, {}, state, options);
  return outputs;
}

ErrorCode code_of(const char* text, std::vector<Datum> inputs, ExecuteOptions options = {}) {
  try {
    run_graph(text, std::move(inputs), options);
  } catch (const Error& e) {
    return e.code();
  }
  return ErrorCode{};
}

const char* const counting = R"(graph "g" {
  input %n i64[]
  input %x f32[1000]
  %y f32[1000], %rows f32[…] = Loop(%n, -, %x; %x) v25 {body = graph "b" {
    input %i i64[]
    input %c bool[]
    input %s f32[1000]
    input %x f32[1000]
    const %k i64[2] {0, 2}
    const %one i64[1] {1}
    const %zero i64[1] {0}
    %t f32[1000] = Concat(%s) v13 {axis = 0}
    %row f32[…] = Slice(%t, %zero, %one) v13
    output %c "c"
    output %t "t"
    output %row "row"
  }}
  output %y "y"
  output %rows "rows"
})";

TEST(ControlFlow, ALoopKeepsWithinItsMemory) {
  ExecuteOptions small;
  small.memory_limit_bytes = size_t{1} << 20;
  auto out = run_graph(counting, {Tensor::scalar(int64_t{20000}), iota({1000})}, small);
  EXPECT_EQ(out[0].tensor().values<float>()[999], 999);
  EXPECT_EQ(out[1].tensor().shape(), (Shape{20000, 1}));
  EXPECT_EQ(run_graph(counting, {Tensor::scalar(int64_t{0}), iota({1000})})[1].tensor().shape()[0], 0);
  EXPECT_EQ(run_graph(counting, {Tensor::scalar(int64_t{-5}), iota({1000})})[1].tensor().shape()[0], 0);
}

TEST(ControlFlow, AnEndlessLoopEndsAtTheLimitOrTheDeadline) {
  ExecuteOptions small;
  small.memory_limit_bytes = size_t{1} << 20;
  EXPECT_EQ(code_of(counting, {Tensor::scalar(INT64_MAX), iota({1000})}, small), ErrorCode::limit);  // its rows
  const char* const spinning = R"(graph "g" {
    const %true bool[] {1}
    input %x f32[]
    %y f32[] = Loop(-, %true, %x) v25 {body = graph "b" {
      input %i i64[]
      input %c bool[]
      input %s f32[]
      const %shape i64[0] {}
      %t f32[] = Reshape(%s, %shape) v25
      output %c "c"
      output %t "t"
    }}
    output %y "y"
  })";
  ExecuteOptions soon;
  soon.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  EXPECT_EQ(code_of(spinning, {Tensor::scalar(1.f)}, soon), ErrorCode::deadline);
  std::atomic<bool> cancel{true};
  ExecuteOptions cancelled;
  cancelled.cancel = &cancel;
  EXPECT_EQ(code_of(spinning, {Tensor::scalar(1.f)}, cancelled), ErrorCode::cancelled);
}

TEST(ControlFlow, ASequenceThatGrowsWithoutEndIsStopped) {
  const char* const growing = R"(graph "g" {
    input %n i64[]
    input %x f32[1000]
    %empty sequence(f32[…]) = SequenceEmpty() v11
    %y sequence(f32[…]) = Loop(%n, -, %empty; %x) v25 {body = graph "b" {
      input %i i64[]
      input %c bool[]
      input %s sequence(f32[…])
      input %x f32[1000]
      %t sequence(f32[…]) = SequenceInsert(%s, %x) v11
      output %c "c"
      output %t "t"
    }}
    %length i64[] = SequenceLength(%y) v11
    output %length "length"
  })";
  auto out = run_graph(growing, {Tensor::scalar(int64_t{100}), iota({1000})});
  EXPECT_EQ(out[0].tensor().values<int64_t>()[0], 100);
  ExecuteOptions small;
  small.memory_limit_bytes = size_t{1} << 22;
  EXPECT_EQ(code_of(growing, {Tensor::scalar(int64_t{1} << 40), iota({1000})}, small), ErrorCode::limit);
}

TEST(ControlFlow, RowsOfDifferentShapesAreErrors) {
  const char* const ragged = R"(graph "g" {
    input %n i64[]
    input %x f32[4]
    %rows f32[…] = Loop(%n, -; %x) v25 {body = graph "b" {
      input %i i64[]
      input %c bool[]
      input %x f32[4]
      const %zero i64[1] {0}
      const %shape i64[1] {1}
      %end i64[1] = Reshape(%i, %shape) v25
      %row f32[?] = Slice(%x, %zero, %end) v13
      output %c "c"
      output %row "row"
    }}
    output %rows "rows"
  })";
  EXPECT_EQ(code_of(ragged, {Tensor::scalar(int64_t{3}), iota({4})}), ErrorCode::invalid_data);
  EXPECT_EQ(code_of(ragged, {Tensor::scalar(int64_t{1}), iota({4})}), ErrorCode{});
}

}  // namespace
}  // namespace outpost
