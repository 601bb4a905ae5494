// FlexAttention (ai.onnx.preview 1): attention whose scores and probabilities pass through subgraphs of the model. It is
// an expansion: MatMul, score_mod's nodes, Softmax, prob_mod's nodes, MatMul. Heads that share keys become an axis of
// their own, so keys are not repeated in memory.
#include <cmath>

#include "ops/build.h"
#include "ops/inline_body.h"

namespace outpost {
namespace {

enum Input { q_input, k_input, v_input };

DType softmax_type(const Attributes& a, DType input) {
  return a.has("softmax_precision") ? static_cast<DType>(a.integer("softmax_precision", 0)) : input == DType::f64 ? DType::f64 : DType::f32;
}

void infer(InferContext& c) {
  c.require(c.inputs() >= 3, "Q, K and V are needed");
  c.require_dtype(q_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i : {k_input, v_input}) c.require_same_dtype(q_input, i);
  const DType softmax = softmax_type(c.attributes(), c.dtype(q_input));
  c.require(softmax == DType::f32 || softmax == DType::f64 || softmax == DType::f16 || softmax == DType::bf16,
            "softmax_precision is ", static_cast<int>(softmax), "; expected 1 (f32), 10 (f16), 11 (f64) or 16 (bf16)");
  for (int i : {q_input, k_input, v_input})
    c.require(!c.ranked(i) || c.rank(i) == 4, "input ", i, " has rank ", c.ranked(i) ? c.rank(i) : 0, "; expected 4");
  if (!c.ranked(q_input) || !c.ranked(v_input)) return c.output(0, Type::tensor(c.dtype(v_input), Dims(4)));
  const Dims &q = c.dims(q_input), &v = c.dims(v_input);
  if (q[1].known() && v[1].known())
    c.require(v[1].size > 0 && q[1].size % v[1].size == 0, "Q has ", q[1].size, " heads, not a multiple of V's ", v[1].size);
  if (c.ranked(k_input)) {
    const Dims& k = c.dims(k_input);
    for (size_t i : {size_t{0}, size_t{1}, size_t{2}})
      c.require(!k[i].known() || !v[i].known() || k[i].size == v[i].size, "K and V differ on axis ", i, ": ", k[i].size, " and ", v[i].size);
    c.require(!k[3].known() || !q[3].known() || k[3].size == q[3].size, "the head sizes of Q and K differ: ", q[3].size, " and ", k[3].size);
  }
  c.output(0, c.dtype(v_input), {q[0], q[1], q[2], v[3]});
}

// The body between scores and what they become; captures follow the operator's own inputs.
Value* modify(ExpandContext& c, const char* attribute, Value* x) {
  if (!c.attributes().has(attribute)) return x;
  std::vector<Value*> inputs{x};
  for (size_t i = static_cast<size_t>(c.node.arity()); i < c.node.inputs().size(); ++i) inputs.push_back(c.node.inputs()[i]);
  const Graph& body = *c.attributes().graph(attribute);
  std::vector<Value*> outputs = inline_body(c, body, inputs);
  if (outputs.size() != 1) fail(ErrorCode::invalid_model, c.node.label(), ": ", attribute, " has ", outputs.size(), " outputs; expected 1");
  return outputs[0];
}

void expand(ExpandContext& c) {
  using namespace build;
  Value *q = c.in(q_input), *k = c.in(k_input), *v = c.in(v_input);
  const DType type = q->type.dtype, softmax = softmax_type(c.attributes(), type);
  Value* scale = nullptr;  // its square root goes to either side, against overflow
  if (c.attributes().has("scale")) scale = c.scalar(type, std::sqrt(c.attributes().real("scale", 1)));
  else if (q->type.ranked && q->type.dims[3].known()) scale = c.scalar(type, 1 / std::sqrt(std::sqrt(double(q->type.dims[3].size))));
  else scale = c.emit("Reciprocal", {c.emit("Sqrt", {c.emit("Sqrt", {cast(c, squeeze(c, dims(c, q, 3, 4), 0), type)})})});
  k = transpose(c, k, {0, 1, 3, 2});

  const bool same_heads = q->type.ranked && k->type.ranked && q->type.dims[1] == k->type.dims[1];
  Value *scores, *batch_and_heads = nullptr;
  if (same_heads) {
    scores = c.emit("MatMul", {c.mul(q, scale), c.mul(k, scale)});
  } else {  // (batch, kv_heads, group, rows, size) with (batch, kv_heads, 1, size, keys)
    Value* group = c.div(dims(c, q, 1, 2), dims(c, k, 1, 2));
    batch_and_heads = concat(c, {dims(c, k, 0, 2), group}, 0);
    Value* grouped = c.emit("Reshape", {q, concat(c, {batch_and_heads, dims(c, q, 2)}, 0)}, {{"allowzero", int64_t{1}}});
    scores = c.emit("MatMul", {c.mul(grouped, scale), c.mul(unsqueeze(c, k, 2), scale)});
    scores = c.emit("Reshape", {scores, concat(c, {dims(c, q, 0, 3), dims(c, k, 3)}, 0)}, {{"allowzero", int64_t{1}}});
  }
  scores = modify(c, "score_mod", cast(c, scores, softmax));
  Value* probabilities = modify(c, "prob_mod", c.emit("Softmax", {scores}, {{"axis", int64_t{-1}}}));
  v = cast(c, v, softmax);
  if (!same_heads) {
    probabilities = c.emit("Reshape", {probabilities, concat(c, {batch_and_heads, dims(c, probabilities, 2)}, 0)}, {{"allowzero", int64_t{1}}});
    v = unsqueeze(c, v, 2);
  }
  Value* y = c.emit("MatMul", {probabilities, v});
  if (!same_heads) y = c.emit("Reshape", {y, concat(c, {dims(c, q, 0, 3), dims(c, v, 4)}, 0)}, {{"allowzero", int64_t{1}}});
  c.replace(0, cast(c, y, c.in(v_input)->type.dtype));
}

}  // namespace

OUTPOST_DEFINE_OP(preview_FlexAttention, .name = "FlexAttention", .domain = "ai.onnx.preview", .since = 1, .first = 1, .min_inputs = 3,
                  .max_inputs = -1, .doc = "attention with the model's own subgraphs on scores and probabilities", .infer = infer,
                  .expand = expand,
                  .cases = R"( | f32[2,3,4,8] f32[2,3,5,8] f32[2,3,5,6]
scale=0.5 | f32[1,4,3,8] f32[1,2,5,8] f32[1,2,5,6])");

}  // namespace outpost
