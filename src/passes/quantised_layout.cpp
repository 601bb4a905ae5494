// Integer operators move to blocks of channels (ops/blocked_bytes.h), where the convolutions are fastest; what stands
// between them follows, so that codes are put into blocks once and taken out once:
//   QLinearConv → BlockedConvInt8 (with a Clip of its codes as bounds) · QLinearAdd of two blocked tensors joins the
//   convolution before it as its residual, else works on blocks as it is · MaxPool, GlobalAveragePool → their blocked form ·
//   QLinearMul, QLinearConcat of whole blocks → the same on blocks.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "kernels/int8.h"
#include "ops/convolution.h"
#include "passes/passes.h"
#include "passes/quantised.h"

namespace outpost {
namespace {

using namespace quantised;
using match::used_once;

constexpr int64_t block = kernels::byte_block;
constexpr int64_t most_reach = 1 << 10;  // of a window; what tiles copy stays small

// A planar value that stands for a blocked one: UnblockBytes(value).
struct Blocked {
  Value* value = nullptr;
  int64_t channels = 0;
  explicit operator bool() const noexcept { return value; }
};

Blocked blocked(const Value* v) {
  const Node* n = v ? v->producer() : nullptr;
  if (!n || n->op != "UnblockBytes" || n->domain != "outpost") return {};
  return {n->input(0), n->attributes.integer("channels", 0)};
}

class Layout {
 public:
  explicit Layout(Graph& graph) : graph_(graph) {}

  int run() {
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) nodes.push_back(node.get());
    for (Node* n : nodes)
      if (!gone_.contains(n)) changes_ += visit(*n);
    return changes_;
  }

 private:
  bool visit(Node& n) {
    if (n.op == "QLinearConv" && n.domain.empty()) return conv(n);
    if (n.op == "QLinearAdd" && n.domain == "com.microsoft") return add(n) || elementwise(n);
    if (n.op == "QLinearMul" && n.domain == "com.microsoft") return elementwise(n);
    if (n.op == "QLinearConcat") return concat(n);
    if (match::is(&n, "MaxPool")) return max_pool(n);
    if (match::is(&n, "QuantizeLinear")) return global_average(n);
    return false;
  }

  // v in blocks, made in front of the node that asks.
  Value* in_blocks(Builder& b, Value* v, int64_t wanted) {
    if (const Blocked x = blocked(v); x && wanted == block) return x.value;
    Value*& made = made_[{v, wanted}];
    if (made) return made;
    const Attributes attributes{{"block", wanted}};
    const Node* q = v->producer();
    if (match::is(q, "QuantizeLinear") && q->input(0)->type.dtype == DType::f32 && q->attributes.integer("block_size", 0) == 0)
      if (const auto s = scale_of(q->input(1), q->input(2), v->type.dtype))
        return made = b.emit("QuantizeBlocks", {q->input(0), s->scale, b.scalar(DType::u8, s->point_u8())}, attributes, "outpost");
    return made = b.emit("BlockBytes", {v}, attributes, "outpost");
  }

  // `last`'s output becomes the planar face of a blocked value.
  bool face(Builder& b, Node& last, Value* value, int64_t channels) {
    const DType to = last.output(0)->type.dtype;
    gone_.insert(&last);
    return replace(last, b.emit("UnblockBytes", {value}, {{"channels", channels}, {"to", static_cast<int64_t>(to)}}, "outpost"));
  }

  // The Clip of codes behind n, if it is all that reads them; bounds count from 0.
  struct Bounds {
    Node* last;
    int64_t low = 0, high = 255;
  };
  static Bounds bounds(Node& n) {
    Bounds found{&n};
    const Value* y = n.output(0);
    if (!used_once(y)) return found;
    Node* clip = y->uses()[0].node;
    if (!match::is(clip, "Clip") || clip->input(0) != y) return found;
    const int shift = y->type.dtype == DType::i8 ? 128 : 0;
    int64_t limits[2] = {0, 255};
    for (int i = 1; i < 3; ++i) {
      if (!clip->input(i)) continue;
      const auto v = match::scalar_of(clip->input(i));
      if (!v) return found;
      limits[i - 1] = static_cast<int64_t>(*v) + shift;
    }
    if (limits[0] > limits[1]) return found;
    return {clip, limits[0], limits[1]};
  }

  static bool small_window(const Node& n, const Shape& w) {
    if (w[2] > 64 || w[3] > 64) return false;
    for (const char* name : {"dilations", "strides"})
      for (int64_t v : n.attributes.integers(name))
        if (v * 64 > most_reach * 16) return false;
    return true;
  }

