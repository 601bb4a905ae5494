// ModelProto, GraphProto, NodeProto, AttributeProto and FunctionProto from the wire into the structures of proto.h.
// Nesting and counts are limited here, so that what follows may recurse over subgraphs.
#include "formats/onnx/order.h"
#include "formats/onnx/proto.h"

namespace outpost::onnx {
namespace {

constexpr size_t max_attributes = 4096;  // of one node, which looks them up one by one; operators have at most 40

class Parser {
 public:
  Parser(const Source& source, const ParseLimits& limits, Budget& budget)
      : source_(source), limits_(limits), budget_(budget) {}

  ModelProto model() {
    ModelProto model;
    std::string_view graph;
    std::vector<std::string_view> functions;
    FieldReader r(source_, source_.bytes, "ModelProto");
    while (r.next()) {
      switch (r.field()) {
        case model_field::ir_version: model.ir_version = r.integer(); break;
        case model_field::opset_import: opset(r.bytes(), model.opsets); break;
        case model_field::metadata_props: {
          auto [key, value] = entry(r.bytes());
          model.metadata.emplace_back(key, value);
          break;
        }
        case model_field::graph:
          if (!graph.empty()) r.fail("a second graph");
          graph = r.bytes();
          break;
        case model_field::functions: functions.push_back(keep(r.bytes())); break;
        default: r.skip();
      }
    }
    if (graph.data() == nullptr) r.fail("no graph; is this an ONNX model?");
    if (model.ir_version > newest_ir_version)
      outpost::fail(ErrorCode::unsupported, source_.label, ": IR version ", model.ir_version, " is newer than ",
                    newest_ir_version, ", the newest that is known");
    if (model.opsets.empty() && model.ir_version < 3) model.opsets[""] = 1;  // opset_import came with IR version 3
    for (auto bytes : functions) model.functions.push_back(function(bytes));
    model.graph = parse_graph(graph, 1);
    return model;
  }

 private:
  // A repeated field's element is about to be stored: its fixed part counts, so that empty elements are not free.
  std::string_view keep(std::string_view bytes) {
    budget_.charge(64, "the model's structure");
    return bytes;
  }

  std::pair<std::string_view, std::string_view> entry(std::string_view bytes) {
    std::pair<std::string_view, std::string_view> result;
    FieldReader r(source_, keep(bytes), "StringStringEntryProto");
    while (r.next()) {
      switch (r.field()) {
        case entry_field::key: result.first = r.bytes(); break;
        case entry_field::value: result.second = r.bytes(); break;
        default: r.skip();
      }
    }
    return result;
  }

  void opset(std::string_view bytes, Opsets& opsets) {
    std::string_view domain;
    int64_t version = 0;
    FieldReader r(source_, keep(bytes), "OperatorSetIdProto");
    while (r.next()) {
      switch (r.field()) {
        case opset_field::domain: domain = r.bytes(); break;
        case opset_field::version: version = r.integer(); break;
        default: r.skip();
      }
    }
    if (version < 0 || version > 1'000'000) r.fail("version ", version, " of the operator set '", domain, "'");
    auto& known = opsets[std::string(canonical_domain(domain))];
    known = std::max(known, static_cast<int>(version));
  }

  NamedBytes value_info(std::string_view bytes) {
    NamedBytes result;
    FieldReader r(source_, keep(bytes), "ValueInfoProto");
    while (r.next()) {
      switch (r.field()) {
        case value_info_field::name: result.name = r.bytes(); break;
        case value_info_field::type: result.bytes = r.bytes(); break;
        default: r.skip();
      }
    }
    if (result.name.empty()) r.fail("no name");
    return result;
  }

  // A TensorProto (or the values of a SparseTensorProto) is known by its name.
  NamedBytes named_tensor(std::string_view bytes, bool sparse) {
    NamedBytes result{{}, bytes};
    FieldReader r(source_, keep(bytes), sparse ? "SparseTensorProto" : "TensorProto");
    while (r.next()) {
      if (!sparse && r.field() == tensor_field::name) result.name = r.bytes();
      else if (sparse && r.field() == sparse_tensor_field::values) result.name = named_tensor(r.bytes(), false).name;
      else r.skip();
    }
    if (result.name.empty()) r.fail("an initializer has no name");
    return result;
  }

  AttributeProto attribute(std::string_view bytes, int depth) {
    AttributeProto result;
    result.bytes = bytes;
    AttributeType seen = AttributeType::undefined;
    budget_.charge(sizeof(AttributeProto), "the model's structure");
    FieldReader r(source_, bytes, "AttributeProto");
    while (r.next()) {
      auto add_graph = [&] { result.graphs.push_back(std::make_shared<GraphProto>(parse_graph(r.bytes(), depth + 1))); };
      switch (r.field()) {
        case attribute_field::name: result.name = r.bytes(); break;
        case attribute_field::ref_attr_name: result.reference = r.bytes(); break;
        case attribute_field::type: result.type = static_cast<AttributeType>(r.enumeration()); break;
        case attribute_field::g: add_graph(); seen = AttributeType::graph; break;
        case attribute_field::graphs: add_graph(); seen = AttributeType::graphs; break;
        default: note_kind(r.field(), seen); r.skip();
      }
    }
    if (result.name.empty()) r.fail("an attribute has no name");
    if (result.type == AttributeType::undefined) result.type = seen;  // IR version 1 had no type field
    return result;
  }

