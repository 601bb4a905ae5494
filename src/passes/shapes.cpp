// Arithmetic on shapes. Exporters compute the argument of a Reshape at run time (Shape, Gather, Mul, Concat, …) although
// most of it is known when the model is written. Every integer value of rank 0 or 1 is followed element by element: an
// element is a number, or the size of an axis of some value, or unknown. Then
//   - what consists of numbers becomes a constant;
//   - the shape of a Reshape becomes a constant where its elements are numbers, axes of its own input (0), and at most one
//     other (-1);
//   - the size of one axis is asked of the first value that has it: what was computed only to be asked goes, and equal
//     questions become one.
#include <algorithm>
#include <unordered_map>

#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

struct Element {
  int64_t number = -1;
  bool known = false;
  const Value* of = nullptr;  // an axis of this value, when not known
  int axis = 0;
  static Element of_number(int64_t n) { return {n, true}; }
};

using Elements = std::vector<Element>;

// Elements that are the same axis for certain: of one value, or with one symbol.
bool same(const Element& e, const Value* v, int axis) {
  if (e.known || !e.of || !v->type.ranked || axis >= v->type.rank()) return false;
  if (e.of == v && e.axis == axis) return true;
  return e.of->type.dims[static_cast<size_t>(e.axis)] == v->type.dims[static_cast<size_t>(axis)];
}

class Shapes {
 public:
  // Null where the value is not followed.
  const Elements* find(const Value* v) {
    if (!v) return nullptr;
    if (auto it = known_.find(v); it != known_.end()) return &it->second;
    if (!v->is_constant() || v->stored().count() > 64) return nullptr;
    const auto numbers = integers_of(v);
    if (!numbers) return nullptr;
    Elements& e = known_[v];
    for (int64_t n : *numbers) e.push_back(Element::of_number(n));
    return &e;
  }

  void visit(const Node& n) {
    if (!n.domain.empty() || n.outputs().size() != 1 || !n.output(0)) return;
    if (auto e = evaluate(n)) known_[n.output(0)] = std::move(*e);
  }

 private:
  using Result = std::optional<Elements>;

  Result evaluate(const Node& n) {
    if (n.op == "Shape") return shape(n);
    if (n.op == "Size") return size(n);
    if (n.output(0)->type.dtype != DType::i64 && n.output(0)->type.dtype != DType::i32) return std::nullopt;
    if (n.op == "Concat") return concat(n);
    const Elements* x = n.inputs().empty() ? nullptr : find(n.input(0));
    if (!x) return std::nullopt;
    if (n.op == "Identity" || n.op == "Cast") return *x;
    const Type& out = n.output(0)->type;
    if (n.op == "Unsqueeze" || n.op == "Squeeze" || n.op == "Reshape") return out.ranked && out.rank() <= 1 ? Result(*x) : std::nullopt;
    if (n.op == "Gather") return gather(n, *x);
    if (n.op == "Slice") return slice(n, *x);
    if (n.op == "ReduceProd") return product(n, *x);
    const bool arithmetic = n.op == "Mul" || n.op == "Add" || n.op == "Sub" || n.op == "Div";
    const Elements* y = arithmetic ? find(n.input(1)) : nullptr;
    return y ? combine(n.op, *x, *y) : std::nullopt;
  }

  Result shape(const Node& n) {
    const Type& x = n.input(0)->type;
    if (!x.ranked) return std::nullopt;
    auto clamp = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + x.rank() : axis, 0, x.rank()); };
    const int64_t begin = clamp(n.attributes.integer("start", 0)), end = clamp(n.attributes.integer("end", x.rank()));
    Elements e;
    for (int64_t i = begin; i < end; ++i) {
      const Dim& d = x.dims[static_cast<size_t>(i)];
      e.push_back(d.known() ? Element::of_number(d.size) : Element{.of = n.input(0), .axis = static_cast<int>(i)});
    }
    return e;
  }

  Result size(const Node& n) {
    if (!n.input(0)->type.is_static()) return std::nullopt;
    return Elements{Element::of_number(n.input(0)->type.shape().count())};
  }

  Result concat(const Node& n) {
    Elements all;
    for (const Value* v : n.inputs()) {
      const Elements* part = find(v);
      if (part) all.insert(all.end(), part->begin(), part->end());
      else if (v && v->type.ranked && v->type.rank() == 1 && v->type.dims[0].known() && v->type.dims[0].size <= 64)
        all.resize(all.size() + static_cast<size_t>(v->type.dims[0].size));
      else return std::nullopt;
    }
    return all;
  }

  Result gather(const Node& n, const Elements& x) {
    const auto indices = integers_of(n.input(1));
    if (!indices || !n.input(0)->type.ranked || n.input(0)->type.rank() != 1) return std::nullopt;
    const auto count = static_cast<int64_t>(x.size());
    Elements e;
    for (int64_t i : *indices) {
      if (i < -count || i >= count) return std::nullopt;
      e.push_back(x[static_cast<size_t>(i < 0 ? i + count : i)]);
    }
    return e;
  }

  Result slice(const Node& n, const Elements& x) {
    const auto begin = integers_of(n.input(1)), end = integers_of(n.input(2));
    const auto step = n.input(4) ? integers_of(n.input(4)) : std::optional(std::vector<int64_t>{1});
    if (!begin || !end || !step || begin->size() != 1 || end->size() != 1 || step->size() != 1 || (*step)[0] != 1) return std::nullopt;
    const auto count = static_cast<int64_t>(x.size());
    auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + count : i, 0, count); };
    const int64_t from = clamp((*begin)[0]), to = std::max(from, clamp((*end)[0]));
    return Elements(x.begin() + from, x.begin() + to);
  }

  Result product(const Node& n, const Elements& x) {
    if (!n.output(0)->type.ranked || n.output(0)->type.rank() > 1 || n.attributes.integer("noop_with_empty_axes", 0)) return std::nullopt;
    Element p = Element::of_number(1);
    for (const Element& e : x) p = combine_one("Mul", p, e);
    return Elements{p};
  }

  Result combine(const std::string& op, const Elements& x, const Elements& y) {
    if (x.size() != y.size() && x.size() != 1 && y.size() != 1) return std::nullopt;
    Elements e;
    if (x.empty() || y.empty()) return e;
    for (size_t i = 0; i < std::max(x.size(), y.size()); ++i) e.push_back(combine_one(op, x[x.size() == 1 ? 0 : i], y[y.size() == 1 ? 0 : i]));
    return e;
  }

  Element combine_one(const std::string& op, const Element& a, const Element& b) {
    constexpr int64_t bound = int64_t{1} << 30;  // products of these cannot overflow
    if (a.known && b.known && std::abs(a.number) < bound && std::abs(b.number) < bound) {
      if (op == "Mul") return Element::of_number(a.number * b.number);
      if (op == "Add") return Element::of_number(a.number + b.number);
      if (op == "Sub") return Element::of_number(a.number - b.number);
      if (a.number >= 0 && b.number > 0) return Element::of_number(a.number / b.number);
      return {};
    }
    const int64_t neutral = op == "Mul" || op == "Div" ? 1 : 0;
    if (b.known && b.number == neutral) return a;
    if (a.known && a.number == neutral && (op == "Mul" || op == "Add")) return b;
    return {};
  }

  std::unordered_map<const Value*, Elements> known_;
};

