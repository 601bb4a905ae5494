// What a model file means as a graph: names, order, constants, subgraphs, functions. Text forms say what is expected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/onnx/onnx.h"
#include "formats/onnx_pieces.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace outpost::test {
namespace {

using onnx::AttributeType;
using testing::HasSubstr;

std::shared_ptr<Graph> load(const std::string& model, const LoadOptions& options = {}) {
  auto graph = load_onnx(std::as_bytes(std::span(model)), nullptr, options);
  verify_graph(*graph);
  return graph;
}

// The graph's lines without the header.
std::string body_of(const std::string& model) {
  auto graph = load(model);
  graph->opsets.clear();
  return to_text(*graph, {.full = true});
}

std::string problem_of(const std::string& model, const LoadOptions& options = {}) {
  try {
    load(model, options);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string integer_pb(const std::string& name, int64_t value) {
  return attribute_pb(name, AttributeType::integer, [&](auto& m) { m.integer(onnx::attribute_field::i, value); });
}

TEST(OnnxReader, nodes_are_sorted) {
  auto graph = graph_pb({{node_pb({"B", {"a"}, {"b"}}), node_pb({"A", {"x"}, {"a"}})}, {"x"}, {"b"}});
  EXPECT_EQ(body_of(model_pb(graph)), R"(graph "g" {
  input %x f32[2]
  %a ? = A(%x) v21
  %b f32[2] = B(%a) v21
  output %b "b"
}
)");
}

TEST(OnnxReader, a_long_chain_in_reverse_order_is_sorted) {
  GraphPieces pieces{{}, {"0"}, {"50000"}};
  for (int i = 50'000; i > 0; --i) pieces.nodes.push_back(node_pb({"A", {std::to_string(i - 1)}, {std::to_string(i)}}));
  EXPECT_EQ(load(model_pb(graph_pb(pieces)))->nodes().size(), 50'000u);
}

TEST(OnnxReader, wrong_names_are_errors) {
  auto node = [](std::vector<std::string> in, std::vector<std::string> out) { return node_pb({"Add", std::move(in), std::move(out), {}, "", "n"}); };
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node({"x", "q"}, {"y"})}, {"x"}, {"y"}}))), HasSubstr("Add 'n' reads 'q', which no node"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node({"x"}, {"y"}), node({"x"}, {"y"})}, {"x"}, {"y"}}))), HasSubstr("'y' is given twice"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node({"x"}, {"x"})}, {"x"}, {"x"}}))), HasSubstr("'x' is given twice: by an input"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {"x", "x"}, {"x"}}))), HasSubstr("two inputs are named 'x'"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {"x"}, {"y"}}))), HasSubstr("graph output 'y' is made by no node"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node({"b"}, {"a"}), node({"a"}, {"b"})}, {}, {"a"}}))), HasSubstr("cycle"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node({"a"}, {"a"})}, {}, {"a"}}))), HasSubstr("cycle"));
  auto w = tensor_pb(Tensor::scalar(1.0f), "w");
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {}, {"w"}, {w, w}}))), HasSubstr("two initializers are named 'w'"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {}, {}, {tensor_pb(Tensor::scalar(1.0f))}}))), HasSubstr("no name"));
}

TEST(OnnxReader, constants_become_values_without_nodes) {
  auto value = attribute_pb("value", AttributeType::tensor, [](auto& m) { m.bytes(onnx::attribute_field::t, tensor_pb(Tensor::of<int32_t>({7}))); });
  auto ints = attribute_pb("value_ints", AttributeType::integers, [](auto& m) { m.integer(onnx::attribute_field::ints, 3); m.integer(onnx::attribute_field::ints, 4); });
  auto string = attribute_pb("value_string", AttributeType::string, [](auto& m) { m.bytes(onnx::attribute_field::s, "s"); });
  auto real = attribute_pb("value_float", AttributeType::real, [](auto& m) { m.real32(onnx::attribute_field::f, 0.5f); });
  auto graph = graph_pb({{node_pb({"Constant", {}, {"a"}, {value}}), node_pb({"Constant", {}, {"b"}, {ints}}), node_pb({"Constant", {}, {"c"}, {string}}),
                          node_pb({"Constant", {}, {"d"}, {real}, "ai.onnx"})}, {}, {"a", "b", "c", "d"}});
  EXPECT_EQ(body_of(model_pb(graph)), R"(graph "g" {
  const %a i32[1] {7}
  const %b i64[2] {3, 4}
  const %c string[] {"s"}
  const %d f32[] {0.5}
  output %a "a"
  output %b "b"
  output %c "c"
  output %d "d"
}
)");
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node_pb({"Constant", {}, {"a"}})}, {}, {"a"}}))), HasSubstr("none of the attributes"));
}

