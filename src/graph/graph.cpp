// Edits of a graph. Use lists are kept by every edit, so a pass can ask for a value's users at any time.
#include "graph/graph.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"

namespace outpost {

void Value::set_constant(Tensor tensor) {
  const auto width = static_cast<uintptr_t>(bits(tensor.dtype()) / 8);
  odd_ = width > 1 && tensor.dtype() != DType::string && reinterpret_cast<uintptr_t>(tensor.raw()) % std::min<uintptr_t>(width, 8) != 0;
  constant_ = Datum(std::move(tensor));
}

const Tensor& Value::straighten() const {
  constant_ = Datum(constant_.tensor().clone());
  odd_ = false;
  return constant_.tensor();
}

void Node::set_input(int i, Value* value) {
  if (i >= static_cast<int>(inputs_.size())) inputs_.resize(i + 1, nullptr);
  if (Value* old = inputs_[i]) {
    auto& uses = old->uses_;
    uses.erase(std::find_if(uses.begin(), uses.end(), [&](const Use& u) { return u.node == this && u.index == i; }));
  }
  inputs_[i] = value;
  if (value) value->uses_.push_back({this, i});
  if (arity_ < 0)
    while (!inputs_.empty() && !inputs_.back()) inputs_.pop_back();
}

void Node::set_inputs(std::vector<Value*> values) {
  for (Value* v : inputs_)
    if (v) std::erase_if(v->uses_, [&](const Use& u) { return u.node == this; });
  if (arity_ < 0)
    while (!values.empty() && !values.back()) values.pop_back();
  inputs_ = std::move(values);
  for (int i = 0; i < static_cast<int>(inputs_.size()); ++i)
    if (inputs_[i]) inputs_[i]->uses_.push_back({this, i});
}

std::string Node::label() const {
  std::string out = domain.empty() ? op : domain + "." + op;
  if (!name.empty()) return text(out, " '", name, "'");
  for (Value* v : outputs_)
    if (v) return text(out, " -> '", v->name, "'");
  return out;
}

Graph::Graph() : symbols(std::make_shared<Symbols>()) {}
Graph::~Graph() = default;

std::string Graph::unique_name(std::string_view base) {
  std::string name(base.empty() ? "v" : base);
  if (!base.empty() && !by_name_.contains(name)) return name;
  const size_t length = name.size();
  do {
    name.resize(length);
    name += '_';
    append_unsigned(name, next_name_++);
  } while (by_name_.contains(name));
  return name;
}

Value* Graph::new_value(std::string name) {
  auto v = std::make_unique<Value>();
  v->name = unique_name(name);
  by_name_.emplace(v->name, v.get());
  values_.push_back(std::move(v));
  return values_.back().get();
}

Value* Graph::add_input(std::string name, Type type) {
  Value* v = new_value(std::move(name));
  v->type = std::move(type);
  inputs_.push_back(v);
  return v;
}

Value* Graph::add_constant(Tensor tensor, std::string name) {
  Value* v = new_value(name.empty() ? "c" : std::move(name));
  v->type = Type::of(tensor);
  v->set_constant(std::move(tensor));
  return v;
}

void Graph::remove_input(int index) {
  Value* v = inputs_[index];
  if (!v->uses_.empty()) fail(ErrorCode::internal, "input '", v->name, "' is still used");
  inputs_.erase(inputs_.begin() + index);
}

void Graph::let_go(Value* constant) {
  const Tensor& t = constant->stored();
  constant->set_constant(Tensor::view(static_cast<void*>(nullptr), t.dtype(), Shape(t.shape())));
}

void Graph::make_constant(Value* input, Tensor tensor) {
  std::erase(inputs_, input);
  input->type = Type::of(tensor);
  input->set_constant(std::move(tensor));
}

Node* Graph::add_node(std::string op, std::string domain, std::vector<Value*> inputs, Attributes attributes, int outputs, Node* before) {
  auto owned = std::make_unique<Node>();
  Node* node = owned.get();
  node->op = std::move(op);
  node->domain = std::move(domain);
  node->attributes = std::move(attributes);
  node->graph_ = this;
  node->position_ = nodes_.insert(before ? before->position_ : nodes_.end(), std::move(owned));
  node->set_inputs(std::move(inputs));
  for (int i = 0; i < outputs; ++i) add_output(node);
  return node;
}

Value* Graph::add_output(Node* node, std::string name) {
  Value* v = new_value(std::move(name));
  v->producer_ = node;
  v->output_index_ = static_cast<int>(node->outputs_.size());
  node->outputs_.push_back(v);
  return v;
}

void Graph::drop_output(Node* node, int index) {
  Value* v = node->outputs_[index];
  if (!v) return;
  if (!v->uses_.empty() || is_output(v)) fail(ErrorCode::internal, "output '", v->name, "' is still used");
  by_name_.erase(v->name);  // the name is free again; remove_dead collects the value
  v->producer_ = nullptr;
  node->outputs_[index] = nullptr;
}

bool Graph::is_output(const Value* v) const noexcept {
  if (std::find(outputs.begin(), outputs.end(), v) != outputs.end()) return true;
  return std::any_of(states.begin(), states.end(), [&](const StateVariable& s) { return s.write == v; });
}

void Graph::replace_uses(Value* from, Value* to) {
  if (from == to) return;
  for (const Use& use : from->uses_) {
    use.node->inputs_[use.index] = to;
    to->uses_.push_back(use);
  }
  from->uses_.clear();
  if (is_output(from)) pin_output_names();
  std::replace(outputs.begin(), outputs.end(), from, to);
  for (StateVariable& s : states)
    if (s.write == from) s.write = to;
}

void Graph::erase(Node* node) {
  for (Value* v : node->outputs_)
    if (v && (!v->uses_.empty() || is_output(v))) fail(ErrorCode::internal, "erasing ", node->label(), ": output '", v->name, "' is still used");
  node->arity_ = -1;
  node->set_inputs({});
  for (Value* v : node->outputs_)
    if (v) {
      by_name_.erase(v->name);
      v->producer_ = nullptr;
      v->id_ = -2;  // collected by remove_dead: erasing here would make long chains quadratic
    }
  nodes_.erase(node->position_);
}

void Graph::move_before(Node* node, Node* before) {
  nodes_.splice(before ? before->position_ : nodes_.end(), nodes_, node->position_);
}

void Graph::pin_output_names() {
  for (size_t i = output_names.size(); i < outputs.size(); ++i) output_names.push_back(outputs[i]->name);
}

Value* Graph::find(std::string_view name) const noexcept {
  auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : it->second;
}

void Graph::rename(Value* value, std::string name) {
  if (value->name == name) return;
  by_name_.erase(value->name);
  value->name = unique_name(name);
  by_name_.emplace(value->name, value);
}

int Graph::remove_dead() {
  std::unordered_set<const Value*> kept(outputs.begin(), outputs.end());
  for (const StateVariable& s : states) {
    kept.insert(s.read);
    kept.insert(s.write);
  }
  int removed = 0;
  for (auto it = nodes_.end(); it != nodes_.begin();) {
    --it;
    Node* node = it->get();
    auto& outs = node->outputs_;
    if (std::any_of(outs.begin(), outs.end(), [&](Value* v) { return v && (!v->uses_.empty() || kept.contains(v)); })) continue;
    auto next = std::next(it);
    erase(node);
    it = next;
    ++removed;
  }
  kept.insert(inputs_.begin(), inputs_.end());
  std::erase_if(values_, [&](const std::unique_ptr<Value>& v) {
    if (v->producer_ || !v->uses_.empty() || kept.contains(v.get())) return false;
    if (auto it = by_name_.find(v->name); it != by_name_.end() && it->second == v.get()) by_name_.erase(it);
    return true;
  });
  return removed;
}

int Graph::renumber() {
  int next = 0;
  for (auto& v : values_) v->id_ = -1;
  for (Value* v : inputs_) v->id_ = next++;
  for (auto& v : values_)
    if (v->is_constant()) v->id_ = next++;
  for (auto& n : nodes_)
    for (Value* v : n->outputs_)
      if (v) v->id_ = next++;
  return next;
}

void Graph::sort() {
  std::unordered_map<const Node*, int> waiting;  // producers not placed yet
  std::vector<Node*> ready;
  std::vector<Node*> all;
  for (auto& n : nodes_) {
    int count = 0;
    for (Value* v : n->inputs_)
      if (v && v->producer_) ++count;
    all.push_back(n.get());
    waiting[n.get()] = count;
  }
  // Already in order: the common case costs one walk and keeps the file's order.
  std::unordered_set<const Node*> seen;
  bool ordered = true;
  for (Node* n : all) {
    for (Value* v : n->inputs_)
      if (v && v->producer_ && !seen.contains(v->producer_)) ordered = false;
    seen.insert(n);
  }
  if (ordered) return;
  std::unordered_map<const Node*, size_t> place;
  for (size_t i = 0; i < all.size(); ++i) place[all[i]] = i;
  auto later = [&](Node* a, Node* b) { return place[a] > place[b]; };
  for (Node* n : all)
    if (waiting[n] == 0) ready.push_back(n);
  std::make_heap(ready.begin(), ready.end(), later);
  size_t placed = 0;
  while (!ready.empty()) {
    std::pop_heap(ready.begin(), ready.end(), later);
    Node* n = ready.back();
    ready.pop_back();
    move_before(n, nullptr);
    ++placed;
    waiting[n] = -1;
    for (Value* v : n->outputs_)
      if (v)
        for (const Use& use : v->uses_)
          if (--waiting[use.node] == 0) {
            ready.push_back(use.node);
            std::push_heap(ready.begin(), ready.end(), later);
          }
  }
  if (placed == all.size()) return;
  for (Node* n : all)
    if (waiting[n] > 0) fail(ErrorCode::invalid_model, n->label(), " is on a cycle: its inputs depend on its outputs");
}

std::shared_ptr<Graph> Graph::clone(std::unordered_map<const Value*, Value*>* outer) const {
  auto copy = std::make_shared<Graph>();
  std::unordered_map<const Value*, Value*> local, &map = outer ? *outer : local;
  copy->name = name;
  copy->symbols = symbols;
  copy->opsets = opsets;
  copy->metadata = metadata;
  copy->next_name_ = next_name_;
  for (const Value* v : inputs_) map[v] = copy->add_input(v->name, v->type);
  for (const auto& v : values_)
    if (v->is_constant()) map[v.get()] = copy->add_constant(v->stored(), v->name);
  for (const auto& n : nodes_) {
    std::vector<Value*> ins;
    for (Value* v : n->inputs_) ins.push_back(v ? map.at(v) : nullptr);
    Node* m = copy->add_node(n->op, n->domain, {}, n->attributes, 0);
    m->name = n->name;
    m->version = n->version;
    m->def = n->def;
    m->arity_ = n->arity_;
    m->set_inputs(std::move(ins));
    for (auto& [key, attribute] : m->attributes) {
      if (auto* g = std::get_if<std::shared_ptr<Graph>>(&attribute)) *g = (*g)->clone();
      if (auto* list = std::get_if<std::vector<std::shared_ptr<Graph>>>(&attribute))
        for (auto& g : *list) g = g->clone();
    }
    for (Value* v : n->outputs_) {
      if (!v) {
        m->outputs_.push_back(nullptr);
        continue;
      }
      Value* w = copy->add_output(m, v->name);
      w->type = v->type;
      map[v] = w;
    }
  }
  for (const Value* v : outputs) copy->outputs.push_back(map.at(v));
  copy->output_names = output_names;
  for (const StateVariable& s : states) copy->states.push_back({s.name, map.at(s.read), map.at(s.write), s.initial});
  return copy;
}

void for_each_subgraph(const Node& node, const std::function<void(const std::string&, const std::shared_ptr<Graph>&)>& visit) {
  for (const auto& [key, attribute] : node.attributes) {
    if (auto* g = std::get_if<std::shared_ptr<Graph>>(&attribute)) visit(key, *g);
    if (auto* list = std::get_if<std::vector<std::shared_ptr<Graph>>>(&attribute))
      for (const auto& g : *list) visit(key, g);
  }
}

}  // namespace outpost