  static void note_kind(int field, AttributeType& seen) {
    switch (field) {
      case attribute_field::f: seen = AttributeType::real; break;
      case attribute_field::i: seen = AttributeType::integer; break;
      case attribute_field::s: seen = AttributeType::string; break;
      case attribute_field::t: seen = AttributeType::tensor; break;
      case attribute_field::floats: seen = AttributeType::reals; break;
      case attribute_field::ints: seen = AttributeType::integers; break;
      case attribute_field::strings: seen = AttributeType::strings; break;
      case attribute_field::tensors: seen = AttributeType::tensors; break;
      default: break;
    }
  }

  NodeProto node(std::string_view bytes, int depth) {
    if (++nodes_ > limits_.max_nodes)
      outpost::fail(ErrorCode::limit, source_.label, ": more than ", limits_.max_nodes, " nodes (LoadOptions::max_nodes)");
    budget_.charge(sizeof(NodeProto), "the model's structure");
    NodeProto node;
    FieldReader r(source_, bytes, "NodeProto");
    while (r.next()) {
      switch (r.field()) {
        case node_field::input: node.inputs.push_back(edge(r)); break;
        case node_field::output: node.outputs.push_back(edge(r)); break;
        case node_field::name: node.name = r.bytes(); break;
        case node_field::op_type: node.op = r.bytes(); break;
        case node_field::domain: node.domain = canonical_domain(r.bytes()); break;
        case node_field::overload: node.overload = r.bytes(); break;
        case node_field::attribute:
          if (node.attributes.size() == max_attributes) r.fail("more than ", max_attributes, " attributes");
          node.attributes.push_back(attribute(r.bytes(), depth));
          break;
        default: r.skip();
      }
    }
    if (node.op.empty()) r.fail("a node has no op_type");
    return node;
  }

  std::string_view edge(FieldReader& r) {
    budget_.charge(128, "the model's structure");  // the name here, and its place in the graph later
    return r.bytes();
  }

  GraphProto parse_graph(std::string_view bytes, int depth) {
    FieldReader r(source_, bytes, "GraphProto");
    if (depth > limits_.max_depth)
      outpost::fail(ErrorCode::limit, source_.label, ": subgraphs are nested more than ", limits_.max_depth, " deep");
    budget_.charge(sizeof(GraphProto), "the model's structure");
    GraphProto graph;
    while (r.next()) {
      switch (r.field()) {
        case graph_field::node: graph.nodes.push_back(node(r.bytes(), depth)); break;
        case graph_field::name: graph.name = r.bytes(); break;
        case graph_field::initializer: graph.initializers.push_back(named_tensor(r.bytes(), false)); break;
        case graph_field::sparse_initializer: graph.sparse_initializers.push_back(named_tensor(r.bytes(), true)); break;
        case graph_field::input: graph.inputs.push_back(value_info(r.bytes())); break;
        case graph_field::output: graph.outputs.push_back(value_info(r.bytes())); break;
        case graph_field::metadata_props: graph.metadata.push_back(entry(r.bytes())); break;
        default: r.skip();
      }
    }
    find_free_names(graph);
    return graph;
  }

  void find_free_names(GraphProto& graph) {
    std::vector<std::string_view> given, wanted;
    for (const auto* list : {&graph.inputs, &graph.initializers, &graph.sparse_initializers})
      for (const auto& item : *list) given.push_back(item.name);
    for (const auto& output : graph.outputs) wanted.push_back(output.name);
    graph.free_names = order_nodes(source_.label, graph.nodes, given, wanted);
    budget_.charge(graph.free_names.size() * 2 * sizeof(std::string_view), "the model's structure");
  }

  FunctionProto function(std::string_view bytes) {
    budget_.charge(sizeof(FunctionProto), "the model's structure");
    FunctionProto function;
    FieldReader r(source_, bytes, "FunctionProto");
    while (r.next()) {
      switch (r.field()) {
        case function_field::name: function.name = r.bytes(); break;
        case function_field::domain: function.domain = canonical_domain(r.bytes()); break;
        case function_field::overload: function.overload = r.bytes(); break;
        case function_field::input: function.inputs.push_back(keep(r.bytes())); break;
        case function_field::output: function.outputs.push_back(keep(r.bytes())); break;
        case function_field::attribute_proto: function.defaults.push_back(attribute(r.bytes(), 0)); break;
        case function_field::node: function.nodes.push_back(node(r.bytes(), 0)); break;
        case function_field::opset_import: opset(r.bytes(), function.opsets); break;
        default: r.skip();
      }
    }
    if (function.name.empty()) r.fail("a function has no name");
    auto free = order_nodes(source_.label, function.nodes, function.inputs, function.outputs);
    if (!free.empty())
      outpost::fail(ErrorCode::invalid_model, source_.label, ": function '", function.name, "': the name '", free.front(),
                    "' is made by none of its nodes and inputs");
    return function;
  }

  const Source& source_;
  const ParseLimits& limits_;
  Budget& budget_;
  int64_t nodes_ = 0;
};

}  // namespace

std::string NodeProto::label() const {
  if (!name.empty()) return text(op, " '", name, "'");
  for (auto output : outputs)
    if (!output.empty()) return text(op, " (making '", output, "')");
  return std::string(op);
}

ModelProto parse_model(const Source& source, const ParseLimits& limits, Budget& budget) {
  return Parser(source, limits, budget).model();
}

}  // namespace outpost::onnx
