// Static int8 (see quantise.h). A value that becomes codes is followed by one QuantizeLinear → DequantizeLinear pair that
// all its readers share; which values do: the inputs and outputs of the layers chosen, and whatever only moves, pools,
// adds or joins such values.
#include "passes/quantise.h"

#include <algorithm>
#include <cmath>

#include "ops/op.h"
#include "passes/match.h"

namespace outpost {
namespace {

using match::is;
using match::used_once;

bool has_weights(const Node& n) {
  const Value* w = n.input(1);
  return w && w->is_constant() && w->constant().dtype() == DType::f32 && w->constant().count() > 0 && n.output(0)->type.dtype == DType::f32;
}

bool is_layer(const Node& n) {
  if (!n.domain.empty() || n.inputs().size() < 2 || !has_weights(n) || n.input(0)->is_constant()) return false;
  const int rank = n.input(1)->constant().rank();
  if (n.input(2) && !(n.input(2)->is_constant() && n.input(2)->constant().dtype() == DType::f32)) return false;
  if (n.op == "Conv") return rank >= 3;
  if (n.op == "MatMul") return rank == 2;
  if (n.op != "Gemm" || rank != 2) return false;
  const Attributes& a = n.attributes;
  if (a.real("alpha", 1) != 1 || a.integer("transA", 0) != 0 || (n.input(2) && a.real("beta", 1) != 1)) return false;
  const int64_t out = n.input(1)->constant().shape()[a.integer("transB", 0) ? 0 : 1];
  return !n.input(2) || n.input(2)->constant().count() == out;
}

// Relu, or a Clip whose bounds hold 0: its codes are the layer's, saturated.
bool is_saturation(const Node& n) {
  if (is(&n, "Relu")) return true;
  if (!is(&n, "Clip")) return false;
  for (int i = 1; i < 3; ++i)
    if (n.input(i) && !match::scalar_of(n.input(i))) return false;
  return true;
}

// The value that `v`'s own saturation gives, or v.
Value* saturated(Value* v) {
  if (!used_once(v)) return v;
  Node* n = v->uses()[0].node;
  return is_saturation(*n) && n->input(0) == v ? n->output(0) : v;
}

// Where the codes of a layer's result are taken: behind the bias that a MatMul has as an Add of its own, and a saturation.
Value* result_of(const Node& n) {
  Value* v = n.output(0);
  if (n.op == "MatMul" && used_once(v) && is(v->uses()[0].node, "Add")) {
    const Node& add = *v->uses()[0].node;
    const Value* other = add.input(add.input(0) == v ? 1 : 0);
    const int64_t columns = n.input(1)->constant().shape()[1];
    const bool bias = other->is_constant() && other->constant().dtype() == DType::f32 && other->constant().count() == columns &&
                      other->constant().rank() >= 1 && other->constant().shape().back() == columns &&
                      v->type.ranked && other->constant().rank() <= v->type.rank();
    if (bias) v = add.output(0);
  }
  return saturated(v);
}

// What may work on codes between layers. `same`: its output has its input's scale.
enum class Between { no, same, own };
Between between(const Node& n) {
  if (!n.domain.empty()) return Between::no;
  for (const char* op : {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth"})
    if (n.op == op) return n.outputs().size() == 1 ? Between::same : Between::no;
  for (const char* op : {"Add", "Mul", "Concat", "GlobalAveragePool"})
    if (n.op == op) return Between::own;
  return is_saturation(n) ? Between::own : Between::no;
}

// How many inputs carry data.
int operands(const Node& n) {
  if (n.op == "Add" || n.op == "Mul") return 2;
  return n.op == "Concat" ? static_cast<int>(n.inputs().size()) : 1;
}

// ---- weights

struct Packed {
  Tensor codes, scales;
};

// Symmetric i8 with a scale for each index of `axis`.
Packed pack_weights_i8(const Tensor& w, int axis) {
  const Shape& shape = w.shape();
  const int64_t channels = shape[axis], inner = shape.count(axis + 1, shape.rank()), outer = w.count() / channels / inner;
  Packed p{Tensor(DType::i8, shape), Tensor(DType::f32, {channels})};
  const float* x = w.data<float>();
  for (int64_t c = 0; c < channels; ++c) {
    float most = 0;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) most = std::max(most, std::abs(x[(o * channels + c) * inner + i]));
    const float scale = most > 1e-30f && std::isfinite(most) ? most / 127 : 1;
    p.scales.data<float>()[c] = scale;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const int64_t at = (o * channels + c) * inner + i;
        const float code = std::nearbyint(x[at] / scale);
        p.codes.data<int8_t>()[at] = static_cast<int8_t>(code == code ? std::clamp(code, -127.0f, 127.0f) : 0.0f);
      }
  }
  return p;
}

int channel_axis(const Node& n) {
  if (n.op == "Conv") return 0;
  return n.op == "Gemm" && n.attributes.integer("transB", 0) ? 0 : 1;
}

class Static {
 public:
  Static(Graph& graph, const Ranges& ranges) : graph_(graph), ranges_(ranges) {}

  int run(const std::set<const Node*>& layers) {
    choose(layers);
    std::vector<Value*> order;  // producers first
    for (Value* v : graph_.inputs())
      if (codes_.contains(v)) order.push_back(v);
    std::vector<Node*> nodes;
    for (const auto& n : graph_.nodes()) nodes.push_back(n.get());
    for (Node* n : nodes)
      for (Value* v : n->outputs())
        if (v && codes_.contains(v)) order.push_back(v);
    for (Node* n : nodes)
      if (layers.contains(n)) weigh(*n);
    for (Value* v : order) insert_pair(v);
    return static_cast<int>(order.size());
  }

