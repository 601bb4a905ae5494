// What stands around a matrix product and is free inside it: a transposition of the last two axes of an operand (other
// strides), and factors of operands or result (alpha). MatMul becomes com.microsoft's FusedMatMul; Gemm has the attributes.
#include <cmath>

#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

bool is_product(const Node* n) { return is(n, "MatMul") || (n && n->domain == "com.microsoft" && n->op == "FusedMatMul"); }

// Does it swap the last two axes and nothing else?
bool swaps_last(const Node* n) {
  if (!is(n, "Transpose")) return false;
  const auto& order = n->attributes.integers("perm");
  const size_t rank = order.size();
  if (order.empty()) return n->input(0)->type.ranked && n->input(0)->type.rank() == 2;
  if (rank < 2 || order[rank - 1] != static_cast<int64_t>(rank) - 2 || order[rank - 2] != static_cast<int64_t>(rank) - 1) return false;
  for (size_t i = 0; i + 2 < rank; ++i)
    if (order[i] != static_cast<int64_t>(i)) return false;
  return true;
}

// x times a constant factor, by Mul or Div, used nowhere else: x, and the factor.
std::optional<std::pair<Value*, double>> scaled(const Value* v) {
  for (const char* op : {"Mul", "Div"}) {
    const Node* n = producer_if(v, op);
    if (!n) continue;
    for (int i = 0; i < (n->op == "Mul" ? 2 : 1); ++i) {
      const auto factor = scalar_of(n->input(1 - i));
      const Type &x = n->input(i)->type, &c = n->input(1 - i)->type;
      if (!factor || !x.ranked || c.rank() > x.rank() || scalar_of(n->input(i))) continue;
      return std::pair(n->input(i), n->op == "Mul" ? *factor : 1 / *factor);
    }
  }
  return std::nullopt;
}

bool usable(double alpha) { return std::isfinite(alpha) && std::fabs(alpha) < 1e30 && std::fabs(alpha) > 1e-30; }

Value* emit(Builder& b, const Node& n, std::vector<Value*> inputs, double alpha, bool swap_a, bool swap_b) {
  Attributes a = n.attributes;
  const double product = static_cast<double>(a.real("alpha", 1)) * alpha;
  if (!usable(product)) return nullptr;
  a.set("alpha", static_cast<float>(product));
  a.set("transA", a.integer("transA", 0) ^ int64_t{swap_a});
  a.set("transB", a.integer("transB", 0) ^ int64_t{swap_b});
  return b.emit("FusedMatMul", std::move(inputs), a, "com.microsoft");
}

Value* operands(Builder& b, Node& n) {
  if (!is_product(&n) || !is_floating(n.output(0)) || n.attributes.integer("transBatchA", 0) || n.attributes.integer("transBatchB", 0)) return nullptr;
  std::vector<Value*> inputs = n.inputs();
  double alpha = 1;
  bool swap[2] = {false, false};
  for (size_t i = 0; i < 2; ++i) {
    if (!inputs[i]->type.ranked || inputs[i]->type.rank() < 2) return nullptr;
    if (const auto s = scaled(inputs[i])) inputs[i] = s->first, alpha *= s->second;
    if (swaps_last(inputs[i]->producer()) && inputs[i]->producer()->input(0)->type.ranked) {
      inputs[i] = inputs[i]->producer()->input(0);
      swap[i] = true;
      if (const auto s = scaled(inputs[i])) inputs[i] = s->first, alpha *= s->second;
    }
  }
  return alpha == 1 && !swap[0] && !swap[1] ? nullptr : emit(b, n, inputs, alpha, swap[0], swap[1]);
}

Value* result(Builder& b, Node& n) {
  if (!is(&n, "Mul") && !is(&n, "Div")) return nullptr;
  for (int i = 0; i < (n.op == "Mul" ? 2 : 1); ++i) {
    const auto factor = scalar_of(n.input(1 - i));
    Node* product = producer_if(n.input(i), "MatMul");
    if (!product) product = producer_if(n.input(i), "FusedMatMul", "com.microsoft");
    if (!factor || !product || !is_floating(n.output(0)) || n.input(1 - i)->type.rank() > n.input(i)->type.rank()) continue;
    return emit(b, *product, product->inputs(), n.op == "Mul" ? *factor : 1 / *factor, false, false);
  }
  return nullptr;
}

Value* gemm_operands(Builder& b, Node& n) {
  if (!is(&n, "Gemm")) return nullptr;
  std::vector<Value*> inputs = n.inputs();
  Attributes a = n.attributes;
  bool changed = false;
  for (int i = 0; i < 2; ++i) {
    const Node* t = inputs[static_cast<size_t>(i)]->producer();
    if (!swaps_last(t)) continue;
    const char* name = i ? "transB" : "transA";
    a.set(name, int64_t{a.integer(name, 0) == 0});
    inputs[static_cast<size_t>(i)] = t->input(0);
    changed = true;
  }
  return changed ? b.emit("Gemm", inputs, a) : nullptr;
}

// (A B)^T = B^T A^T, where no C would have to turn with it.
Value* gemm_result(Builder& b, Node& n) {
  Node* gemm = swaps_last(&n) ? producer_if(n.input(0), "Gemm") : nullptr;
  if (!gemm || (gemm->input(2) && !scalar_of(gemm->input(2)))) return nullptr;
  Attributes a = gemm->attributes;
  a.set("transA", int64_t{gemm->attributes.integer("transB", 0) == 0});
  a.set("transB", int64_t{gemm->attributes.integer("transA", 0) == 0});
  std::vector<Value*> inputs = gemm->inputs();
  std::swap(inputs[0], inputs[1]);
  return b.emit("Gemm", inputs, a);
}

}  // namespace

int fuse_matmul(Graph& graph) {
  return rewrite_nodes(graph, [](Builder& b, Node& n) -> Value* {
    if (Value* v = operands(b, n)) return v;
    if (Value* v = result(b, n)) return v;
    if (Value* v = gemm_operands(b, n)) return v;
    return gemm_result(b, n);
  });
}

}  // namespace outpost