TEST(OnnxReader, initialized_inputs_are_constants_unless_asked) {
  auto model = model_pb(graph_pb({{}, {"x", "w"}, {"w"}, {tensor_pb(Tensor::of<float>({1, 2}), "w")}}));
  EXPECT_EQ(load(model)->inputs().size(), 1u);
  EXPECT_TRUE(load(model)->find("w")->is_constant());
  EXPECT_EQ(load(model, {.keep_overridable_inputs = true})->inputs().size(), 2u);
}

TEST(OnnxReader, sparse_initializers_are_dense) {
  auto sparse = [](const Tensor& indices, std::vector<int64_t> dims) {
    return made([&](auto& m) {
      m.bytes(onnx::sparse_tensor_field::values, tensor_pb(Tensor::of<float>({5, 6}), "s"));
      m.bytes(onnx::sparse_tensor_field::indices, tensor_pb(indices));
      for (auto d : dims) m.integer(onnx::sparse_tensor_field::dims, d);
    });
  };
  auto model = [&](const Tensor& indices, std::vector<int64_t> dims) { return model_pb(graph_pb({{}, {}, {"s"}, {}, {sparse(indices, dims)}})); };
  EXPECT_THAT(body_of(model(Tensor::of<int64_t>({1, 3}), {2, 2})), HasSubstr("const %s f32[2,2] {0, 5, 0, 6}"));
  EXPECT_THAT(body_of(model(Tensor::of(std::vector<int64_t>{0, 1, 1, 0}, {2, 2}), {2, 2})), HasSubstr("const %s f32[2,2] {0, 5, 6, 0}"));
  EXPECT_THAT(problem_of(model(Tensor::of<int64_t>({1, 4}), {2, 2})), HasSubstr("index 4 is outside [0, 4)"));
  EXPECT_THAT(problem_of(model(Tensor::of<int64_t>({-1, 1}), {2, 2})), HasSubstr("index -1"));
  EXPECT_THAT(problem_of(model(Tensor::of<int64_t>({1, 1}), {2, 2})), HasSubstr("not ascending"));
  EXPECT_THAT(problem_of(model(Tensor::of<int64_t>({1}), {2, 2})), HasSubstr("indices are i64[1]"));
  EXPECT_THAT(problem_of(model(Tensor::of<int64_t>({0, 1}), {1'000'000, 1'000'000})), HasSubstr("memory_limit_bytes"));
}

TEST(OnnxReader, subgraphs_are_closed) {
  auto value = attribute_pb("value_float", AttributeType::real, [](auto& m) { m.real32(onnx::attribute_field::f, 2); });
  auto inner = graph_pb({{node_pb({"Mul", {"x", "k"}, {"i"}})}, {}, {"i"}});
  auto then_graph = graph_pb({{node_pb({"If", {"p"}, {"t"}, {graph_attribute_pb("then_branch", inner), graph_attribute_pb("else_branch", inner)}})}, {}, {"t"}});
  auto else_graph = graph_pb({{node_pb({"Add", {"z", "x"}, {"e"}})}, {}, {"e"}});
  auto graph = graph_pb({{node_pb({"Constant", {}, {"k"}, {value}}), node_pb({"Neg", {"x"}, {"z"}}),
                          node_pb({"If", {"p"}, {"y"}, {graph_attribute_pb("then_branch", then_graph), graph_attribute_pb("else_branch", else_graph)}})},
                         {"x", "p"}, {"y"}});
  EXPECT_EQ(body_of(model_pb(graph)), R"(graph "g" {
  input %x f32[2]
  input %p f32[2]
  const %k f32[] {2}
  %z ? = Neg(%x) v21
  %y f32[2] = If(%p; %p, %x, %z) v21 {then_branch = graph "g" {
    input %p f32[2]
    input %x f32[2]
    input %z ?
    const %k f32[] {2}
    %t f32[2] = If(%p; %x) v21 {then_branch = graph "g" {
      input %x f32[2]
      const %k f32[] {2}
      %i f32[2] = Mul(%x, %k) v21
      output %i "i"
    }, else_branch = graph "g" {
      input %x f32[2]
      const %k f32[] {2}
      %i f32[2] = Mul(%x, %k) v21
      output %i "i"
    }}
    output %t "t"
  }, else_branch = graph "g" {
    input %p f32[2]
    input %x f32[2]
    input %z ?
    %e f32[2] = Add(%z, %x) v21
    output %e "e"
  }}
  output %y "y"
}
)");
  auto missing = graph_pb({{node_pb({"If", {"p"}, {"y"}, {graph_attribute_pb("then_branch", graph_pb({{}, {}, {"q"}}))}})}, {"p"}, {"y"}});
  EXPECT_THAT(problem_of(model_pb(missing)), HasSubstr("reads 'q'"));
}