  bool conv(Node& n) {
    Value* x = n.input(0);
    const Value *w = n.input(3), *w_scale = n.input(4), *w_zero = n.input(5), *bias = n.input(8);
    const auto xs = scale_of(n.input(1), n.input(2), x->type.dtype), ys = scale_of(n.input(6), n.input(7), n.output(0)->type.dtype);
    if (!xs || !ys || !x->type.ranked || x->type.rank() != 4) return false;
    if (!w->is_constant() || !w_scale->is_constant() || (w_zero && !w_zero->is_constant()) || (bias && !bias->is_constant())) return false;
    const Shape& shape = w->constant().shape();
    if (w_zero && w_zero->constant().count() != 1 && w_zero->constant().count() != shape[0]) return false;
    if (shape.rank() != 4 || shape.count() == 0 || !small_window(n, shape)) return false;
    const int64_t groups = n.attributes.integer("group", 1), out = shape[0], in = shape[1] * groups;
    const bool depthwise = groups > 1 && shape[1] == 1 && out == groups;
    const bool whole = shape[1] % block == 0 && out / groups % block == 0;
    if (groups > 1 && !depthwise && !whole) return false;
    const auto weights = without_zero(w->constant(), w_zero ? &w_zero->constant() : nullptr, 0);
    const auto scales = multipliers(w_scale->constant(), out, *xs, *ys);
    if (!weights || !scales) return false;
    const Bounds limits = bounds(n);
    Builder b(graph_, &n);
    Attributes a = n.attributes;
    a.set("x_zero", int64_t{xs->point_u8()});
    a.set("y_zero", int64_t{ys->point_u8()});
    a.set("low", limits.low);
    a.set("high", limits.high);
    Value* sums = bias ? b.constant(bias->constant()) : nullptr;
    Value* y = b.emit("BlockedConvInt8", {in_blocks(b, x, in <= 4 && groups == 1 ? 4 : block), b.constant(*weights), b.constant(*scales), sums}, a, "outpost");
    return face(b, *limits.last, y, out);
  }

  static std::optional<Tensor> multipliers(const Tensor& w_scale, int64_t out, const Scale& x, const Scale& y) {
    Tensor scales(DType::f32, {out});
    if (w_scale.count() != 1 && w_scale.count() != out) return {};
    for (int64_t o = 0; o < out; ++o) {
      const double s = double(x.real) * w_scale.data<float>()[w_scale.count() == 1 ? 0 : o] / y.real;
      if (!(std::abs(s) < 1e30)) return {};
      scales.data<float>()[o] = static_cast<float>(s);
    }
    return scales;
  }

  // ---- sums

  struct Pair {
    Blocked a, b;
    std::optional<Scale> as, bs, ys;
    bool whole() const { return a && b && as && bs && ys; }
  };
  static Pair pair(const Node& n) {
    const DType t = n.output(0)->type.dtype;
    return {blocked(n.input(0)), blocked(n.input(3)), scale_of(n.input(1), n.input(2), t), scale_of(n.input(4), n.input(5), t),
            scale_of(n.input(6), n.input(7), t)};
  }

  // The convolution behind a planar value that nobody else reads.
  static Node* free_conv(const Value* planar) {
    if (!used_once(planar) || !used_once(planar->producer()->input(0))) return nullptr;
    Node* n = planar->producer()->input(0)->producer();
    return n && n->op == "BlockedConvInt8" && !n->input(4) ? n : nullptr;
  }

  // y = (a - za) sa + (b - zb) sb as the epilogue of a, b being its residual.
  bool add(Node& n) {
    const Pair p = pair(n);
    if (!p.whole() || n.input(0) == n.input(3) || p.a.channels != p.b.channels || !match::same_shape(n.input(0), n.input(3))) return false;
    Node *left = free_conv(n.input(0)), *right = free_conv(n.input(3));
    if (!left && !right) return false;
    const bool second = right && (!left || follows(*right, *left));
    Node& conv = second ? *right : *left;
    const Scale &own = second ? *p.bs : *p.as, &other = second ? *p.as : *p.bs;
    const float weight = other.real / p.ys->real;
    const Bounds limits = bounds(n);
    Builder b(graph_, &n);
    Attributes a = conv.attributes;
    a.set("own", own.real / p.ys->real);
    a.set("other", weight);
    a.set("offset", -weight * static_cast<float>(other.point_u8()));
    a.set("sum_zero", int64_t{p.ys->point_u8()});
    a.set("sum_low", limits.low);
    a.set("sum_high", limits.high);
    std::vector<Value*> inputs = conv.inputs();
    inputs.resize(4);
    inputs.push_back(second ? p.a.value : p.b.value);
    Value* y = b.emit("BlockedConvInt8", inputs, a, "outpost");
    return face(b, *limits.last, y, p.a.channels);
  }

