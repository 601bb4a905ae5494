// Values that share memory: what Concat joins is made in place, Split and Slice are views, in-place operators write over
// neither. Truth: every node evaluated alone, in memory of its own.
#include <gtest/gtest.h>

#include <random>

#include "graph/text.h"
#include "ops/infer.h"
#include "outpost/session.h"
#include "runtime/evaluate.h"

namespace outpost {
namespace {

std::shared_ptr<Graph> graph_of(const std::string& text) {
  auto graph = parse_graph(text);
  for (const auto& node : graph->nodes()) resolve(*node);
  infer_graph(*graph);
  return graph;
}

std::vector<Tensor> one_by_one(const Graph& graph, const std::vector<Tensor>& inputs) {
  std::unordered_map<const Value*, Tensor> values;
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i]] = inputs[i];
  for (const auto& v : graph.values())
    if (v->is_constant()) values[v.get()] = v->constant();
  for (const auto& node : graph.nodes()) {
    std::vector<const Tensor*> in;
    for (const Value* v : node->inputs()) in.push_back(v ? &values.at(v) : nullptr);
    std::vector<Tensor> out = evaluate(*node, in, size_t{1} << 30);
    for (size_t i = 0; i < out.size(); ++i)
      if (node->output(static_cast<int>(i))) values[node->output(static_cast<int>(i))] = out[i];
  }
  std::vector<Tensor> outputs;
  for (const Value* v : graph.outputs) outputs.push_back(values.at(v));
  return outputs;
}

void expect_same(const std::string& text, const Tensor& x, size_t arena = SIZE_MAX) {
  const auto graph = graph_of(text);
  const std::vector<Tensor> truth = one_by_one(*graph, {x});
  const Session session(Model(graph_of(text)), {.threads = 1, .passes_off = {"all"}, .debug_fill = true});
  for (int repeat = 0; repeat < 2; ++repeat) {
    const Outputs made = session.run({{"x", x}});
    ASSERT_EQ(made.size(), truth.size());
    for (size_t i = 0; i < truth.size(); ++i) {
      ASSERT_EQ(made[i].shape(), truth[i].shape()) << "output " << i;
      for (int64_t k = 0; k < truth[i].count(); ++k)
        ASSERT_EQ(made[i].data<float>()[k], truth[i].data<float>()[k]) << "output " << i << " element " << k << "\n" << text;
    }
  }
  if (arena == SIZE_MAX) return;
  const Shape shapes[] = {x.shape()};
  EXPECT_EQ(session.plan(shapes).arena_bytes, arena) << text;
}

Tensor ramp(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.count(); ++i) t.data<float>()[i] = static_cast<float>(i % 97) * 0.25f - 9;
  return t;
}

TEST(Sharing, JoinedPartsAreMadeInTheWhole) {
  expect_same(R"(graph "g" {
    input %x f32[1,4,16]
    %a ? = Relu(%x)
    %b ? = Neg(%x)
    %y ? = Concat(%a, %b) {axis = 1}
    %z ? = Transpose(%y) {perm = [0, 2, 1]}
    output %z
  })", ramp({1, 4, 16}), 512);
}

TEST(Sharing, PartsOfASplitAreViews) {
  expect_same(R"(graph "g" {
    input %x f32[1,4,16]
    %a ? = Relu(%x)
    %b ?, %c ? = Split(%a) {axis = 1, num_outputs = 2}
    %d ? = Transpose(%b) {perm = [0, 2, 1]}
    %e ? = Transpose(%c) {perm = [0, 2, 1]}
    output %d
    output %e
  })", ramp({1, 4, 16}), 256);
}

TEST(Sharing, AnInPlaceStepWaitsForReadersOfAPart) {
  expect_same(R"(graph "g" {
    input %x f32[1,4,16]
    %a ? = Relu(%x)
    %b ? = Neg(%x)
    %y ? = Concat(%a, %b) {axis = 1}
    %z ? = Neg(%y)
    %w ? = Add(%a, %b)
    %v ? = Concat(%z, %w, %w) {axis = 1}
    %u ? = Transpose(%v) {perm = [0, 2, 1]}
    output %u
  })", ramp({1, 4, 16}));
}

TEST(Sharing, InputsConstantsAndOutputsAsPartsAndWholes) {
  expect_same(R"(graph "g" {
    input %x f32[1,4,2]
    const %k f32[1,1,2] {5, 6}
    %a ? = Neg(%x)
    %y ? = Concat(%x, %k, %a) {axis = 1}
    %b ?, %c ? = Split(%y) {axis = 1, num_outputs = 2}
    %d ? = Neg(%a)
    output %y
    output %a
    output %b
    output %c
    output %d
    output %y
  })", ramp({1, 4, 2}));
}

TEST(Sharing, SlicesOfEverySort) {
  expect_same(R"(graph "g" {
    input %x f32[1,6,8]
    const %one i64[1] {1}
    const %two i64[1] {2}
    const %last i64[1] {-1}
    const %end i64[1] {9223372036854775807}
    const %least i64[1] {-9223372036854775807}
    %a ? = Neg(%x)
    %b ? = Slice(%a, %two, %end, %one)
    %c ? = Slice(%a, %two, %end, %two)
    %d ? = Slice(%a, %one, %end, %one, %two)
    %e ? = Slice(%a, %last, %least, %one, %last)
    %f ? = Slice(%x, %last, %end, %one)
    %g ? = Neg(%b)
    %h ? = Concat(%b, %g, %f) {axis = 1}
    output %b
    output %c
    output %d
    output %e
    output %h
  })", ramp({1, 6, 8}));
}

// A graph of random steps on (1, channels, 3).
std::string random_graph(std::mt19937& random) {
  std::string text = "graph \"g\" {\n  input %x f32[1,6,3]\n";
  struct Known { std::string name; int channels; };
  std::vector<Known> values{{"x", 6}};
  auto pick = [&] { return values[random() % 2 ? random() % values.size() : values.size() - 1 - random() % std::min<size_t>(4, values.size())]; };
  for (int i = 0; i < 24; ++i) {
    const std::string name = "v" + std::to_string(i);
    const Known a = pick();
    const unsigned kind = random() % 6;
    if (kind <= 1) {
      text += "  %" + name + " ? = " + (kind ? "Neg" : "Relu") + "(%" + a.name + ")\n";
      values.push_back({name, a.channels});
    } else if (kind <= 3 && a.channels < 200) {
      const Known b = pick();
      text += "  %" + name + " ? = Concat(%" + a.name + ", %" + b.name + ") {axis = 1}\n";
      values.push_back({name, a.channels + b.channels});
    } else if (kind == 4 && a.channels % 2 == 0) {
      text += "  %" + name + " ?, %" + name + "b ? = Split(%" + a.name + ") {axis = 1, num_outputs = 2}\n";
      values.push_back({name, a.channels / 2});
      values.push_back({name + "b", a.channels / 2});
    } else {
      text += "  %" + name + " ? = Add(%" + a.name + ", %" + a.name + ")\n";
      values.push_back({name, a.channels});
    }
  }
  text += "  output %" + values.back().name + "\n";
  for (int i = 0; i < 2; ++i) text += "  output %" + values[1 + random() % (values.size() - 1)].name + "\n";
  return text + "}";
}

TEST(Sharing, RandomGraphsGiveWhatTheirNodesGive) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    expect_same(random_graph(random), ramp({1, 6, 3}));
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace outpost
