// The table of operators, from list.def, and the look-up by domain and name.
#include "ops/op.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace outpost {

#define OP(id) OUTPOST_OP(id);
#include "ops/list.def"
#undef OP

namespace {

const OpDef& (*const definitions[])() = {
#define OP(id) &outpost_op_##id,
#include "ops/list.def"
#undef OP
};

struct Table {
  std::vector<const OpDef*> all;
  std::unordered_map<std::string_view, std::vector<const OpDef*>> by_name;
  Table() {
    for (auto define : definitions) {
      const OpDef& def = define();
      all.push_back(&def);
      by_name[def.name].push_back(&def);
    }
  }
};

const Table& table() {
  static const Table t;
  return t;
}

// Operators that the program brought along: few, and looked for only when the table does not have the name.
struct Guests {
  std::shared_mutex mutex;
  std::vector<const OpDef*> all;
};

Guests& guests() {
  static Guests g;
  return g;
}

const OpDef* find_guest(std::string_view domain, std::string_view name) noexcept {
  std::shared_lock lock(guests().mutex);
  for (const OpDef* def : guests().all)
    if (def->name == name && def->domain == domain) return def;
  return nullptr;
}

std::string near_matches(const Node& node) {
  auto it = table().by_name.find(node.op);
  if (it != table().by_name.end()) return text("; it exists in domain '", it->second.front()->domain.empty() ? "ai.onnx" : it->second.front()->domain, "'");
  return "; see `outpost operators` for the list, or register a custom operator";
}

}  // namespace

const OpDef* find_op(std::string_view domain, std::string_view name) noexcept {
  if (domain == "ai.onnx") domain = "";
  auto it = table().by_name.find(name);
  if (it != table().by_name.end())
    for (const OpDef* def : it->second)
      if (def->domain == domain) return def;
  return find_guest(domain, name);
}

void register_op(const OpDef& def) {
  if (find_op(def.domain, def.name)) fail(ErrorCode::invalid_argument, "there is an operator ", def.name, " in domain '", def.domain, "' already");
  std::unique_lock lock(guests().mutex);
  guests().all.push_back(&def);
}

std::span<const OpDef* const> all_ops() noexcept { return table().all; }

Tensor PrepareContext::packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) const {
  if (store) return store->packed(std::string(path) + std::string(key), bytes, fill);
  Tensor memory(DType::u8, {static_cast<int64_t>(bytes)});
  fill(memory.raw());
  return memory;
}

void resolve(Node& node) {
  node.def = find_op(node.domain, node.op);
  if (!node.def)
    fail(ErrorCode::unsupported, node.label(), ": operator ", node.domain.empty() ? "ai.onnx" : node.domain, ".", node.op, " is not known", near_matches(node));
}

double CostContext::count(const Type& t) const {
  if (!t.is_static()) return 0;
  double n = 1;
  for (const Dim& d : t.dims) n *= static_cast<double>(d.size);
  return n;
}

Cost cost_of(const CostContext& c) {
  if (c.node.def && c.node.def->cost) return c.node.def->cost(c);
  Cost cost;
  auto add = [&](const Type* t, bool output) {
    if (!t || !t->is_tensor() || t->dtype == DType::undefined) return;
    cost.bytes += c.count(*t) * bits(t->dtype) / 8.0;
    if (output) cost.flops += c.count(*t);
  };
  for (const Type* t : c.inputs) add(t, false);
  for (const Type* t : c.outputs) add(t, true);
  return cost;
}

}  // namespace outpost
