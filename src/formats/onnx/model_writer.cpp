// Graph → ModelProto, and the file of external data beside it.
#include <algorithm>

#include "base/text.h"
#include "base/write_file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/schema.h"
#include "formats/onnx/state_metadata.h"
#include "formats/onnx/value_writer.h"
#include "formats/onnx/written_names.h"

namespace outpost {
namespace onnx {
namespace {

constexpr uint64_t external_minimum = 1 << 10, large_tensor = 1 << 20, page = 4096, small_alignment = 64;
constexpr uint64_t inline_maximum = (uint64_t{19} << 30) / 10;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

// Data that goes to the external file, in order; the file is written when the model is.
class ExternalWriter {
 public:
  explicit ExternalWriter(std::string location) : location_(std::move(location)) {}

  ExternalPlace add(const Tensor& given) {
    const Tensor& tensor = tensors_.emplace_back(given.to_contiguous());
    const uint64_t alignment = tensor.bytes() >= large_tensor ? page : small_alignment;
    padding_.push_back((alignment - size_ % alignment) % alignment);
    const uint64_t offset = size_ + padding_.back();
    size_ = offset + tensor.bytes();
    return {location_, offset};
  }

  void write(const std::filesystem::path& path) const {
    static const std::string zeros(page, '\0');
    std::vector<std::string_view> pieces;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      pieces.emplace_back(zeros.data(), padding_[i]);
      pieces.emplace_back(static_cast<const char*>(tensors_[i].raw()), tensors_[i].bytes());
    }
    write_file(path, pieces);
  }
  bool empty() const { return tensors_.empty(); }

 private:
  std::string location_;
  std::vector<Tensor> tensors_;
  std::vector<uint64_t> padding_;
  uint64_t size_ = 0;
};

class ModelWriter {
 public:
  explicit ModelWriter(ExternalWriter* external) : external_(external) {}

  std::string model(const Graph& graph) {
    find_opsets(graph);
    out_.bytes(model_field::producer_name, "outpost");
    WrittenNames names(graph);
    for (const auto& [key, value] : graph.metadata) entry(key, value);
    for (const auto& state : graph.states) {
      const bool listed = std::count(graph.outputs.begin(), graph.outputs.end(), state.write) > 0;
      entry(state_key(state.name), StateNames{names.of(state.read), names.of(state.write), listed}.text());
    }
    out_.message(model_field::graph, [&] { this->graph(graph, names); });
    const bool standard = std::any_of(opsets_.begin(), opsets_.end(), [](const auto& o) { return o.first.empty(); });
    if (wrote_identity_ && !standard) opsets_.emplace_back("", 1);
    for (const auto& [domain, version] : opsets_) write_opset(domain, version);
    out_.integer(model_field::ir_version, ir_version_);
    return out_.take();
  }

 private:
  void write_opset(const std::string& domain, int version) {
    out_.message(model_field::opset_import, [&] {
      out_.bytes(opset_field::domain, domain);
      out_.integer(opset_field::version, version);
    });
  }

  void entry(std::string_view key, std::string_view value) {
    out_.message(model_field::metadata_props, [&] {
      out_.bytes(entry_field::key, key);
      out_.bytes(entry_field::value, value);
    });
  }

  // One version per domain: what every node's is, or the newest of resolved ones, whose forms are all the newest.
  void find_opsets(const Graph& graph) {
    for (const auto& [domain, version] : graph.opsets) opsets_.emplace_back(domain, version);
    std::vector<const Node*> nodes;
    collect(graph, nodes);
    for (const Node* node : nodes) {
      if (node->version <= 0) fail(ErrorCode::invalid_argument, node->label(), " has no opset version; resolve the graph first");
      auto at = std::find_if(opsets_.begin(), opsets_.end(), [&](const auto& o) { return o.first == node->domain; });
      if (at == opsets_.end()) opsets_.emplace_back(node->domain, node->version);
      else at->second = std::max(at->second, node->version);
    }
    std::sort(opsets_.begin(), opsets_.end());
    for (const Node* node : nodes)
      if (!node->def && node->version != opset(node->domain))
        fail(ErrorCode::invalid_argument, node->label(), " is written in opset ", node->version, ", others in ", opset(node->domain), "; upgrade the graph first");
  }
  static void collect(const Graph& graph, std::vector<const Node*>& nodes) {
    for (const auto& node : graph.nodes()) {
      nodes.push_back(node.get());
      for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& body) { collect(*body, nodes); });
    }
  }
  int opset(const std::string& domain) const {
    return std::find_if(opsets_.begin(), opsets_.end(), [&](const auto& o) { return o.first == domain; })->second;
  }

  void graph(const Graph& graph, const WrittenNames& names) {
    symbols_ = graph.symbols.get();
    out_.bytes(graph_field::name, graph.name.empty() ? "graph" : graph.name);
    for (const Value* input : graph.inputs())
      if (!names.is_outer(input)) value_info(graph_field::input, names.of(input), input->type);
    for (size_t i = 0; i < graph.outputs.size(); ++i) value_info(graph_field::output, names.outputs()[i], graph.outputs[i]->type);
    for (const auto& value : graph.values())
      if (value->is_constant() && !names.is_outer(value.get())) initializer(value->stored(), names.of(value.get()));
    for (const auto& state : graph.states) {
      if (state.initial.defined()) initializer(state.initial, names.of(state.read));
      if (std::count(graph.outputs.begin(), graph.outputs.end(), state.write) == 0) value_info(graph_field::output, names.of(state.write), state.write->type);
    }
    for (const auto& item : graph.nodes()) out_.message(graph_field::node, [&] { node(*item, names); });
    for (const auto& alias : names.aliases()) {
      wrote_identity_ = true;
      out_.message(graph_field::node, [&] {
        out_.bytes(node_field::input, names.of(alias.value));
        out_.bytes(node_field::output, alias.name);
        out_.bytes(node_field::op_type, "Identity");
      });
    }
  }