// Reshape's argument in numbers: an element that is its input's own axis i at place i may be 0; one may be -1.
std::optional<std::vector<int64_t>> reshape_argument(const Node& n, const Elements& e) {
  if (n.attributes.integer("allowzero", 0)) return std::nullopt;
  std::vector<int64_t> numbers;
  int open = 0;
  for (size_t i = 0; i < e.size(); ++i) {
    if (e[i].known) numbers.push_back(e[i].number);
    else if (same(e[i], n.input(0), static_cast<int>(i))) numbers.push_back(0);
    else numbers.push_back(-1), ++open;
    if (numbers.back() == -1 && e[i].known) ++open;
  }
  return open <= 1 ? std::optional(numbers) : std::nullopt;
}

// Where each symbol is met first.
class FirstAxes {
 public:
  void see(Value* v) {
    if (!v || !v->type.is_tensor() || !v->type.ranked) return;
    for (int i = 0; i < v->type.rank(); ++i)
      if (const Dim& d = v->type.dims[static_cast<size_t>(i)]; !d.known() && d.symbol != 0) first_.try_emplace(d.symbol, v, i);
  }

  // The same as n, a Shape of one axis, of that axis' first value; null where it is that already.
  Value* ask(Builder& b, const Node& n) const {
    const Type& x = n.input(0)->type;
    if (!x.ranked) return nullptr;
    auto clamp = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + x.rank() : axis, 0, x.rank()); };
    const int64_t begin = clamp(n.attributes.integer("start", 0)), end = clamp(n.attributes.integer("end", x.rank()));
    if (end - begin != 1) return nullptr;
    const auto it = first_.find(x.dims[static_cast<size_t>(begin)].symbol);
    if (x.dims[static_cast<size_t>(begin)].known() || it == first_.end() || it->second.first == n.input(0)) return nullptr;
    const int64_t axis = it->second.second;
    return b.emit("Shape", {it->second.first}, {{"start", axis}, {"end", axis + 1}});
  }

 private:
  std::unordered_map<uint32_t, std::pair<Value*, int>> first_;
};

Value* numbers_like(Builder& b, const Value* old, const std::vector<int64_t>& numbers) {
  const auto count = static_cast<int64_t>(numbers.size());
  const Shape shape = old->type.ranked && old->type.rank() == 0 ? Shape{} : Shape{count};
  if (old->type.dtype == DType::i64) return b.constant(Tensor::of(numbers, shape));
  return b.constant(Tensor::of(std::vector<int32_t>(numbers.begin(), numbers.end()), shape));
}

}  // namespace

int fold_shapes(Graph& graph) {
  int changes = 0;
  Shapes shapes;
  FirstAxes axes;
  for (Value* v : graph.inputs()) axes.see(v);
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node& n = **it;
    ++it;
    Builder b(graph, &n);
    if (is(&n, "Reshape") && n.input(1) && !n.input(1)->is_constant()) {
      const Elements* e = shapes.find(n.input(1));
      const auto argument = e ? reshape_argument(n, *e) : std::nullopt;
      if (argument) n.set_input(1, b.integers(*argument)), ++changes;
      continue;
    }
    for (Value* out : n.outputs()) axes.see(out);
    if (Value* asked = is(&n, "Shape") && !n.output(0)->uses().empty() ? axes.ask(b, n) : nullptr) {
      graph.replace_uses(n.output(0), asked);
      ++changes;
      continue;
    }
    shapes.visit(n);
    Value* v = n.outputs().size() == 1 ? n.output(0) : nullptr;
    if (!v || v->uses().empty() || !v->type.ranked || v->type.rank() > 1 || (v->type.dtype != DType::i64 && v->type.dtype != DType::i32)) continue;
    const Elements* e = shapes.find(v);
    if (!e || !std::all_of(e->begin(), e->end(), [](const Element& x) { return x.known; })) continue;
    std::vector<int64_t> numbers;
    for (const Element& x : *e) numbers.push_back(x.number);
    if (v->type.rank() == 0 && numbers.size() != 1) continue;
    graph.replace_uses(v, numbers_like(b, v, numbers));
    ++changes;
  }
  return changes;
}

}  // namespace outpost
