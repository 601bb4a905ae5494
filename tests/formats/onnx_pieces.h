// ONNX messages built field by field, the legal and the hostile, for the reader's tests and the fuzzers' seeds.
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "formats/onnx/field_writer.h"
#include "formats/onnx/schema.h"
#include "formats/onnx/value_writer.h"

namespace outpost::test {

using onnx::FieldWriter;

// A message's bytes: made([&](auto& m) { m.bytes(1, "x"); }).
inline std::string made(const std::function<void(FieldWriter&)>& write) {
  FieldWriter m;
  write(m);
  return m.take();
}

inline std::string attribute_pb(const std::string& name, onnx::AttributeType type, const std::function<void(FieldWriter&)>& value) {
  return made([&](auto& m) {
    m.bytes(onnx::attribute_field::name, name);
    m.integer(onnx::attribute_field::type, static_cast<int>(type));
    value(m);
  });
}

inline std::string reference_pb(const std::string& name, const std::string& reference, onnx::AttributeType type) {
  return attribute_pb(name, type, [&](auto& m) { m.bytes(onnx::attribute_field::ref_attr_name, reference); });
}

struct NodePieces {
  std::string op;
  std::vector<std::string> inputs, outputs, attributes = {};
  std::string domain = "", name = "", overload = "";
};

inline std::string node_pb(const NodePieces& node) {
  return made([&](auto& m) {
    for (const auto& s : node.inputs) m.bytes(onnx::node_field::input, s);
    for (const auto& s : node.outputs) m.bytes(onnx::node_field::output, s);
    if (!node.name.empty()) m.bytes(onnx::node_field::name, node.name);
    m.bytes(onnx::node_field::op_type, node.op);
    if (!node.domain.empty()) m.bytes(onnx::node_field::domain, node.domain);
    if (!node.overload.empty()) m.bytes(onnx::node_field::overload, node.overload);
    for (const auto& s : node.attributes) m.bytes(onnx::node_field::attribute, s);
  });
}

inline std::string tensor_pb(const Tensor& tensor, const std::string& name = "") {
  return made([&](auto& m) { onnx::write_tensor(m, tensor, name); });
}

inline std::string value_info_pb(const std::string& name, const Type& type, const Symbols& symbols = {}) {
  return made([&](auto& m) {
    m.bytes(onnx::value_info_field::name, name);
    m.message(onnx::value_info_field::type, [&] { onnx::write_type(m, type, symbols); });
  });
}

struct GraphPieces {
  std::vector<std::string> nodes, inputs, outputs, initializers = {}, sparse_initializers = {};
};

inline Type f32(std::initializer_list<int64_t> dims = {2}) { return Type::tensor(DType::f32, Shape(dims)); }

// Inputs and outputs are names of f32[2].
inline std::string graph_pb(const GraphPieces& graph) {
  return made([&](auto& m) {
    m.bytes(onnx::graph_field::name, "g");
    for (const auto& s : graph.nodes) m.bytes(onnx::graph_field::node, s);
    for (const auto& s : graph.inputs) m.bytes(onnx::graph_field::input, value_info_pb(s, f32()));
    for (const auto& s : graph.outputs) m.bytes(onnx::graph_field::output, value_info_pb(s, f32()));
    for (const auto& s : graph.initializers) m.bytes(onnx::graph_field::initializer, s);
    for (const auto& s : graph.sparse_initializers) m.bytes(onnx::graph_field::sparse_initializer, s);
  });
}

inline std::string opset_pb(const std::string& domain, int64_t version) {
  return made([&](auto& m) {
    m.bytes(onnx::opset_field::domain, domain);
    m.integer(onnx::opset_field::version, version);
  });
}

inline std::string graph_attribute_pb(const std::string& name, const std::string& graph) {
  return attribute_pb(name, onnx::AttributeType::graph, [&](auto& m) { m.bytes(onnx::attribute_field::g, graph); });
}

struct FunctionPieces {
  std::string name;
  std::vector<std::string> inputs, outputs, nodes;
  std::vector<std::string> attributes = {};  // attribute_proto: with defaults
  std::string domain = "local", overload = "";
  int opset = 13;
};

inline std::string function_pb(const FunctionPieces& f) {
  return made([&](auto& m) {
    m.bytes(onnx::function_field::name, f.name);
    m.bytes(onnx::function_field::domain, f.domain);
    if (!f.overload.empty()) m.bytes(onnx::function_field::overload, f.overload);
    for (const auto& s : f.inputs) m.bytes(onnx::function_field::input, s);
    for (const auto& s : f.outputs) m.bytes(onnx::function_field::output, s);
    for (const auto& s : f.nodes) m.bytes(onnx::function_field::node, s);
    for (const auto& s : f.attributes) m.bytes(onnx::function_field::attribute_proto, s);
    m.bytes(onnx::function_field::opset_import, opset_pb("", f.opset));
  });
}

inline std::string model_pb(const std::string& graph, const std::vector<std::string>& functions = {}, int ir_version = 10) {
  return made([&](auto& m) {
    m.integer(onnx::model_field::ir_version, ir_version);
    m.bytes(onnx::model_field::opset_import, opset_pb("", 21));
    m.bytes(onnx::model_field::opset_import, opset_pb("local", 1));
    m.bytes(onnx::model_field::graph, graph);
    for (const auto& f : functions) m.bytes(onnx::model_field::functions, f);
  });
}

}  // namespace outpost::test
