// Writes the fuzzers' seeds: small valid files of every kind, made by our own writers.
//   make_seeds FOLDER      files go to FOLDER/<fuzzer>/
#include <cstdio>
#include <filesystem>

#include "base/write_file.h"
#include "formats/npy/npy.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx_pieces.h"
#include "formats/safetensors/safetensors.h"
#include "graph/text.h"

namespace {

using namespace outpost;
using namespace outpost::test;
namespace fs = std::filesystem;

// Each exercises other parts of the reader and of what runs after it.
const char* const graphs[] = {
    R"(graph "mlp" { opset "" 21 input %x f32[N,3]
      const %w f32[3,2] {1, 2, 3, 4, 5, 6} const %b f32[2] {0.5, -0.5}
      %h f32[N,2] = Gemm(%x, %w, %b) v21 {alpha = 1.0, transB = 0} %y f32[N,2] = Softmax(%h) v21 {axis = -1} output %y "y" })",
    R"(graph "conv" { opset "" 21 input %x f32[1,2,5,5] const %w f32[2,2,3,3] base64 "AACAPwAAAEAAAEBAAACAQAAAoEAAAMBAAADgQAAAAEEAABBBAACAPwAAAEAAAEBAAACAQAAAoEAAAMBAAADgQAAAAEEAABBBAACAPwAAAEAAAEBAAACAQAAAoEAAAMBAAADgQAAAAEEAABBBAACAPwAAAEAAAEBAAACAQAAAoEAAAMBAAADgQAAAAEEAABBB"
      %c ? = Conv(%x, %w) v21 {pads = [1, 1, 1, 1], strides = [2, 1], group = 1} %r ? = Relu(%c) v21 %p ? = MaxPool(%r) v21 {kernel_shape = [2, 2]}
      %s ? = Shape(%p) v21 const %t i64[2] {1, -1} %f ? = Reshape(%p, %t) v21 output %f "f" })",
    R"(graph "if" { opset "" 21 input %p bool[] input %x f32[2] const %k f32[2] {1, 2}
      %y ? = If(%p; %x) v21 {then_branch = graph "t" { input %x f32[2] const %k f32[2] {1, 2} %a ? = Add(%x, %k) v21 output %a "a" },
                             else_branch = graph "e" { input %x f32[2] %n ? = Neg(%x) v21 output %n "n" }} output %y "y" })",
    R"(graph "loop" { opset "" 21 input %m i64[] input %x f32[2] const %c bool[] {1}
      %y ?, %s ? = Loop(%m, %c, %x) v21 {body = graph "b" { input %i i64[] input %go bool[] input %v f32[2]
        %w ? = Add(%v, %v) v21 %o ? = Identity(%go) v21 output %o "o" output %w "w" output %v "v" }} output %y "y" output %s "s" })",
    R"(graph "dynamic" { opset "" 21 input %x f32[3] %n ? = NonZero(%x) v21 %g ? = Gather(%x, %n) v21 {axis = 0} const %sh i64[2] {2, 3}
      %e ? = Expand(%g, %sh) v21 const %k i64[1] {2} %t ?, %i ? = TopK(%x, %k) v21 %cs ? = ConstantOfShape(%sh) v21 {value = i64[1] {7}} output %e "e" output %i "i" output %cs "cs" })",
    R"(graph "old" { opset "" 7 input %x f32[2,3] %u ? = Unsqueeze(%x) v7 {axes = [0]} %s ? = Squeeze(%u) v7 {axes = [0]} %q ? = Softmax(%x) v7 output %q "q" })",
    R"(graph "types" { opset "" 21 opset "ai.onnx.ml" 3 opset "com.microsoft" 1 input %s sequence(f32[…]) input %o optional(f32[2]) const %h f16[2] {1, 2} const %q i4[3] {1, -1, 0} const %t string[2] {"a", "b"}
      %c ? = Cast(%q) v21 {to = 1} %d ? = StringConcat(%t, %t) v21 %l ? = SequenceLength(%s) v21 %z ? = com.microsoft.Gelu(%c) v1 output %z "z" output %d "d" output %l "l"
      input %r f32[3] state "k" %r %c f32[3] {0, 0, 0} })"};

