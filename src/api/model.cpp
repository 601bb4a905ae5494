// Model: a graph described to callers.
#include "outpost/model.h"

#include <algorithm>

#include "api/model_data.h"
#include "base/text.h"

namespace outpost {
namespace {

constexpr size_t names_in_messages = 12;

bool is_state(const Graph& graph, const Value* v) {
  return std::any_of(graph.states.begin(), graph.states.end(), [&](const StateVariable& s) { return s.read == v; });
}

TypeInfo::Kind kind_of(Type::Kind kind) {
  switch (kind) {
    case Type::Kind::tensor: return TypeInfo::Kind::tensor;
    case Type::Kind::sparse_tensor: return TypeInfo::Kind::sparse_tensor;
    case Type::Kind::sequence: return TypeInfo::Kind::sequence;
    case Type::Kind::optional: return TypeInfo::Kind::optional;
    case Type::Kind::map: return TypeInfo::Kind::map;
    case Type::Kind::none: break;
  }
  return TypeInfo::Kind::unknown;
}

int64_t count_parameters(const Graph& graph) {
  int64_t count = 0;
  for (const auto& v : graph.values()) {
    if (!v->is_constant()) continue;
    const Tensor& t = v->stored();
    const bool index = t.dtype() == DType::i64 || t.dtype() == DType::string || t.dtype() == DType::boolean;
    if (t.rank() > 0 && !index) count += t.count();
  }
  for (const auto& n : graph.nodes())
    for_each_subgraph(*n, [&](const std::string&, const std::shared_ptr<Graph>& g) { count += count_parameters(*g); });
  return count;
}

}  // namespace

TypeInfo describe(const Type& type, const Symbols& symbols) {
  TypeInfo info;
  info.kind = kind_of(type.kind);
  info.dtype = type.dtype;
  info.ranked = type.ranked;
  for (const Dim& d : type.dims) info.shape.push_back({d.known() ? d.size : -1, d.symbol ? symbols.name(d.symbol) : std::string()});
  if (type.element) info.element = std::make_shared<const TypeInfo>(describe(*type.element, symbols));
  return info;
}

size_t position(const std::vector<ValueInfo>& infos, std::string_view name, std::string_view kind) {
  for (size_t i = 0; i < infos.size(); ++i)
    if (infos[i].name == name) return i;
  std::string known;
  for (size_t i = 0; i < std::min(infos.size(), names_in_messages); ++i) known += text(i ? ", '" : "'", infos[i].name, "'");
  if (infos.size() > names_in_messages) known += ", …";
  fail(ErrorCode::not_found, "the model has no ", kind, " '", name, "'; it has ", known.empty() ? "none" : known);
}

std::string to_string(const TypeInfo& t) {
  switch (t.kind) {
    case TypeInfo::Kind::unknown: return "?";
    case TypeInfo::Kind::sequence: return text("sequence(", t.element ? to_string(*t.element) : "?", ")");
    case TypeInfo::Kind::optional: return text("optional(", t.element ? to_string(*t.element) : "?", ")");
    case TypeInfo::Kind::map: return text("map(", t.dtype, ",", t.element ? to_string(*t.element) : "?", ")");
    case TypeInfo::Kind::tensor:
    case TypeInfo::Kind::sparse_tensor: break;
  }
  std::string out = text(t.kind == TypeInfo::Kind::sparse_tensor ? "sparse " : "", t.dtype);
  if (!t.ranked) return out + "[…]";
  out += '[';
  for (size_t i = 0; i < t.shape.size(); ++i) {
    const Dimension& d = t.shape[i];
    if (i) out += ',';
    if (d.size >= 0) append_any(out, d.size);
    else out += d.symbol.empty() ? "?" : d.symbol;
  }
  return out + ']';
}

Model::Model(std::shared_ptr<Graph> graph) {
  if (!graph) fail(ErrorCode::invalid_argument, "a model needs a graph");
  graph->pin_output_names();
  auto data = std::make_shared<Data>();
  for (const Value* v : graph->inputs())
    if (!is_state(*graph, v)) data->inputs.push_back({v->name, describe(v->type, *graph->symbols)});
  for (size_t i = 0; i < graph->outputs.size(); ++i)
    data->outputs.push_back({graph->output_name(i), describe(graph->outputs[i]->type, *graph->symbols)});
  data->graph = std::move(graph);
  data_ = std::move(data);
}

const std::string& Model::name() const noexcept { return data_->graph->name; }
const std::vector<ValueInfo>& Model::inputs() const noexcept { return data_->inputs; }
const std::vector<ValueInfo>& Model::outputs() const noexcept { return data_->outputs; }
const std::vector<std::pair<std::string, std::string>>& Model::metadata() const noexcept { return data_->graph->metadata; }
const std::shared_ptr<const Graph>& Model::graph() const noexcept { return data_->graph; }
int64_t Model::parameter_count() const { return count_parameters(*data_->graph); }

std::vector<std::pair<std::string, int>> Model::opsets() const {
  std::vector<std::pair<std::string, int>> list(data_->graph->opsets.begin(), data_->graph->opsets.end());
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace outpost
