// Semantics of ONNX Runtime's PrepareMask (contrib_ops/cpu/bert/attention_helper.h).
#include "ops/microsoft/padding_mask.h"

#include <algorithm>

namespace outpost::microsoft {

void check_padding_mask(const InferContext& c, int input, Dim batch, Dim queries, Dim keys) {
  if (!c.has(input)) return;
  c.require_dtype(input, {DType::i32});
  if (!c.ranked(input)) return;
  const Dims& m = c.dims(input);
  auto same = [&](Dim a, Dim b) { return !a.known() || !b.known() || a.size == b.size; };
  bool fits = false;
  if (m.size() == 1) fits = !m[0].known() || !batch.known() || m[0].size == batch.size || m[0].size == 2 * batch.size || m[0].size == 3 * batch.size + 2;
  if (m.size() == 2) fits = same(m[0], batch) && same(m[1], keys);
  if (m.size() == 3) fits = same(m[0], batch) && same(m[1], queries) && same(m[2], keys);
  c.require(fits, "the mask is ", to_string(c.input(input)), "; expected (batch), (2 batch), (3 batch + 2), (batch, keys) or (batch, queries, keys)");
}

int64_t padding_mask_count(const View& mask, int64_t batch, int64_t queries, int64_t keys) {
  return batch * keys * (mask.rank() == 3 ? queries : 1);
}

AttentionMask write_padding_mask(const View& mask, int64_t batch, int64_t queries, int64_t keys, float blank, float* to) {
  const auto* m = mask.as<int32_t>();
  if (mask.rank() == 1) {
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t end = m[b], start = mask.dim(0) == 2 * batch ? m[batch + b] : 0;
      for (int64_t k = 0; k < keys; ++k) to[b * keys + k] = k >= start && k < end ? 0 : blank;
    }
  } else {
    std::transform(m, m + mask.count(), to, [blank](int32_t keep) { return keep > 0 ? 0 : blank; });
  }
  const int64_t rows = mask.rank() == 3 ? queries : 1;
  return {to, DType::f32, rows * keys, 0, mask.rank() == 3 ? keys : 0, 1, keys};
}

AttentionMask score_bias(const View& v) {
  const int64_t plane = v.dim(2) * v.dim(3);
  return {v.data, v.dtype, v.dim(0) == 1 ? 0 : v.dim(1) * plane, v.dim(1) == 1 ? 0 : plane, v.dim(3), 1, v.dim(3)};
}

void check_score_bias(const InferContext& c, int input, Dim batch, Dim heads, Dim queries, Dim keys) {
  if (!c.has(input) || !c.ranked(input)) return;
  const Dims& d = c.dims(input);
  auto fits = [&](Dim a, Dim b, bool repeats) { return !a.known() || !b.known() || a.size == b.size || (repeats && a.size == 1); };
  c.require(d.size() == 4 && fits(d[0], batch, true) && fits(d[1], heads, true) && fits(d[2], queries, false) && fits(d[3], keys, false), "attention_bias is ",
            to_string(c.input(input)), "; expected (batch or 1, heads or 1, queries, keys)");
}

}  // namespace outpost::microsoft
