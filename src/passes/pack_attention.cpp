// Queries, keys and values from one projection: three products of the same x become one with the weights side by side
// (x is packed once, and the wide product keeps more of the machine busy), and attention reads its parts by their strides
// (outpost.PackedAttention). So does attention on the three parts of a Split.
#include <cstring>

#include "base/mapped_file.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

// A product that may be merged: plain, with a constant matrix and perhaps a constant bias, and not used elsewhere.
bool is_projection(const Node* n) {
  if (!n || n->attributes.string("activation", "none") != "none" || n->input(3)) return false;
  const Value *w = n->input(1), *bias = n->input(2);
  return w->is_constant() && w->type.rank() == 2 && w->stored().contiguous() && bits(w->type.dtype) % 8 == 0 &&
         (!bias || (bias->is_constant() && bias->stored().contiguous()));
}

bool mergeable(const Node& q, const Node& other) {
  return q.input(0) == other.input(0) && (q.input(2) == nullptr) == (other.input(2) == nullptr) && q.input(1)->type.dtype == other.input(1)->type.dtype &&
         q.attributes.integer("trans_w", 0) == other.attributes.integer("trans_w", 0) &&
         q.attributes.string("compute", "") == other.attributes.string("compute", "");
}

// Matrices of as many rows side by side; (outer, columns of each) once seen flat.
Tensor side_by_side(const std::vector<const Tensor*>& parts, int64_t outer) {
  int64_t columns = 0;
  std::vector<size_t> bytes;
  for (const Tensor* t : parts) {
    columns += t->count() / outer;
    bytes.push_back(bytes_for(t->dtype(), t->count() / outer));
  }
  Tensor all(parts[0]->dtype(), Shape{outer, columns});
  auto* to = static_cast<std::byte*>(all.raw());
  for (int64_t row = 0; row < outer; ++row)
    for (size_t i = 0; i < parts.size(); ++i) {
      std::memcpy(to, static_cast<const std::byte*>(parts[i]->raw()) + bytes[i] * static_cast<size_t>(row), bytes[i]);
      to += bytes[i];
    }
  for (const Tensor* t : parts) MappedFile::release_pages(t->raw(), t->bytes());  // `all` stands for them from now on
  return all;
}

Value* merged(Builder& b, const std::vector<Node*>& nodes) {
  std::vector<const Tensor*> weights, biases;
  int64_t total = 0;
  for (const Node* n : nodes) {
    weights.push_back(&n->input(1)->stored());
    if (n->input(2)) biases.push_back(&n->input(2)->stored());
    total += weights.back()->count();
  }
  const bool transposed = nodes[0]->attributes.integer("trans_w", 0) != 0;
  const int64_t inner = weights[0]->shape()[transposed ? 1 : 0];
  if (inner == 0 || total == 0) return nullptr;
  Tensor w = side_by_side(weights, transposed ? 1 : inner);
  if (transposed) w = w.reshaped(Shape{total / inner, inner});
  std::vector<Value*> inputs{nodes[0]->input(0), b.constant(std::move(w))};
  if (!biases.empty()) {
    Tensor bias = side_by_side(biases, 1);
    inputs.push_back(b.constant(bias.reshaped(Shape{bias.count()})));
  }
  return b.emit("Linear", std::move(inputs), nodes[0]->attributes, "outpost");
}

// Sizes of the parts and of the heads agree, and nothing is wanted of Attention that PackedAttention lacks.
bool packable(const Node& a) {
  if (!is(&a, "Attention") || a.outputs().size() != 1 || a.inputs().size() < 3 || a.inputs().size() > 4) return false;
  for (const char* name : {"left_window_size", "right_window_size"})
    if (a.attributes.integer(name, -1) >= 0) return false;
  const int64_t heads = a.attributes.integer("q_num_heads", 0), kv_heads = a.attributes.integer("kv_num_heads", 0);
  if (heads <= 0 || kv_heads <= 0) return false;
  Dim size;
  for (int i = 0; i < 3; ++i) {
    const Type& t = a.input(i)->type;
    if (!t.ranked || t.rank() != 3 || !t.dims[2].known()) return false;
    const int64_t own = t.dims[2].size / (i == 0 ? heads : kv_heads);
    if (size.known() && size.size != own) return false;
    size = own;
  }
  return true;
}

Value* pack(Builder& b, Node& a) {
  if (!packable(a) || a.input(0) == a.input(1) || a.input(1) == a.input(2) || a.input(0) == a.input(2)) return nullptr;
  Value* packed = nullptr;
  const Node* split = a.input(0)->producer();
  if (is(split, "Split") && split->outputs().size() == 3 && split->input(0)->type.ranked && split->input(0)->type.rank() == 3) {
    const int64_t axis = split->attributes.integer("axis", 0);
    bool in_order = axis == -1 || axis == 2;
    for (int i = 0; i < 3; ++i) in_order = in_order && a.input(i) == split->output(i);
    if (in_order) packed = split->input(0);
  }
  if (!packed) {
    std::vector<Node*> parts;
    for (int i = 0; i < 3; ++i) parts.push_back(producer_if(a.input(i), "Linear", "outpost"));
    for (const Node* n : parts)
      if (!is_projection(n) || !mergeable(*parts[0], *n)) return nullptr;
    packed = merged(b, parts);
  }
  if (!packed) return nullptr;
  std::vector<Value*> inputs{packed};
  if (a.input(3)) inputs.push_back(a.input(3));
  Attributes kept;
  for (const char* name : {"q_num_heads", "kv_num_heads", "is_causal"})
    if (a.attributes.has(name)) kept.set(name, a.attributes.integer(name, 0));
  for (const char* name : {"scale", "softcap"})
    if (a.attributes.has(name)) kept.set(name, a.attributes.real(name, 0));
  return b.emit("PackedAttention", std::move(inputs), std::move(kept), "outpost");
}

}  // namespace

int pack_attention(Graph& graph) { return rewrite_nodes(graph, pack); }

}  // namespace outpost