void add(const fs::path& folder, const std::string& fuzzer, const std::string& content) {
  static int next = 0;
  fs::create_directories(folder / fuzzer);
  write_file(folder / fuzzer / ("seed-" + std::to_string(next++)), content);
}

std::string with_functions() {
  auto by = attribute_pb("by", onnx::AttributeType::integer, [](auto& m) { m.integer(onnx::attribute_field::i, 3); });
  auto inner = function_pb({"Inner", {"x"}, {"y"}, {node_pb({"LeakyRelu", {"x"}, {"t"}, {reference_pb("alpha", "by", onnx::AttributeType::real)}}), node_pb({"Neg", {"t"}, {"y"}})}});
  auto outer = function_pb({"Outer", {"a", "b"}, {"r"}, {node_pb({"Inner", {"a"}, {"t"}, {reference_pb("by", "by", onnx::AttributeType::integer)}, "local", "in"}), node_pb({"Add", {"t", "b"}, {"r"}})}, {by}});
  return model_pb(graph_pb({{node_pb({"Outer", {"x", "x"}, {"y"}, {}, "local"})}, {"x"}, {"y"}}), {inner, outer});
}

std::string with_sparse() {
  auto sparse = made([](auto& m) {
    m.bytes(onnx::sparse_tensor_field::values, tensor_pb(Tensor::of<float>({5, 6}), "w"));
    m.bytes(onnx::sparse_tensor_field::indices, tensor_pb(Tensor::of<int64_t>({0, 1})));
    m.integer(onnx::sparse_tensor_field::dims, 2);
  });
  auto typed = made([](auto& m) {
    m.integer(onnx::tensor_field::dims, 2);
    m.integer(onnx::tensor_field::data_type, 6);
    m.bytes(onnx::tensor_field::int32_data, "\x01\x7f");
    m.bytes(onnx::tensor_field::name, "v");
  });
  return model_pb(graph_pb({{node_pb({"Add", {"x", "w"}, {"y"}})}, {"x"}, {"y"}, {typed}, {sparse}}));
}

void write_seeds(const fs::path& folder) {
  for (const char* text : graphs) {
    auto graph = parse_graph(text);
    const auto file = onnx_bytes(*graph);
    for (const char* fuzzer : {"fuzz_onnx", "fuzz_onnx_reader"}) add(folder, fuzzer, file);
    add(folder, "fuzz_text", to_text(*graph, {.full = true}));
  }
  for (const char* fuzzer : {"fuzz_onnx", "fuzz_onnx_reader"}) {
    add(folder, fuzzer, with_functions());
    add(folder, fuzzer, with_sparse());
  }
  auto items = Datum::sequence({Tensor::of<float>({1, 2}), Tensor::scalar(int64_t{3})});
  add(folder, "fuzz_onnx_reader", onnx_value_bytes(items, Type::Kind::sequence));
  add(folder, "fuzz_onnx_reader", onnx_value_bytes(Datum::map(Tensor::of<int64_t>({1}), {items}), Type::Kind::map));
  add(folder, "fuzz_onnx_reader", onnx_value_bytes(items, Type::Kind::optional));

  NamedTensors tensors{{"f", Tensor::of<float>({1, 2})}, {"s", Tensor::of(std::vector<std::string>{"a", "日"}, {2})}, {"b", Tensor(DType::bf16, {0, 3})}, {"i", Tensor::scalar(int64_t{-1})}};
  for (const auto& [name, tensor] : tensors) add(folder, "fuzz_npy", npy_bytes(tensor));
  add(folder, "fuzz_npy", npz_bytes(tensors));
  tensors.erase(tensors.begin() + 1);
  add(folder, "fuzz_safetensors", safetensors_bytes({tensors, {{"format", "pt"}, {"\"", "\n"}}}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "make_seeds FOLDER\n"), 2;
  try {
    write_seeds(argv[1]);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "make_seeds: %s\n", error.what()), 1;
  }
}