  void value_info(int field, const std::string& name, const Type& type) {
    note(type);
    out_.message(field, [&] {
      out_.bytes(value_info_field::name, name);
      if (type.kind != Type::Kind::none) out_.message(value_info_field::type, [&] { write_type(out_, type, *symbols_); });
    });
  }

  void initializer(const Tensor& tensor, const std::string& name) {
    note(Type::of(tensor));
    const bool outside = external_ && tensor.dtype() != DType::string && tensor.bytes() >= external_minimum;
    const auto place = outside ? external_->add(tensor) : ExternalPlace();
    out_.message(graph_field::initializer, [&] { write_tensor(out_, tensor, name, outside ? &place : nullptr); });
  }

  void note(const Type& type) { ir_version_ = std::max(ir_version_, ir_version_of(type.dtype)); }

  void node(const Node& node, const WrittenNames& names) {
    for (int i = 0; i < node.arity(); ++i) out_.bytes(node_field::input, node.input(i) ? names.of(node.input(i)) : "");
    for (const Value* output : node.outputs()) out_.bytes(node_field::output, output ? names.of(output) : "");
    if (!node.name.empty()) out_.bytes(node_field::name, node.name);
    out_.bytes(node_field::op_type, node.op);
    if (!node.domain.empty()) out_.bytes(node_field::domain, node.domain);
    for (const auto& entry : node.attributes) {
      out_.message(node_field::attribute, [&] {
        out_.bytes(attribute_field::name, entry.first);
        attribute(entry.second, node, names);
      });
    }
  }

  void type(AttributeType type) { out_.integer(attribute_field::type, static_cast<int>(type)); }

  void subgraph(int field, const Graph& body, const Node& node, const WrittenNames& names) {
    auto* symbols = symbols_;
    out_.message(field, [&] { graph(body, WrittenNames(body, node, names)); });
    symbols_ = symbols;
  }

  void attribute(const Attribute& value, const Node& node, const WrittenNames& names) {
    using Graphs = std::vector<std::shared_ptr<Graph>>;
    auto tensor = [&](int field, const Tensor& t) { out_.message(field, [&] { write_tensor(out_, t, ""); }); };
    std::visit(Overloaded{
        [&](int64_t v) { type(AttributeType::integer), out_.integer(attribute_field::i, v); },
        [&](float v) { type(AttributeType::real), out_.real32(attribute_field::f, v); },
        [&](const std::string& v) { type(AttributeType::string), out_.bytes(attribute_field::s, v); },
        [&](const Tensor& v) { type(AttributeType::tensor), tensor(attribute_field::t, v); },
        [&](const std::shared_ptr<Graph>& v) { type(AttributeType::graph), subgraph(attribute_field::g, *v, node, names); },
        [&](const Type& v) { type(AttributeType::type), out_.message(attribute_field::tp, [&] { write_type(out_, v, *symbols_); }); },
        [&](const std::vector<int64_t>& list) { type(AttributeType::integers); for (auto v : list) out_.integer(attribute_field::ints, v); },
        [&](const std::vector<float>& list) { type(AttributeType::reals); for (auto v : list) out_.real32(attribute_field::floats, v); },
        [&](const std::vector<std::string>& list) { type(AttributeType::strings); for (const auto& v : list) out_.bytes(attribute_field::strings, v); },
        [&](const std::vector<Tensor>& list) { type(AttributeType::tensors); for (const auto& v : list) tensor(attribute_field::tensors, v); },
        [&](const Graphs& list) { type(AttributeType::graphs); for (const auto& v : list) subgraph(attribute_field::graphs, *v, node, names); }}, value);
  }

  FieldWriter out_;
  ExternalWriter* external_;
  const Symbols* symbols_ = nullptr;
  std::vector<std::pair<std::string, int>> opsets_;
  int ir_version_ = 10;
  bool wrote_identity_ = false;
};

uint64_t constant_bytes(const Graph& graph) {
  uint64_t bytes = 0;
  for (const auto& value : graph.values())
    if (value->is_constant()) bytes += value->stored().bytes();
  for (const auto& node : graph.nodes())
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& body) { bytes += constant_bytes(*body); });
  return bytes;
}

}  // namespace
}  // namespace onnx

std::string onnx_bytes(const Graph& graph) { return onnx::ModelWriter(nullptr).model(graph); }

void save_onnx(const Graph& graph, const std::filesystem::path& path, const SaveOptions& options) {
  const bool outside = options.external_data == ExternalDataUse::always ||
                       (options.external_data == ExternalDataUse::automatic && onnx::constant_bytes(graph) > onnx::inline_maximum);
  auto data_path = path;
  data_path += ".data";
  onnx::ExternalWriter external(data_path.filename().string());
  const auto model = onnx::ModelWriter(outside ? &external : nullptr).model(graph);
  if (!external.empty()) external.write(data_path);
  write_file(path, model);
}

std::string onnx_value_bytes(const Datum& value, Type::Kind kind) {
  onnx::FieldWriter out;
  onnx::write_value(out, value, kind);
  return out.take();
}

}  // namespace outpost
