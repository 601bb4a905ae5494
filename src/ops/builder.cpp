// Builder and the contexts that stand on it: making nodes with their definition and types at once.
#include "ops/infer.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {

Node* Builder::emit_node(std::string_view op, std::vector<Value*> inputs, Attributes attributes, int outputs, std::string_view domain) {
  Node* node = graph_.add_node(std::string(op), std::string(domain), std::move(inputs), std::move(attributes), outputs, before_);
  if (before_) node->name = before_->name;
  resolve(*node);
  node->version = node->def->since;
  std::vector<const Type*> types;
  std::vector<const Tensor*> values;
  for (Value* v : node->inputs()) {
    types.push_back(v ? &v->type : nullptr);
    values.push_back(v && v->is_constant() ? &v->stored() : nullptr);
  }
  std::vector<Type> inferred = infer_node(*node, types, values);
  for (size_t i = 0; i < inferred.size(); ++i) node->output(static_cast<int>(i))->type = std::move(inferred[i]);
  return node;
}

Value* Builder::emit(std::string_view op, std::vector<Value*> inputs, Attributes attributes, std::string_view domain) {
  return emit_node(op, std::move(inputs), std::move(attributes), 1, domain)->output(0);
}

Value* Builder::constant(Tensor tensor) { return graph_.add_constant(std::move(tensor)); }

Value* Builder::scalar(DType dtype, double value) {
  Tensor t(dtype, Shape{});
  convert(DType::f64, &value, dtype, t.raw(), 1);
  return constant(std::move(t));
}

Value* Builder::integers(std::vector<int64_t> values) {
  const int64_t n = static_cast<int64_t>(values.size());
  return constant(Tensor::of(values, Shape{n}));
}

Value* Builder::like(Value* reference, double value) { return scalar(reference->type.dtype, value); }

Value* Builder::reshape_like(Value* x, Value* reference) {
  if (x->type.is_static() && reference->type.is_static() && x->type.shape() == reference->type.shape()) return x;
  return emit("Reshape", {x, emit("Shape", {reference})}, {{"allowzero", int64_t{1}}});
}

Value* Builder::sum_to(Value* x, Value* reference) {
  if (x->type.is_static() && reference->type.is_static() && x->type.shape() == reference->type.shape()) return x;
  return emit("SumTo", {x, emit("Shape", {reference})}, {}, "outpost");
}

void ExpandContext::replace(int output, Value* value) {
  Value* old = node.output(output);
  if (!old) return;
  if (value->type.kind == Type::Kind::none) value->type = old->type;
  graph().replace_uses(old, value);
}

void UpgradeContext::integers_to_input(std::string_view attribute, int input) {
  if (!node.attributes.has(attribute)) return;
  node.set_input(input, integers(node.attributes.integers(attribute)));
  node.attributes.erase(attribute);
}

void UpgradeContext::real_to_input(std::string_view attribute, int input, DType dtype) {
  if (!node.attributes.has(attribute)) return;
  node.set_input(input, scalar(dtype, node.attributes.real(attribute, 0)));
  node.attributes.erase(attribute);
}

}  // namespace outpost