TEST(OnnxReader, a_subgraph_orders_what_it_reads) {
  auto body = graph_pb({{node_pb({"Neg", {"late"}, {"i"}})}, {}, {"i"}});
  auto graph = graph_pb({{node_pb({"If", {"x"}, {"y"}, {graph_attribute_pb("then_branch", body)}}), node_pb({"A", {"x"}, {"late"}})}, {"x"}, {"y"}});
  EXPECT_EQ(load(model_pb(graph))->nodes().front()->op, "A");
}

TEST(OnnxReader, functions_are_inlined) {
  // Outer(a, b) = Inner(a) + b; Inner(x) = Scale(x){by = @factor}; the caller's factor goes through both.
  auto inner = function_pb({"Inner", {"x"}, {"y"}, {node_pb({"Scale", {"x"}, {"t"}, {reference_pb("by", "factor", AttributeType::integer)}}), node_pb({"Relu", {"t"}, {"y"}})}});
  auto outer = function_pb({"Outer", {"a", "b"}, {"r", "unused"},
                            {node_pb({"Inner", {"a"}, {"t"}, {reference_pb("factor", "factor", AttributeType::integer)}, "local", "in"}),
                             node_pb({"Add", {"t", "b"}, {"r"}}), node_pb({"Neg", {"t"}, {"unused"}})},
                            {integer_pb("factor", 10)}, "local", "", 17});
  auto graph = graph_pb({{node_pb({"Outer", {"x", "x"}, {"p"}, {}, "local"}), node_pb({"Outer", {"p"}, {"y"}, {integer_pb("factor", 3)}, "local", "call"})}, {"x"}, {"y"}});
  EXPECT_EQ(body_of(model_pb(graph, {inner, outer})), R"(graph "g" {
  input %x f32[2]
  %Outer/in/t ? = Scale(%x) v13 {by = 10}
  %Outer/t ? = Relu(%Outer/in/t) v13
  %p ? = Add(%Outer/t, %x) v17
  %Outer/unused ? = Neg(%Outer/t) v17
  %call/in/t ? = Scale(%p) v13 {by = 3}
  %call/t ? = Relu(%call/in/t) v13
  %y f32[2] = Add(%call/t) v17
  %call/unused ? = Neg(%call/t) v17
  output %y "y"
}
)");
}

TEST(OnnxReader, function_overloads_and_attributes_left_out) {
  auto one = function_pb({"F", {"x"}, {"y"}, {node_pb({"One", {"x"}, {"y"}, {reference_pb("a", "a", AttributeType::integer)}})}, {}, "local", "one"});
  auto two = function_pb({"F", {"x"}, {"y"}, {node_pb({"Two", {"x"}, {"y"}})}, {}, "local", "two"});
  auto graph = graph_pb({{node_pb({"F", {"x"}, {"y"}, {}, "local", "", "two"}), node_pb({"F", {"x"}, {"z"}, {}, "local", "", "one"})}, {"x"}, {"y", "z"}});
  auto loaded = load(model_pb(graph, {one, two}));
  EXPECT_EQ(loaded->nodes().front()->op, "Two");
  EXPECT_EQ(loaded->nodes().back()->op, "One");
  EXPECT_EQ(loaded->nodes().back()->attributes.size(), 0u);
  EXPECT_THAT(problem_of(model_pb(graph, {one, one})), HasSubstr("defined twice"));
}

