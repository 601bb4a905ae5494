// Attacks that model readers have fallen for, and their kin: each must end in an error, soon and in little memory.
// External data: CVE-2022-25882, CVE-2024-27318, CVE-2026-27489, CVE-2026-34446/34447; protobuf: CVE-2024-7254, CVE-2025-4565.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/write_file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx_pieces.h"

namespace outpost::test {
namespace {

namespace fs = std::filesystem;
using onnx::AttributeType;
using testing::HasSubstr;

std::string problem_of(const std::string& model, const LoadOptions& options = {}) {
  try {
    load_onnx(std::as_bytes(std::span(model)), nullptr, options);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string value_problem(const std::string& bytes, Type::Kind kind = Type::Kind::tensor) {
  try {
    read_onnx_value(std::as_bytes(std::span(bytes)), kind);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string varint(uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
  return out;
}

// Wraps `bytes` as field `field` of a message, `depth` times.
std::string nested(std::initializer_list<int> fields, int depth) {
  std::string bytes;
  for (int i = 0; i < depth; ++i)
    for (int field : fields) {
      std::string outer = varint(static_cast<uint64_t>(field) << 3 | 2) + varint(bytes.size());
      // Quadratic if written plainly: lengths first, from the inside out, then reversed.
      bytes = std::move(outer) + bytes;
    }
  return bytes;
}

TEST(OnnxHostile, broken_wire) {
  EXPECT_THAT(problem_of(std::string(100'000, '\x0b')), HasSubstr("wire type 3"));   // nested groups
  EXPECT_THAT(problem_of(std::string(100'000, '\x3b')), HasSubstr("wire type 3"));   // in the graph's field
  EXPECT_THAT(problem_of("\x08" + std::string(10, '\xff') + "\x01"), HasSubstr("longer than 10 bytes"));
  EXPECT_THAT(problem_of(std::string(11, '\xff')), HasSubstr("longer than 10 bytes"));
  EXPECT_THAT(problem_of("\x08\xff"), HasSubstr("ends within a varint"));
  EXPECT_THAT(problem_of("\x3a\x05xx"), HasSubstr("a length is 5 bytes, but the message has only 2 left"));
  EXPECT_THAT(problem_of("\x3a" + varint(~uint64_t{0})), HasSubstr("a length is 18446744073709551615"));
  EXPECT_THAT(problem_of("\x3a" + varint((uint64_t{1} << 32) + 1) + "x"), HasSubstr("a length is 4294967297"));  // 1 in 32 bits
  EXPECT_THAT(problem_of(std::string("\x00\x00", 2)), HasSubstr("field number is 0"));
  EXPECT_THAT(problem_of("\x38\x01"), HasSubstr("wire type 0 found, 2 expected"));
  EXPECT_THAT(problem_of("\x0d\x01\x01\x01\x01"), HasSubstr("ModelProto field 1: wire type 5 found, 0 expected"));
}

TEST(OnnxHostile, nesting) {
  const int node = onnx::graph_field::node, attribute = onnx::node_field::attribute, g = onnx::attribute_field::g;
  for (int depth : {70, 2000}) {
    auto graphs = nested({g, attribute, node}, depth);
    EXPECT_THAT(problem_of(made([&](auto& m) { m.bytes(onnx::model_field::graph, graphs); })), HasSubstr("nested more than 64 deep"));
    auto types = nested({onnx::type_field::elem_type, onnx::type_field::sequence}, depth);
    auto graph = made([&](auto& m) {
      m.message(onnx::graph_field::input, [&] {
        m.bytes(onnx::value_info_field::name, "x");
        m.bytes(onnx::value_info_field::type, types);
      });
    });
    EXPECT_THAT(problem_of(model_pb(graph)), HasSubstr("a type is nested more than 64 deep"));
    EXPECT_THAT(value_problem(nested({onnx::sequence_field::sequences}, depth), Type::Kind::sequence), HasSubstr("nested more than 64 deep"));
    EXPECT_THAT(value_problem(nested({onnx::optional_field::optional}, depth), Type::Kind::optional), HasSubstr("nested more than 64 deep"));
    EXPECT_THAT(value_problem(nested({onnx::map_field::values, onnx::sequence_field::maps}, depth), Type::Kind::sequence), HasSubstr("nested more than 64 deep"));
  }
}

struct TensorPieces {
  std::vector<int64_t> dims;
  int64_t dtype = 1;
  std::function<void(FieldWriter&)> data = [](auto&) {};
};

std::string tensor_of(const TensorPieces& t) {
  return made([&](auto& m) {
    for (auto d : t.dims) m.integer(onnx::tensor_field::dims, d);
    m.integer(onnx::tensor_field::data_type, t.dtype);
    m.bytes(onnx::tensor_field::name, "w");
    t.data(m);
  });
}

TEST(OnnxHostile, tensors_that_lie) {
  namespace f = onnx::tensor_field;
  auto raw = [](size_t n) { return [n](auto& m) { m.bytes(f::raw_data, std::string(n, 'x')); }; };
  const int64_t big = int64_t{1} << 32;
  EXPECT_THAT(value_problem(tensor_of({{big, big}, 1, raw(4)})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(value_problem(tensor_of({{big, big, 0}, 1, raw(4)})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(value_problem(tensor_of({{int64_t{1} << 61}, 11, raw(8)})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(value_problem(tensor_of({{-1}, 1, raw(4)})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(value_problem(tensor_of({{INT64_MIN, 2}, 1, raw(4)})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(value_problem(tensor_of({{1'000'000, 1'000'000}, 1, raw(4)})), HasSubstr("4 bytes of data, but f32[1000000,1000000] takes 4000000000000"));
  EXPECT_THAT(value_problem(tensor_of({{2}, 1, raw(4)})), HasSubstr("4 bytes of data, but f32[2] takes 8"));
  EXPECT_THAT(value_problem(tensor_of({{2}, 1, raw(9)})), HasSubstr("9 bytes of data"));
  EXPECT_THAT(value_problem(tensor_of({{3}, 22, raw(1)})), HasSubstr("1 bytes of data, but i4[3] takes 2"));
  EXPECT_THAT(value_problem(tensor_of({std::vector<int64_t>(65, 1), 1, raw(4)})), HasSubstr("more than 64"));
  EXPECT_THAT(value_problem(tensor_of({{1'000'000'000'000}, 7})), HasSubstr("0 values in field 7, but i64[1000000000000] takes 1000000000000"));
  EXPECT_THAT(value_problem(tensor_of({{1'000'000'000'000}, 8})), HasSubstr("0 strings"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 8, raw(4)})), HasSubstr("never raw"));
  EXPECT_THAT(value_problem(tensor_of({{2}, 7, [](auto& m) { m.bytes(f::int64_data, "\x01\x80"); }})), HasSubstr("ends within a varint"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 7, [](auto& m) { m.bytes(f::int64_data, std::string(10, '\x80') + "\x01"); }})), HasSubstr("longer than 10"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 1, [](auto& m) { m.bytes(f::float_data, "12345"); }})), HasSubstr("not a multiple of 4"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 1, [](auto& m) { m.integer(f::float_data, 1); }})), HasSubstr("wire type 0 found"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 7, [](auto& m) { m.integer(f::int32_data, 1); }})), HasSubstr("0 values in field 7"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 0, raw(4)})), HasSubstr("data_type is 0, expected 1..26"));
  EXPECT_THAT(value_problem(tensor_of({{1}, 27, raw(4)})), HasSubstr("data_type is 27"));
  EXPECT_THAT(value_problem(tensor_of({{1}, int64_t{1} << 32 | 1, raw(4)})), HasSubstr("does not fit 32 bits"));
  EXPECT_THAT(value_problem(tensor_of({{1}, -5, raw(4)})), HasSubstr("data_type is -5"));
}

TEST(OnnxHostile, a_million_outputs) {
  auto node = [](const std::string& last) {
    return made([&](auto& m) {
      m.bytes(onnx::node_field::op_type, "Split");
      for (int i = 0; i < 1'000'000; ++i) m.bytes(onnx::node_field::output, last.empty() ? std::to_string(i) : "");
      m.bytes(onnx::node_field::output, last.empty() ? "y" : last);
    });
  };
  const auto named = model_pb(graph_pb({{node("")}, {}, {"y"}}));
  EXPECT_EQ(problem_of(named), "");  // legal, if strange
  EXPECT_EQ(problem_of(model_pb(graph_pb({{node("y")}, {}, {"y"}}))), "");
  EXPECT_THAT(problem_of(named, {.memory_limit_bytes = 10 << 20}), HasSubstr("memory_limit_bytes"));
}

TEST(OnnxHostile, a_million_graph_outputs) {
  GraphPieces outputs{{}, {"x"}, std::vector<std::string>(1'000'000, "x")};
  EXPECT_EQ(problem_of(model_pb(graph_pb(outputs))), "");
}

TEST(OnnxHostile, a_million_nodes_of_three_bytes) {
  auto nodes = made([](auto& m) { for (int i = 0; i < 1'000'001; ++i) m.bytes(onnx::graph_field::node, "\x22\x01""A"); });
  EXPECT_THAT(problem_of(model_pb(nodes)), HasSubstr("more than 1000000 nodes"));
  EXPECT_THAT(problem_of(model_pb(nodes), {.memory_limit_bytes = 1 << 20}), HasSubstr("memory_limit_bytes"));
}

TEST(OnnxHostile, too_many_attributes) {
  auto attributes = made([](auto& m) {
    m.bytes(onnx::node_field::op_type, "A");
    for (int i = 0; i < 100'000; ++i) m.bytes(onnx::node_field::attribute, reference_pb(std::to_string(i), "x", AttributeType::integer));
  });
  EXPECT_THAT(problem_of(model_pb(graph_pb({{attributes}, {}, {}}))), HasSubstr("more than 4096 attributes"));
}

TEST(OnnxHostile, symbols_are_found_quickly) {
  auto graph = made([](auto& m) {
    for (int i = 0; i < 200'000; ++i) {
      m.message(onnx::graph_field::input, [&] {
        m.bytes(onnx::value_info_field::name, "x" + std::to_string(i));
        m.bytes(onnx::value_info_field::type, made([&](auto& t) {
          t.message(onnx::type_field::tensor, [&] { t.message(onnx::type_field::shape, [&] { t.message(onnx::shape_field::dim, [&] { t.bytes(onnx::shape_field::dim_param, std::to_string(i)); }); }); });
        }));
      });
    }
  });
  EXPECT_EQ(problem_of(model_pb(graph)), "");
}

TEST(OnnxHostile, a_model_cut_or_changed_anywhere_does_no_harm) {
  auto inner = graph_pb({{node_pb({"Mul", {"x", "w"}, {"i"}})}, {}, {"i"}});
  auto f = function_pb({"F", {"x"}, {"y"}, {node_pb({"If", {"x"}, {"y"}, {graph_attribute_pb("then_branch", graph_pb({{node_pb({"Neg", {"x"}, {"i"}})}, {}, {"i"}}))}})}});
  auto good = model_pb(graph_pb({{node_pb({"F", {"x"}, {"a"}, {}, "local"}), node_pb({"If", {"a"}, {"y"}, {graph_attribute_pb("then_branch", inner)}})},
                                 {"x"}, {"y"}, {tensor_pb(Tensor::of<float>({1, 2}), "w")}}), {f});
  ASSERT_EQ(problem_of(good), "");
  for (size_t i = 0; i < good.size(); ++i) {
    problem_of(good.substr(0, i));
    for (int bit : {1, 2, 4, 8, 16, 32, 64, 128}) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ bit);
      problem_of(bad);
    }
  }
}

class ExternalDataTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "outpost-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    fs::create_directories(root_ / "model/sub");
    write_file(root_ / "secret", std::string(8, 's'));
    write_file(root_ / "model/data", std::string(8, 'd'));
    write_file(root_ / "model/sub/data", std::string(8, 'e'));
    fs::create_symlink("../secret", root_ / "model/link");
    fs::create_symlink("..", root_ / "model/up");
    fs::create_hard_link(root_ / "secret", root_ / "model/hard");
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::string external(const std::string& location, const std::string& offset = "", const std::string& length = "", int64_t count = 2, int dtype = 1) {
    return tensor_of({{count}, dtype, [&](auto& m) {
      auto entry = [&](const std::string& key, const std::string& value) {
        m.message(onnx::tensor_field::external_data, [&] {
          m.bytes(onnx::entry_field::key, key);
          m.bytes(onnx::entry_field::value, value);
        });
      };
      entry("location", location);
      if (!offset.empty()) entry("offset", offset);
      if (!length.empty()) entry("length", length);
      m.integer(onnx::tensor_field::data_location, 1);
    }});
  }

  // The same tensor in every place where a file can hold one.
  static std::vector<std::string> models_with(const std::string& tensor) {
    namespace a = onnx::attribute_field;
    auto t = attribute_pb("value", AttributeType::tensor, [&](auto& m) { m.bytes(a::t, tensor); });
    auto ts = attribute_pb("list", AttributeType::tensors, [&](auto& m) { m.bytes(a::tensors, tensor); });
    auto sparse_pb = made([&](auto& m) {
      m.bytes(onnx::sparse_tensor_field::values, tensor);
      m.bytes(onnx::sparse_tensor_field::indices, tensor_pb(Tensor::of<int64_t>({0, 1})));
      m.integer(onnx::sparse_tensor_field::dims, 4);
    });
    auto sparse_indices = made([&](auto& m) {
      m.bytes(onnx::sparse_tensor_field::values, tensor_pb(Tensor::of<float>({0, 1}), "w"));
      m.bytes(onnx::sparse_tensor_field::indices, tensor);
      m.integer(onnx::sparse_tensor_field::dims, 4);
    });
    auto sparse = attribute_pb("sparse_value", AttributeType::sparse_tensor, [&](auto& m) { m.bytes(a::sparse_tensor, sparse_pb); });
    auto body = graph_pb({{}, {}, {"w"}, {tensor}});
    auto inside = graph_pb({{node_pb({"If", {"x"}, {"w"}, {graph_attribute_pb("then_branch", body)}})}, {"x"}, {"w"}});
    auto f = function_pb({"F", {}, {"w"}, {node_pb({"Constant", {}, {"w"}, {t}})}});
    auto defaulted = function_pb({"F", {}, {"w"}, {node_pb({"Constant", {}, {"w"}, {reference_pb("value", "value", AttributeType::tensor)}})}, {t}});
    auto call = graph_pb({{node_pb({"F", {}, {"w"}, {}, "local"})}, {}, {"w"}});
    return {model_pb(graph_pb({{}, {}, {"w"}, {tensor}})), model_pb(graph_pb({{}, {}, {"w"}, {}, {sparse_pb}})), model_pb(graph_pb({{}, {}, {"w"}, {}, {sparse_indices}})),
            model_pb(graph_pb({{node_pb({"Constant", {}, {"w"}, {t}})}, {}, {"w"}})), model_pb(graph_pb({{node_pb({"Constant", {}, {"w"}, {sparse}})}, {}, {"w"}})),
            model_pb(graph_pb({{node_pb({"A", {}, {"w"}, {ts}})}, {}, {"w"}})), model_pb(inside), model_pb(call, {f}), model_pb(call, {defaulted})};
  }

  std::string file_problem(const std::string& model, const LoadOptions& options = {}) {
    write_file(root_ / "model/m.onnx", model);
    try {
      load_onnx(root_ / "model/m.onnx", options);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }

  fs::path root_;
};

TEST_F(ExternalDataTest, every_way_out_is_closed_everywhere) {
  for (const std::string& location : {std::string("../secret"), std::string("sub/../../secret"), std::string("sub/../data"), (root_ / "secret").string(),
                                      std::string("link"), std::string("up/secret"), std::string("hard"), std::string("data\0x", 6), std::string("sub\\data"),
                                      std::string(), std::string("sub//data"), std::string("/etc/passwd"), std::string("sub"), std::string(".")}) {
    for (const auto& model : models_with(external(location))) EXPECT_THAT(file_problem(model), HasSubstr("external_data location: '")) << location;
  }
}

TEST_F(ExternalDataTest, files_of_other_kinds_are_named) {
  for (const auto& [bytes, name] : std::vector<std::pair<std::string, std::string>>{
           {"", "empty file"}, {"PK\3\4....", "zip archive"}, {std::string("\x1c\0\0\0TFL3....", 12), "TensorFlow Lite"}, {"GGUF....", "GGUF"},
           {"\x80\2}q", "pickle"}, {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"}, {"<!DOCTYPE html>", "web page"}})
    EXPECT_THAT(file_problem(bytes), testing::AllOf(HasSubstr("m.onnx' is not an ONNX model but"), HasSubstr(name)));
}

TEST_F(ExternalDataTest, what_lies_beneath_is_read) {
  for (const auto& model : models_with(external("data"))) {
    const auto problem = file_problem(model);
    EXPECT_TRUE(problem.empty() || problem.find("indices are f32") != problem.npos) << problem;
  }
  EXPECT_EQ(file_problem(models_with(external("sub/data"))[0]), "");
  EXPECT_EQ(file_problem(models_with(external("./data", "0", "8"))[0]), "");
  EXPECT_EQ(file_problem(models_with(external("data", "4", "4", 1))[0]), "");
  // Through a symbolic link to the model: its real folder counts.
  write_file(root_ / "model/m.onnx", models_with(external("data"))[0]);
  fs::create_symlink("model/m.onnx", root_ / "cached.onnx");
  auto graph = load_onnx(root_ / "cached.onnx");
  EXPECT_EQ(graph->outputs.at(0)->constant().data<float>()[1], load_onnx(root_ / "model/m.onnx")->outputs[0]->constant().data<float>()[0]);
  // Another root, and none.
  EXPECT_EQ(file_problem(models_with(external("data"))[0], {.external_data_root = root_ / "model/sub"}), "");
  EXPECT_THAT(problem_of(models_with(external("data"))[0]), HasSubstr("external_data_root"));
  EXPECT_EQ(problem_of(models_with(external("data"))[0], {.external_data_root = root_ / "model"}), "");
  EXPECT_THAT(value_problem(external("data")), HasSubstr("not allowed here"));
}

TEST_F(ExternalDataTest, places_that_lie_are_errors) {
  auto problem = [&](const std::string& offset, const std::string& length, int64_t count = 2, int dtype = 1) {
    return file_problem(models_with(external("data", offset, length, count, dtype))[0]);
  };
  EXPECT_THAT(problem("1", ""), HasSubstr("beyond the end of 'data' (8 bytes)"));
  EXPECT_THAT(problem("18446744073709551615", "2"), HasSubstr("beyond the end"));
  EXPECT_THAT(problem("8", "18446744073709551615"), HasSubstr("beyond the end"));
  EXPECT_THAT(problem("99999999999999999999", ""), HasSubstr("expected a decimal number"));
  EXPECT_THAT(problem("-1", ""), HasSubstr("expected a decimal number"));
  EXPECT_THAT(problem("0x0", ""), HasSubstr("expected a decimal number"));
  EXPECT_THAT(problem(" 0", ""), HasSubstr("expected a decimal number"));
  EXPECT_THAT(problem("0", "4"), HasSubstr("4 bytes of data, but f32[2] takes 8"));
  EXPECT_THAT(problem("", "", int64_t{1} << 40), HasSubstr("beyond the end"));
  EXPECT_THAT(problem("", "", 1, 8), HasSubstr("never raw or external"));
}

TEST_F(ExternalDataTest, a_model_with_external_data_comes_back) {
  Graph graph;
  Tensor large(DType::f32, {1 << 19}), small(DType::u8, {2000});
  for (size_t i = 0; i < large.values<float>().size(); ++i) large.values<float>()[i] = static_cast<float>(i);
  std::fill_n(static_cast<uint8_t*>(small.raw()), 2000, uint8_t{9});
  for (auto [name, tensor] : {std::pair{"small", small}, std::pair{"large", large}, std::pair{"tiny", Tensor::of<float>({1})}})
    graph.outputs.push_back(graph.add_constant(tensor, name));
  save_onnx(graph, root_ / "saved.onnx", {.external_data = ExternalDataUse::always});
  EXPECT_LT(fs::file_size(root_ / "saved.onnx"), 1000u);
  EXPECT_EQ(fs::file_size(root_ / "saved.onnx.data"), 4096 + large.bytes());
  auto back = load_onnx(root_ / "saved.onnx");
  EXPECT_EQ(back->outputs[1]->constant().data<float>()[12345], 12345.0f);
  save_onnx(graph, root_ / "whole.onnx");
  auto whole = load_onnx(root_ / "whole.onnx");
  EXPECT_EQ(whole->outputs[1]->constant().data<float>()[12345], 12345.0f);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(whole->outputs[1]->constant().raw()) % 64, 0u);
}

}  // namespace
}  // namespace outpost::test
