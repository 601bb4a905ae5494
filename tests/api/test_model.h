// Models for tests of the face: built in C++ from operators defined here, so that they need neither files nor the
// engine's own operators.
#pragma once
#include "graph/graph.h"
#include "ops/op.h"
#include "outpost/session.h"

namespace outpost::test {

inline const OpDef& sum_op() {  // y = a + b, same shapes
  static const OpDef def{
      .name = "TestSum", .domain = "test", .min_inputs = 2, .max_inputs = 2,
      .infer = [](InferContext& c) {
        c.require_dtype(0, {DType::f32});
        c.output(0, c.dtype(0), broadcast(c, c.dims(0), c.dims(1)));
      },
      .run = [](RunContext& c) {
        for (int64_t i = 0, n = c.out(0).count(); i < n; ++i) c.out(0).as<float>()[i] = c.in(0).as<float>()[i] + c.in(1).as<float>()[i];
      }};
  return def;
}

inline const OpDef& positive_op() {  // the positive elements: their number is known to the run only
  static const OpDef def{
      .name = "TestPositive", .domain = "test",
      .infer = [](InferContext& c) { c.output(0, DType::f32, Dims{Dim()}); },
      .run = [](RunContext& c) {
        const View& x = c.in(0);
        int64_t count = 0;
        for (int64_t i = 0; i < x.count(); ++i) count += x.as<float>()[i] > 0;
        View& y = c.out(0).defined() ? c.out(0) : c.allocate(0, Shape{count});
        for (int64_t i = 0, j = 0; i < x.count(); ++i)
          if (x.as<float>()[i] > 0) y.as<float>()[j++] = x.as<float>()[i];
      }};
  return def;
}

inline Node* add(Graph& graph, const OpDef& def, std::vector<Value*> inputs, const char* output) {
  Node* node = graph.add_node(std::string(def.name), std::string(def.domain), std::move(inputs));
  node->def = &def;
  node->version = 1;
  graph.rename(node->output(0), output);
  return node;
}

inline Dims open_dims(Graph& graph) { return {Dim::symbolic(graph.symbols->intern("n"))}; }

// sum = a + b, twice = sum + a, over f32[n].
inline Model sum_model() {
  auto graph = std::make_shared<Graph>();
  graph->name = "sums";
  Value* a = graph->add_input("a", Type::tensor(DType::f32, open_dims(*graph)));
  Value* b = graph->add_input("b", Type::tensor(DType::f32, open_dims(*graph)));
  Value* sum = add(*graph, sum_op(), {a, b}, "sum")->output(0);
  Value* twice = add(*graph, sum_op(), {sum, a}, "twice")->output(0);
  sum->type = twice->type = a->type;
  graph->outputs = {sum, twice};
  graph->metadata.emplace_back("author", "a test");
  graph->opsets[""] = 21;
  return Model(std::move(graph));
}

// total = state + x, which is the next state; f32[2].
inline Model counting_model() {
  auto graph = std::make_shared<Graph>();
  Value* x = graph->add_input("x", Type::tensor(DType::f32, Shape{2}));
  Value* before = graph->add_input("count", Type::tensor(DType::f32, Shape{2}));
  Value* total = add(*graph, sum_op(), {before, x}, "total")->output(0);
  total->type = x->type;
  graph->outputs = {total};
  graph->states.push_back({"count", before, total, Tensor::of({1.f, 2.f})});
  return Model(std::move(graph));
}

inline Model positive_model() {
  auto graph = std::make_shared<Graph>();
  Value* x = graph->add_input("x", Type::tensor(DType::f32, open_dims(*graph)));
  Value* y = add(*graph, positive_op(), {x}, "y")->output(0);
  y->type = Type::tensor(DType::f32, Dims{Dim()});
  graph->outputs = {add(*graph, sum_op(), {y, y}, "doubled")->output(0)};
  graph->outputs[0]->type = y->type;
  return Model(std::move(graph));
}

}  // namespace outpost::test
