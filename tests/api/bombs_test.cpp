// Small models that ask for more than any machine has: each ends in an error, within the memory limit and soon, whether
// the size stands in the model (so that folding meets it), comes with the input, or grows as the graph runs.
#include <gtest/gtest.h>

#include <fstream>

#include "graph/text.h"
#include "ops/infer.h"
#include "ops/op.h"
#include "outpost/outpost.h"

namespace outpost {
namespace {

// This process's peak resident memory so far, in bytes.
size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

void resolve_all(Graph& graph) {
  for (const auto& node : graph.nodes()) {
    resolve(*node);
    for_each_subgraph(*node, [](const std::string&, const std::shared_ptr<Graph>& body) { resolve_all(*body); });
  }
}

// The code of the error that loading, opening or running ends in; 0 when all went well.
ErrorCode code_of(const std::string& text, const std::vector<NamedDatum>& inputs = {}) {
  try {
    auto graph = parse_graph(text);
    resolve_all(*graph);
    infer_graph(*graph);
    const Session session(Model(graph), {.threads = 2, .memory_limit_bytes = size_t{64} << 20});
    session.run(inputs, {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1)});
    return ErrorCode{};
  } catch (const Error& e) {
    return e.code();
  }
}

class Bombs : public testing::Test {
 protected:
  void TearDown() override {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(peak_memory() - before_, size_t{256} << 20);
#endif
  }
  size_t before_ = peak_memory();
};

std::string constants(const std::string& lines, const std::string& node) {
  return "graph \"g\" {\n" + lines + "\n  %y ? = " + node + "\n  output %y \"y\"\n}\n";
}

TEST_F(Bombs, sizes_that_stand_in_the_model) {
  for (const auto& [lines, node] : std::vector<std::pair<std::string, std::string>>{
           {"const %s i64[1] {1000000000000}", "ConstantOfShape(%s) v25"},
           {"const %s i64[2] {4294967296, 4294967296}", "ConstantOfShape(%s) v25"},
           {"const %s i64[4] {3037000500, 3037000500, 2, 2}", "ConstantOfShape(%s) v25"},
           {"const %x f32[1] {1}\n const %s i64[2] {1000000, 1000000}", "Expand(%x, %s) v13"},
           {"const %x f32[2] {1, 2}\n const %s i64[1] {1000000000000}", "Tile(%x, %s) v13"},
           {"const %a i64[] {0}\n const %b i64[] {1000000000000}\n const %c i64[] {1}", "Range(%a, %b, %c) v11"},
           {"const %a f32[] {0}\n const %b f32[] {1e30}\n const %c f32[] {1e-30}", "Range(%a, %b, %c) v11"},
           {"const %x f32[2] {1, 2}\n const %p i64[2] {0, 1000000000000}", "Pad(%x, %p) v25"},
           {"const %x f32[1,1,2,2] {1, 2, 3, 4}\n const %s f32[4] {1, 1, 1e6, 1e6}", "Resize(%x, -, %s) v19"},
           {"const %x i64[2] {1, 2}\n const %d i64[] {1000000000000}\n const %v f32[2] {0, 1}", "OneHot(%x, %d, %v) v11"},
           {"const %n i64[] {1000000000000}", "HannWindow(%n) v17"},
       }) {
    SCOPED_TRACE(node);
    EXPECT_NE(code_of(constants(lines, node)), ErrorCode{});
  }
}

TEST_F(Bombs, sizes_that_come_with_the_input) {
  const std::string shape_of = "graph \"g\" {\n input %s i64[2]\n %y ? = ConstantOfShape(%s) v25\n output %y \"y\"\n}\n";
  for (int64_t n : {int64_t{1} << 20, int64_t{1} << 31, int64_t{1} << 32, INT64_MAX, int64_t{-1}})
    EXPECT_NE(code_of(shape_of, {{"s", Tensor::of({n, n})}}), ErrorCode{}) << n;
  EXPECT_EQ(code_of(shape_of, {{"s", Tensor::of({int64_t{4}, int64_t{4}})}}), ErrorCode{});
}

TEST_F(Bombs, doubling) {
  for (const char* start : {"  const %x0 f32[2] {1, 2}\n", "  input %x0 f32[2]\n"}) {
    std::string text = std::string("graph \"g\" {\n") + start;
    for (int i = 0; i < 60; ++i) text += "  %x" + std::to_string(i + 1) + " ? = Concat(%x" + std::to_string(i) + ", %x" + std::to_string(i) + ") v13 {axis = 0}\n";
    text += "  output %x60 \"y\"\n}\n";
    std::vector<NamedDatum> inputs;
    if (std::string(start).find("input") != std::string::npos) inputs.push_back({"x0", Tensor::of({1.f, 2.f})});
    EXPECT_EQ(code_of(text, inputs), ErrorCode::limit);
  }
}

TEST_F(Bombs, a_text_that_doubles) {
  std::string text = "graph \"g\" {\n  input %x0 string[1]\n";
  for (int i = 0; i < 40; ++i) text += "  %x" + std::to_string(i + 1) + " string[1] = StringConcat(%x" + std::to_string(i) + ", %x" + std::to_string(i) + ") v20\n";
  text += "  output %x40 \"y\"\n}\n";
  EXPECT_EQ(code_of(text, {{"x0", Tensor::of({std::string("0123456789")})}}), ErrorCode::limit);
  const std::string start = "input %x0 string[1]";
  text.replace(text.find(start), start.size(), "const %x0 string[1] {\"0123456789\"}");
  EXPECT_EQ(code_of(text), ErrorCode::limit);
}

TEST_F(Bombs, a_long_text_many_times) {
  const std::string tile = "graph \"g\" {\n input %x string[1]\n input %n i64[1]\n %y string[?] = Tile(%x, %n) v13\n output %y \"y\"\n}\n";
  const Tensor x = Tensor::of({std::string(1 << 20, 'x')});
  EXPECT_EQ(code_of(tile, {{"x", x}, {"n", Tensor::of({int64_t{1'000'000}})}}), ErrorCode::limit);
  EXPECT_EQ(code_of(tile, {{"x", x}, {"n", Tensor::of({int64_t{3}})}}), ErrorCode{});
}

// Everything it needs is constant: opening the model must not run it for ever.
TEST_F(Bombs, a_constant_loop_without_end) {
  EXPECT_EQ(code_of(R"(graph "g" {
  const %n i64[] {9223372036854775807}
  const %x f32[2] {0, 1}
  %y f32[2] = Loop(%n, -, %x) v25 {body = graph "b" {
    input %i i64[]
    input %c bool[]
    input %s f32[2]
    %t f32[2] = Cos(%s) v22
    output %c "c"
    output %t "t"
  }}
  output %y "y"
}
)"), ErrorCode::deadline);
}

}  // namespace
}  // namespace outpost
