// Scan as opset 8 wrote it: Scan(sequence_lens?, states…, inputs…), everything with a leading batch axis, each batch entry
// scanned on its own over axis 1 of the node (0 of the entry), for its own number of steps.
//
// It becomes a Scan over the batch whose body holds today's Scan over the steps. With sequence_lens, that body cuts its
// inputs to their length and pads what it stacks with zeros.
#include "ops/control/scan.h"

namespace outpost {
namespace {

// Type of one batch entry.
Type entry(Type t) {
  if (t.ranked && !t.dims.empty()) t.dims.erase(t.dims.begin());
  return t;
}

struct Parts {
  Value* lengths;
  std::vector<Value*> states, scanned, captures;
};

Parts parts_of(const UpgradeContext& u, int64_t scanned) {
  Parts p{u.in(0), {}, {}, {}};
  const int arity = u.node.arity(), first = arity - static_cast<int>(scanned);
  for (int i = 1; i < static_cast<int>(u.node.inputs().size()); ++i) (i < first ? p.states : i < arity ? p.scanned : p.captures).push_back(u.in(i));
  return p;
}

// x cut to `length` (i64[1]) steps.
Value* cut(Builder& b, Value* x, Value* length) { return b.emit("Slice", {x, b.integers({0}), length, b.integers({0})}); }

// x, (steps, …), padded with zeros to `total` (i64[1]) steps.
Value* padded(Builder& b, Value* x, Value* length, Value* total) {
  return b.emit("Pad", {x, b.emit("Concat", {b.integers({0}), b.sub(total, length)}, {{"axis", int64_t{0}}}), nullptr, b.integers({0})});
}

}  // namespace

void upgrade_scan_8(UpgradeContext& u) {
  const int64_t scanned = u.attributes().integer("num_scan_inputs", 0);
  if (scanned < 1 || u.node.arity() < 1 + scanned) fail(ErrorCode::invalid_model, u.node.label(), ": num_scan_inputs is ", scanned, " for ", u.node.arity(), " inputs");
  const Parts parts = parts_of(u, scanned);
  auto batch_body = std::make_shared<Graph>();
  batch_body->symbols = u.graph().symbols;
  Builder b(*batch_body, nullptr);
  std::vector<Value*> outer, inner;
  auto add = [&](Value* v, bool sliced) {
    outer.push_back(v);
    return batch_body->add_input(text("x", outer.size()), sliced ? entry(v->type) : v->type);
  };
  Value *length = nullptr, *total = nullptr;
  if (parts.lengths) length = b.emit("Reshape", {add(parts.lengths, true), b.integers({1})});
  for (Value* v : parts.states) inner.push_back(add(v, true));
  for (Value* v : parts.scanned) {
    Value* x = add(v, true);
    if (length && !total) total = b.emit("Shape", {x}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
    inner.push_back(length ? cut(b, x, length) : x);
  }
  const int64_t entries = static_cast<int64_t>(outer.size());
  for (Value* v : parts.captures) inner.push_back(add(v, false));
  const int outputs = static_cast<int>(u.node.outputs().size());
  Attributes attributes{{"body", u.attributes().graph("body")}, {"num_scan_inputs", scanned}};
  if (u.attributes().has("directions")) attributes.set("scan_input_directions", u.attributes().integers("directions"));
  Node* steps = batch_body->add_node("Scan", "", inner, std::move(attributes), outputs);
  steps->set_arity(static_cast<int>(parts.states.size() + parts.scanned.size()));
  resolve(*steps);
  steps->version = steps->def->since;
  for (int i = 0; i < outputs; ++i) {
    Value* y = steps->output(i);
    if (length && i >= static_cast<int>(parts.states.size())) {
      y->type = Type::tensor(entry(entry(u.node.output(i) ? u.node.output(i)->type : Type())).dtype);
      y = padded(b, y, length, total);
    }
    batch_body->outputs.push_back(y);
  }
  const int64_t batch_inputs = entries;
  u.node.set_inputs(outer);
  u.node.set_arity(static_cast<int>(entries));
  u.node.attributes = Attributes{{"body", batch_body}, {"num_scan_inputs", batch_inputs}};
}

}  // namespace outpost