TEST(OnnxReader, functions_with_subgraphs_constants_and_passed_inputs) {
  auto body = graph_pb({{node_pb({"Mul", {"x", "k"}, {"i"}, {reference_pb("a", "a", AttributeType::integer)}})}, {}, {"i"}});
  auto f = function_pb({"F", {"c", "x", "none"}, {"y", "k", "x"},
                        {node_pb({"Constant", {}, {"k"}, {reference_pb("value_int", "a", AttributeType::integer)}}),
                         node_pb({"If", {"c"}, {"y"}, {graph_attribute_pb("then_branch", body)}}), node_pb({"Opt", {"x", "none", "k"}, {"o"}})}});
  auto graph = graph_pb({{node_pb({"F", {"c", "x"}, {"y", "k", "same"}, {integer_pb("a", 4)}, "local", "f"})}, {"c", "x"}, {"y", "k", "same"}});
  EXPECT_EQ(body_of(model_pb(graph, {f})), R"(graph "g" {
  input %c f32[2]
  input %x f32[2]
  const %k i64[] {4}
  %y f32[2] = If(%c; %x) v13 {then_branch = graph "g" {
    input %x f32[2]
    const %f/k i64[] {4}
    %f/i f32[2] = Mul(%x, %f/k) v13 {a = 4}
    output %f/i "i"
  }}
  %f/o ? = Opt(%x, -, %k) v13
  output %y "y"
  output %k "k"
  output %x "same"
}
)");
}

TEST(OnnxReader, functions_without_end_are_errors) {
  auto call = [](const std::string& name, const std::string& in, const std::string& out) { return node_pb({name, {in}, {out}, {}, "local"}); };
  auto graph = graph_pb({{call("F", "x", "y")}, {"x"}, {"y"}});
  EXPECT_THAT(problem_of(model_pb(graph, {function_pb({"F", {"x"}, {"y"}, {call("F", "x", "y")}})})), HasSubstr("calls itself"));
  EXPECT_THAT(problem_of(model_pb(graph, {function_pb({"F", {"x"}, {"y"}, {call("G", "x", "y")}}), function_pb({"G", {"x"}, {"y"}, {call("F", "x", "y")}})})),
              HasSubstr("calls itself"));
  // Ten levels that each call the next ten times; the last does nothing.
  std::vector<std::string> levels;
  for (int i = 0; i < 10; ++i) {
    std::vector<std::string> nodes;
    for (int k = 0; k < 10; ++k) nodes.push_back(call("F" + std::to_string(i + 1), "x", k == 9 ? "y" : "t" + std::to_string(k)));
    levels.push_back(function_pb({"F" + std::to_string(i), {"x"}, {"y"}, nodes}));
  }
  levels.push_back(function_pb({"F10", {"x"}, {"x"}, {}}));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{call("F0", "x", "y")}, {"x"}, {"y"}}), levels)), HasSubstr("expand to more than"));
  // A chain of calls too deep for the stack.
  levels.clear();
  for (int i = 0; i < 100'000; ++i) levels.push_back(function_pb({"F" + std::to_string(i), {"x"}, {"y"}, {call("F" + std::to_string(i + 1), "x", "y")}}));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{call("F0", "x", "y")}, {"x"}, {"y"}}), levels)), HasSubstr("nested more than 64"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node_pb({"F", {"x", "x"}, {"y"}, {}, "local"})}, {"x"}, {"y"}}), {function_pb({"F", {"x"}, {"x"}, {}})})),
              HasSubstr("has 2 inputs"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {}, {}}), {function_pb({"F", {"x"}, {"q"}, {}})})), HasSubstr("'q' is made by none"));
  EXPECT_THAT(problem_of(model_pb(graph_pb({{node_pb({"A", {}, {"y"}, {reference_pb("a", "b", AttributeType::integer)}})}, {}, {"y"}}))), HasSubstr("outside every function"));
}

