// MatMul, masks as scores of minus infinity, Softmax, MatMul. A row that may see no key is given scores of zero and its
// probabilities are put to zero afterwards, so that neither values nor gradients meet a NaN.
#include "ops/attention/expansion.h"

#include <cmath>
#include <limits>

#include "ops/build.h"

namespace outpost {
namespace {

enum Input { q_input, k_input, v_input, mask_input, past_k_input, past_v_input, lengths_input };

using namespace build;

class Expansion {
 public:
  explicit Expansion(ExpandContext& c) : c_(c), a_(c.attributes()), type_(c.in(q_input)->type.dtype) {}

  void run() {
    if (!c_.in(q_input)->type.ranked) fail(ErrorCode::unsupported, c_.node.label(), ": the rank of Q is not known");
    flat_ = c_.in(q_input)->type.rank() == 3;
    q_ = by_head(c_.in(q_input), "q_num_heads");
    k_ = joined(past_k_input, by_head(c_.in(k_input), "kv_num_heads"), 1);
    v_ = joined(past_v_input, by_head(c_.in(v_input), "kv_num_heads"), 2);
    const int64_t mode = a_.integer("qk_matmul_output_mode", 0);
    Value* scores = products();
    if (mode == 0) c_.replace(3, scores);
    if (const float cap = a_.real("softcap", 0); cap > 0)
      scores = c_.mul(c_.emit("Tanh", {c_.div(scores, c_.like(scores, cap))}), c_.like(scores, cap));
    if (mode == 1) c_.replace(3, scores);
    Value* bias = masks();
    if (mode == 2) c_.replace(3, bias ? c_.add(scores, bias) : scores);
    Value* p = probabilities(scores, bias);
    if (mode == 3) c_.replace(3, p);
    Value* y = c_.emit("MatMul", {p, cast(c_, repeated(v_), type_)});
    if (flat_) y = reshape(c_, transpose(c_, y, {0, 2, 1, 3}), {0, 0, -1});
    c_.replace(0, y);
  }

 private:
  // (batch, row, head * size) to (batch, head, row, size).
  Value* by_head(Value* x, const char* heads) {
    return flat_ ? transpose(c_, reshape(c_, x, {0, 0, a_.integer(heads, 1), -1}), {0, 2, 1, 3}) : x;
  }

  Value* joined(int past, Value* fresh, int output) {
    if (c_.has(past)) fresh = concat(c_, {c_.in(past), fresh}, 2);
    if (c_.wants(output)) c_.replace(output, fresh);
    return fresh;
  }

  // Keys' heads as often as queries share them.
  Value* repeated(Value* x) {
    const Type &q = q_->type, &t = x->type;
    if (q.ranked && t.ranked && q.dims[1] == t.dims[1]) return x;
    Value* group = c_.div(dims(c_, q_, 1, 2), dims(c_, x, 1, 2));
    Value* wide = concat(c_, {dims(c_, x, 0, 2), group, dims(c_, x, 2)}, 0);
    Value* narrow = concat(c_, {dims(c_, x, 0, 1), dims(c_, q_, 1, 2), dims(c_, x, 2)}, 0);
    return c_.emit("Reshape", {c_.emit("Expand", {unsqueeze(c_, x, 2), wide}), narrow}, {{"allowzero", int64_t{1}}});
  }

  Value* products() {
    Value* root = nullptr;  // of the scale, on either side
    if (a_.has("scale")) root = c_.scalar(type_, std::sqrt(a_.real("scale", 1)));
    else if (q_->type.ranked && q_->type.dims[3].known()) root = c_.scalar(type_, 1 / std::sqrt(std::sqrt(static_cast<double>(q_->type.dims[3].size))));
    else root = c_.emit("Reciprocal", {c_.emit("Sqrt", {c_.emit("Sqrt", {cast(c_, squeeze(c_, dims(c_, q_, 3, 4), 0), type_)})})});
    return c_.emit("MatMul", {c_.mul(q_, root), c_.mul(transpose(c_, repeated(k_), {0, 1, 3, 2}), root)});
  }

