// InferContext: the errors and rules that all shape functions share.
#include "ops/infer_context.h"

#include <algorithm>

#include "ops/infer.h"
#include "tensor/convert.h"

namespace outpost {

const Type& InferContext::input(int i) const {
  if (!has(i)) fail("input ", i, " is missing");
  return *inputs_[i];
}

bool InferContext::integers(int i, std::vector<int64_t>& out) const {
  const Tensor* t = value(i);
  if (!t) return false;
  if (t->dtype() != DType::i64 && t->dtype() != DType::i32) fail("input ", i, " is ", t->dtype(), "; expected i64 or i32");
  out.resize(static_cast<size_t>(t->count()));
  convert(t->dtype(), t->raw(), DType::i64, out.data(), t->count());
  return true;
}

void InferContext::output(int i, Type type) {
  if (i < outputs()) outputs_[i] = std::move(type);
}

int InferContext::axis(int64_t axis, int rank) const {
  if (axis < -rank || axis >= rank) {
    if (rank == 0) fail("axis ", axis, " is outside a rank-0 tensor");
    fail("axis ", axis, " is outside rank ", rank, "; use ", -rank, "..", rank - 1);
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<Type> InferContext::subgraph(const Graph& graph, std::span<const Type> inputs) const { return infer_body(graph, inputs); }

void InferContext::require_inputs(int least, int most) const {
  if (inputs() < least || (most >= 0 && inputs() > most)) fail("has ", inputs(), " inputs; expected ", least, "..", most);
}

void InferContext::require_dtype(int i, std::initializer_list<DType> allowed) const {
  if (!has(i) || !input(i).is_tensor() || dtype(i) == DType::undefined) return;
  if (std::find(allowed.begin(), allowed.end(), dtype(i)) != allowed.end()) return;
  std::string list;
  for (DType d : allowed) list += text(list.empty() ? "" : ", ", d);
  fail("input ", i, " is ", dtype(i), "; expected ", list);
}

void InferContext::require_same_dtype(int i, int j) const {
  if (!has(i) || !has(j) || dtype(i) == DType::undefined || dtype(j) == DType::undefined || dtype(i) == dtype(j)) return;
  fail("inputs ", i, " and ", j, " differ in type: ", dtype(i), " and ", dtype(j));
}

void InferContext::fail_text(const std::string& what) const {
  std::string where = node_.label();
  if (node_.version > 0) where += text(" (opset ", node_.version, ")");
  outpost::fail(ErrorCode::invalid_model, where, ": ", what);
}

Dims broadcast(const InferContext& c, const Dims& a, const Dims& b) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  const Dims& shorter = a.size() >= b.size() ? b : a;
  Dims out = longer;
  const size_t shift = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim x = longer[i + shift], y = shorter[i];
    Dim& z = out[i + shift];
    if (x == y) continue;
    if (x.known() && x.size == 1) z = y;
    else if (y.known() && y.size == 1) z = x;
    else if (x.known() && y.known()) c.fail("shapes ", to_string(Type::tensor(c.dtype(0), a)), " and ", to_string(Type::tensor(c.dtype(0), b)), " do not broadcast: ", x.size, " and ", y.size);
    else if (x.known()) z = x;  // the other is 1 or the same
    else if (y.known()) z = y;
    else z = {};
  }
  return out;
}

void infer_same(InferContext& c) { c.output(0, c.input(0)); }

void infer_broadcast(InferContext& c) {
  Dims dims = c.dims(0);
  bool ranked = c.ranked(0);
  for (int i = 1; i < c.inputs(); ++i) {
    if (!c.has(i)) continue;
    ranked = ranked && c.ranked(i);
    if (ranked) dims = broadcast(c, dims, c.dims(i));
  }
  if (ranked) c.output(0, c.dtype(0), std::move(dims));
  else c.output(0, c.dtype(0));
}

}  // namespace outpost