TEST(OnnxReader, versions_that_are_not_known_are_errors) {
  EXPECT_THAT(problem_of(model_pb(graph_pb({{}, {}, {}}), {}, 99)), HasSubstr("IR version 99"));
  EXPECT_THAT(problem_of(""), HasSubstr("is this an ONNX model?"));
  auto no_opset = made([&](auto& m) {
    m.integer(onnx::model_field::ir_version, 8);
    m.bytes(onnx::model_field::graph, graph_pb({{node_pb({"A", {"x"}, {"y"}})}, {"x"}, {"y"}}));
  });
  EXPECT_THAT(problem_of(no_opset), HasSubstr("no opset_import"));
  auto first = made([&](auto& m) { m.bytes(onnx::model_field::graph, graph_pb({{node_pb({"A", {"x"}, {"y"}})}, {"x"}, {"y"}})); });
  EXPECT_EQ(load(first)->nodes().front()->version, 1);
}

TEST(OnnxReader, attributes_of_every_kind) {
  namespace f = onnx::attribute_field;
  Symbols symbols;
  auto attributes = {
      attribute_pb("zero", AttributeType::real, [](auto&) {}), attribute_pb("fs", AttributeType::reals, [](auto& m) { m.real32(f::floats, 1); m.real32(f::floats, 2); }),
      attribute_pb("ss", AttributeType::strings, [](auto& m) { m.bytes(f::strings, "a"); m.bytes(f::strings, ""); }),
      attribute_pb("ts", AttributeType::tensors, [](auto& m) { m.bytes(f::tensors, tensor_pb(Tensor::scalar(int64_t{1}))); }),
      attribute_pb("none", AttributeType::integers, [](auto&) {}),
      attribute_pb("type", AttributeType::type, [&](auto& m) { m.message(f::tp, [&] { onnx::write_type(m, Type::sequence(f32()), symbols); }); }),
      // Packed, as proto3 would write it, and an attribute of IR version 1 without its type.
      attribute_pb("packed", AttributeType::integers, [](auto& m) { m.bytes(f::ints, "\x01\x80\x01"); }),
      made([](auto& m) { m.bytes(f::name, "untyped"); m.bytes(f::s, "text"); })};
  auto graph = graph_pb({{node_pb({"A", {"x"}, {"y"}, attributes})}, {"x"}, {"y"}});
  EXPECT_THAT(body_of(model_pb(graph)), HasSubstr("{zero = 0.0, fs = [1.0, 2.0], ss = [\"a\", \"\"], ts = [i64[] {1}], none = ints [], "
                                                  "type = type sequence(f32[2]), packed = [1, 128], untyped = \"text\"}"));
}

TEST(OnnxReader, types_and_symbols) {
  auto symbols = std::make_shared<Symbols>();
  Type t = Type::tensor(DType::f16, Dims{Dim::symbolic(symbols->intern("N")), Dim(), Dim(3)});
  auto graph = made([&](auto& m) {
    m.bytes(onnx::graph_field::input, value_info_pb("a", t, *symbols));
    m.bytes(onnx::graph_field::input, value_info_pb("b", Type::optional(Type::sequence(t)), *symbols));
    m.bytes(onnx::graph_field::input, value_info_pb("c", Type::map(DType::i64, Type::tensor(DType::f32)), *symbols));
  });
  EXPECT_THAT(body_of(model_pb(graph)), HasSubstr(R"(input %a f16[N,?,3]
  input %b optional(sequence(f16[N,?,3]))
  input %c map(i64, f32[…])
)"));
}

TEST(OnnxReader, state_variables_come_back) {
  auto graph = parse_graph(R"(graph "g" {
  opset "" 21
  input %x f32[2]
  input %h f32[2]
  input %k f32[2]
  %y f32[2] = Add(%x, %h) v21
  %n f32[2] = Neg(%k) v21
  output %y "y"
  state "hidden state" %h %y f32[2] {1, 2}
  state "k" %k %n f32[2] {3, 4}
}
)");
  const auto text = to_text(*graph, {.full = true});
  EXPECT_EQ(to_text(*load(onnx_bytes(*graph)), {.full = true}), text);
}

}  // namespace
}  // namespace outpost::test