  bool follows(const Node& a, const Node& b) const {
    for (const auto& n : graph_.nodes()) {
      if (n.get() == &a) return false;
      if (n.get() == &b) return true;
    }
    return false;
  }

  Value* zero_u8(Builder& b, const Scale& s) { return b.scalar(DType::u8, s.point_u8()); }

  bool elementwise(Node& n) {
    const Pair p = pair(n);
    if (!p.whole() || p.a.channels != p.b.channels || !match::same_shape(n.input(0), n.input(3))) return false;
    Builder b(graph_, &n);
    Value* y = b.emit(n.op, {p.a.value, p.as->scale, zero_u8(b, *p.as), p.b.value, p.bs->scale, zero_u8(b, *p.bs), p.ys->scale, zero_u8(b, *p.ys)}, {}, n.domain);
    return face(b, n, y, p.a.channels);
  }

  bool concat(Node& n) {
    const DType t = n.output(0)->type.dtype;
    const auto ys = scale_of(n.input(0), n.input(1), t);
    const int64_t axis = n.attributes.integer("axis", 0);
    if (!ys || (axis != 1 && axis != -3)) return false;
    for (int i = 2; i < static_cast<int>(n.inputs().size()); i += 3) {
      const Blocked x = blocked(n.input(i));
      if (!x || x.channels % block != 0 || !scale_of(n.input(i + 1), n.input(i + 2), t)) return false;
    }
    Builder b(graph_, &n);
    std::vector<Value*> inputs{ys->scale, zero_u8(b, *ys)};
    int64_t channels = 0;
    for (int i = 2; i < static_cast<int>(n.inputs().size()); i += 3) {
      const Blocked x = blocked(n.input(i));
      const auto s = scale_of(n.input(i + 1), n.input(i + 2), t);
      inputs.insert(inputs.end(), {x.value, s->scale, zero_u8(b, *s)});
      channels += x.channels;
    }
    return face(b, n, b.emit("QLinearConcat", inputs, {{"axis", int64_t{1}}}, "com.microsoft"), channels);
  }

  // ---- poolings

  bool max_pool(Node& n) {
    const Blocked x = blocked(n.input(0));
    if (!x || !is_byte(n.output(0)->type.dtype) || (n.outputs().size() > 1 && n.output(1))) return false;
    Builder b(graph_, &n);
    Attributes a = n.attributes;
    a.erase("storage_order");
    return face(b, n, b.emit("BlockedMaxPoolInt8", {x.value}, a, "outpost"), x.channels);
  }

  // DequantizeLinear → GlobalAveragePool → QuantizeLinear of a blocked value.
  bool global_average(Node& q) {
    const auto ys = scale_of(q.input(1), q.input(2), q.output(0)->type.dtype);
    Node* n = q.input(0)->producer();
    if (!ys || !match::is(n, "GlobalAveragePool") || !used_once(q.input(0)) || q.attributes.integer("block_size", 0) != 0) return false;
    const auto x = codes_of(n->input(0));
    const Blocked v = x ? blocked(x->value) : Blocked{};
    if (!v || ys->dtype != DType::u8) return false;
    const Type& t = v.value->type;
    if (!t.dims[2].known() || !t.dims[3].known() || t.dims[2].size < 1 || t.dims[3].size < 1 || t.dims[2].size * t.dims[3].size > (1 << 23)) return false;
    Builder b(graph_, &q);
    return replace(q, b.emit("BlockedGlobalAveragePoolInt8", {v.value},
                                    {{"channels", v.channels}, {"x_zero", int64_t{x->scale.point_u8()}}, {"y_zero", int64_t{ys->point_u8()}},
                                     {"scale", x->scale.real / ys->real}}, "outpost"));
  }

  Graph& graph_;
  std::map<std::pair<Value*, int64_t>, Value*> made_;
  std::set<const Node*> gone_;  // erased while the walk still lists them
  int changes_ = 0;
};

}  // namespace

int block_quantised(Graph& graph) { return Layout(graph).run(); }

}  // namespace outpost
