// The text form: what is printed parses back to the same text, and mistakes name their line.
#include "graph/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "graph/verify.h"

namespace outpost::test {
namespace {

const char* const everything = R"(graph "main \"quoted\" \xff" {
  opset "" 28
  opset "com.microsoft" 1
  meta "key" "value\nof two lines"
  input %x f32[N,?,"batch size",3]
  input %"odd name\\" i64[]
  input %s sequence(optional(f32[…]))
  input %m map(string, sparse f32[2])
  input %h f32[2]
  const %w f32[2,2] {1, -0, 0.1, 1e+30}
  const %b bool[3] {1, 0, 1}
  const %q i4[3] {-8, 7, 0}
  const %t string[2] {"a", "β\x00"}
  const %inf f64[2] {inf, -inf}
  const %none f16[0,4] {}
  const %large u8[17] base64 "AAECAwQFBgcICQoLDA0ODxA="
  %y f32[N,?], -, %z ? = com.microsoft.Foo(%x, -, %w) v1 "node 1" {i = -5, f = 1.0, g = 1e-05, s = "str", t = f32[1] {2}, ty = type f32[N], is = [1, 2], fs = [0.5, inf], ss = ["a", "b"], ts = [i64[] {3}, i64[] {4}], none = ints [], nof = floats [], nos = strings []}
  %c f32[…] = If(%b; %y, %h) v25 {then_branch = graph "then" {
    input %y f32[N,?]
    input %h f32[2]
    %o f32[N,?] = Add(%y, %h)
    output %o "o"
  }, else_branch = graph "else" {
    input %y f32[N,?]
    input %h f32[2]
    output %y "y"
  }}
  %r ? = "odd domain/x"."op.with.dots"()
  = NoOutputs(%x)
  output %c "c"
  output %x "same"
  state "h" %h %c f32[2] {0, 0}
}
)";

std::string problem_of(std::string_view text) {
  try {
    parse_graph(text);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(GraphText, everything_comes_back) {
  auto graph = parse_graph(everything);
  EXPECT_EQ(to_text(*graph, {.full = true}), everything);
  verify_graph(*graph);
}

TEST(GraphText, what_is_parsed_is_meant) {
  auto graph = parse_graph(everything);
  EXPECT_EQ(graph->inputs().size(), 5u);
  EXPECT_EQ(graph->inputs()[0]->type.dims[3].size, 3);
  EXPECT_EQ(graph->symbols->name(graph->inputs()[0]->type.dims[2].symbol), "batch size");
  auto* foo = graph->find("y")->producer();
  EXPECT_EQ(foo->domain, "com.microsoft");
  EXPECT_EQ(foo->output(1), nullptr);
  EXPECT_EQ(foo->input(1), nullptr);
  EXPECT_EQ(foo->attributes.integer("i", 0), -5);
  EXPECT_EQ(foo->attributes.real("f", 0), 1.0f);
  auto* condition = graph->find("c")->producer();
  EXPECT_EQ(condition->arity(), 1);
  EXPECT_EQ(condition->attributes.graph("then_branch")->inputs().size(), 2u);
  EXPECT_EQ(condition->attributes.graph("then_branch")->symbols, graph->symbols);
  EXPECT_TRUE(std::signbit(graph->find("w")->constant().data<float>()[1]));
  EXPECT_EQ(graph->output_names[1], "same");
  EXPECT_EQ(graph->states.at(0).write, graph->outputs[0]);
}

TEST(GraphText, nan_keeps_its_bits) {
  Graph graph;
  auto tensor = Tensor::of<float>({std::nanf("0x123"), 1});
  graph.outputs.push_back(graph.add_constant(tensor, "n"));
  auto back = parse_graph(to_text(graph, {.full = true}));
  EXPECT_EQ(std::memcmp(back->outputs[0]->constant().raw(), tensor.raw(), 8), 0);
  EXPECT_THAT(to_text(graph), testing::HasSubstr("{nan, 1}"));
}

TEST(GraphText, summaries_hide_large_constants) {
  Graph graph;
  graph.add_constant(Tensor(DType::u8, {1000}), "w");
  std::memset(const_cast<void*>(graph.find("w")->constant().raw()), 0, 1000);
  auto text = to_text(graph);
  EXPECT_THAT(text, testing::HasSubstr("(1000 bytes, hash "));
  EXPECT_THAT(problem_of(text), testing::HasSubstr("summarised"));
}

TEST(GraphText, mistakes_name_their_line) {
  using testing::HasSubstr;
  EXPECT_THAT(problem_of(""), HasSubstr("line 1: 'graph' expected"));
  EXPECT_THAT(problem_of("graph \"g\" {\n"), HasSubstr("line 2"));
  EXPECT_THAT(problem_of("graph \"g\" {\n\n%y ? = Relu(%x)}"), HasSubstr("line 3: 'x' is not made above"));
  EXPECT_THAT(problem_of("graph \"g\" {input %x ? input %x ?}"), HasSubstr("given twice"));
  EXPECT_THAT(problem_of("graph \"g\" {%x ?, %x ? = A()}"), HasSubstr("given twice"));
  EXPECT_THAT(problem_of("graph \"g\" {const %x f32[1000000000000] {1}}"), HasSubstr("1 values for"));
  EXPECT_THAT(problem_of("graph \"g\" {const %x f32[2] base64 \"AAAA\"}"), HasSubstr("3 bytes"));
  EXPECT_THAT(problem_of("graph \"g\" {const %x f32[N] {}}"), HasSubstr("known dims"));
  EXPECT_THAT(problem_of("graph \"g\" {const %x f99[1] {}}"), HasSubstr("no dtype"));
  EXPECT_THAT(problem_of("graph \"g\" {= A() {a = [1, 2.0]}}"), HasSubstr("different kinds"));
  EXPECT_THAT(problem_of("graph \"g\" {} x"), HasSubstr("follows"));
  EXPECT_THAT(problem_of("graph \"g"), HasSubstr("does not end"));
  std::string deep = "graph \"g\" {";
  for (int i = 0; i < 100'000; ++i) deep += "= A() {b = graph \"\" {";
  EXPECT_THAT(problem_of(deep), HasSubstr("nested"));
  std::string types = "graph \"g\" {input %x ";
  for (int i = 0; i < 100'000; ++i) types += "sequence(";
  EXPECT_THAT(problem_of(types), HasSubstr("nested"));
}

}  // namespace
}  // namespace outpost::test