  Value* blank() { return c_.scalar(type_, -std::numeric_limits<double>::infinity()); }
  Value* keys() { return squeeze(c_, dims(c_, k_, 2, 3), 0); }
  Value* range(Value* count) { return c_.emit("Range", {number(0), count, number(1)}); }
  Value* number(int64_t n) { return c_.constant(Tensor::scalar(n)); }
  Value* both(Value* a, Value* b) { return a ? c_.emit("And", {a, b}) : b; }

  // Which keys the windows and lengths leave to each query: (rows, keys) or (batch, 1, rows, keys); null: all.
  Value* visible() {
    const int64_t left = a_.integer("left_window_size", -1), right = a_.integer("is_causal", 0) != 0 ? 0 : a_.integer("right_window_size", -1);
    Value *seen = nullptr, *key = range(keys());
    Value* lengths = c_.has(lengths_input) ? reshape(c_, c_.in(lengths_input), {-1, 1, 1, 1}) : nullptr;
    if (left >= 0 || right >= 0) {
      Value* rows = squeeze(c_, dims(c_, q_, 2, 3), 0);
      Value* at = unsqueeze(c_, range(rows), 1);
      if (lengths) at = c_.add(at, c_.sub(lengths, rows));
      else if (c_.has(past_k_input)) at = c_.add(at, dims(c_, c_.in(past_k_input), 2, 3));
      if (left >= 0) seen = both(seen, c_.emit("GreaterOrEqual", {key, c_.sub(at, number(left))}));
      if (right >= 0) seen = both(seen, c_.emit("LessOrEqual", {key, c_.add(at, number(right))}));
    }
    if (lengths) seen = both(seen, c_.emit("Less", {key, lengths}));
    return seen;
  }

  // attn_mask as scores to add; keys that it does not reach are masked out.
  Value* given_mask() {
    Value* m = c_.in(mask_input);
    m = m->type.dtype == DType::boolean ? c_.emit("Where", {m, c_.scalar(type_, 0), blank()}) : cast(c_, m, type_);
    const Type &t = m->type, &k = k_->type;
    if (t.ranked && (t.rank() == 0 || (k.ranked && t.dims.back() == k.dims[2]))) return m;
    Value* missing = c_.sub(dims(c_, k_, 2, 3), dims(c_, m, -1));
    return c_.emit("Pad", {m, concat(c_, {c_.integers({0}), missing}, 0), blank(), c_.integers({-1})});
  }

  Value* masks() {
    Value *bias = c_.has(mask_input) ? given_mask() : nullptr, *seen = visible();
    if (!seen) return bias;
    return c_.emit("Where", {seen, bias ? bias : c_.scalar(type_, 0), blank()});
  }

  Value* probabilities(Value* scores, Value* bias) {
    Value* closed = nullptr;
    if (bias) {
      Value* most = c_.emit("ReduceMax", {bias, c_.integers({-1})}, {{"keepdims", int64_t{1}}});
      closed = c_.emit("Equal", {most, blank()});
      scores = c_.add(scores, c_.emit("Where", {closed, c_.scalar(type_, 0), bias}));
    }
    if (a_.has("softmax_precision")) scores = cast(c_, scores, static_cast<DType>(a_.integer("softmax_precision", 1)));
    Value* p = cast(c_, c_.emit("Softmax", {scores}, {{"axis", int64_t{-1}}}), type_);
    return closed ? c_.emit("Where", {closed, c_.scalar(type_, 0), p}) : p;
  }

  ExpandContext& c_;
  const Attributes& a_;
  const DType type_;
  bool flat_ = false;
  Value *q_ = nullptr, *k_ = nullptr, *v_ = nullptr;
};

}  // namespace

void expand_attention(ExpandContext& c) { Expansion(c).run(); }

}  // namespace outpost