 private:
  void choose(const std::set<const Node*>& layers) {
    for (const auto& node : graph_.nodes()) {
      Node& n = *node;
      if (layers.contains(&n)) {
        const auto x = scale_at(n.input(0));
        Value* y = result_of(n);
        const auto scale = scale_at(y);
        if (!x || !scale) continue;
        codes_[n.input(0)] = *x;
        codes_[y] = *scale;
      } else if (const Between kind = between(n); kind != Between::no && n.output(0)->type.dtype == DType::f32) {
        bool all = true;
        for (int i = 0; i < operands(n); ++i) all = all && n.input(i) && codes_.contains(n.input(i));
        if (!all || codes_.contains(n.output(0))) continue;
        Value* y = kind == Between::same ? n.output(0) : saturated(n.output(0));
        const auto scale = kind == Between::same ? std::optional(codes_[n.input(0)]) : scale_at(y);
        if (scale) codes_[y] = *scale;
      }
    }
  }

  std::optional<CodeScale> scale_at(Value* v) {
    if (const auto at = codes_.find(v); at != codes_.end()) return at->second;
    const auto at = ranges_.find(v);
    return at == ranges_.end() ? std::nullopt : std::optional(at->second);
  }

  // The layer reads its weights and bias as codes.
  void weigh(Node& n) {
    const auto x = codes_.find(n.input(0));
    if (x == codes_.end()) return;
    Builder b(graph_, &n);
    const int axis = channel_axis(n);
    Value* w = n.input(1);
    const Packed p = pack_weights_i8(w->constant(), axis);
    const int64_t channels = p.scales.count();
    auto constant = [&](Tensor t, std::string_view suffix, const Value* of) { return graph_.add_constant(std::move(t), of->name + std::string(suffix)); };
    Tensor zeros(DType::i8, {channels});
    std::fill_n(zeros.data<int8_t>(), channels, int8_t{0});
    n.set_input(1, b.emit("DequantizeLinear", {constant(p.codes, "_codes", w), constant(p.scales, "_scale", w), constant(zeros, "_zero", w)},
                          {{"axis", int64_t{axis}}}));
    Value* bias = n.input(2);
    if (!bias || bias->constant().count() != channels) return;
    Tensor sums(DType::i32, bias->constant().shape()), scales(DType::f32, {channels});
    for (int64_t i = 0; i < channels; ++i) {
      const double step = double(x->second.scale) * p.scales.data<float>()[i];
      const double sum = std::nearbyint(bias->constant().data<float>()[i] / step);
      if (!(std::abs(sum) < 1e9)) return;  // stays float
      sums.data<int32_t>()[i] = static_cast<int32_t>(sum);
      scales.data<float>()[i] = static_cast<float>(step);
    }
    if (bias->constant().rank() != 1) return;
    Tensor none(DType::i32, {channels});
    std::fill_n(none.data<int32_t>(), channels, 0);
    n.set_input(2, b.emit("DequantizeLinear", {constant(sums, "_codes", bias), constant(scales, "_scale", bias), constant(none, "_zero", bias)},
                          {{"axis", int64_t{0}}}));
  }

  void insert_pair(Value* v) {
    const CodeScale s = codes_.at(v);
    Node* first = nullptr;  // of v's readers
    if (v->producer()) {
      bool found = false;
      for (const auto& n : graph_.nodes()) {
        if (found) {
          first = n.get();
          break;
        }
        found = n.get() == v->producer();
      }
    } else if (!graph_.nodes().empty()) {
      first = graph_.nodes().front().get();
    }
    Builder b(graph_, first);
    Value* scale = graph_.add_constant(Tensor::scalar(s.scale), v->name + "_scale");
    Value* zero = graph_.add_constant(Tensor::scalar(s.zero), v->name + "_zero");
    const std::vector<Use> readers = v->uses();
    const bool is_result = graph_.is_output(v);
    Value* codes = b.emit("QuantizeLinear", {v, scale, zero});
    Value* back = b.emit("DequantizeLinear", {codes, scale, zero});
    for (const Use& use : readers) use.node->set_input(use.index, back);
    if (!is_result) return;
    graph_.pin_output_names();
    std::replace(graph_.outputs.begin(), graph_.outputs.end(), v, back);
  }

  Graph& graph_;
  const Ranges& ranges_;
  std::unordered_map<const Value*, CodeScale> codes_;
};

}  // namespace

std::vector<QuantisableLayer> quantisable_layers(Graph& graph) {
  std::vector<QuantisableLayer> layers;
  for (const auto& n : graph.nodes())
    if (is_layer(*n)) layers.push_back({n.get(), n->input(0), result_of(*n)});
  return layers;
}

std::vector<Value*> values_to_observe(Graph& graph) {
  std::vector<Value*> values;
  auto note = [&](Value* v) {
    if (v && v->type.dtype == DType::f32 && std::find(values.begin(), values.end(), v) == values.end()) values.push_back(v);
  };
  for (const auto& n : graph.nodes()) {
    if (is_layer(*n)) note(n->input(0)), note(result_of(*n));
    else if (between(*n) == Between::own) note(saturated(n->output(0)));
  }
  return values;
}

int quantise_static(Graph& graph, const std::set<const Node*>& layers, const Ranges& ranges) { return Static(graph, ranges).run(layers); }

}  // namespace outpost
