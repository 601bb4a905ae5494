// The integer masks of com.microsoft's attention operators, as scores to add: 0 where a key counts, `blank` where not.
#pragma once
#include "ops/attention/attend.h"
#include "ops/op.h"

namespace outpost::microsoft {

// Accepts (batch) lengths, (2 batch) ends and starts, (3 batch + 2) of which the lengths are used, (batch, keys) and
// (batch, queries, keys). Dims are checked where known.
void check_padding_mask(const InferContext&, int input, Dim batch, Dim queries, Dim keys);

// f32 values that write_padding_mask needs.
int64_t padding_mask_count(const View& mask, int64_t batch, int64_t queries, int64_t keys);
AttentionMask write_padding_mask(const View& mask, int64_t batch, int64_t queries, int64_t keys, float blank, float* to);

// A float mask of (batch or 1, heads or 1, queries, keys).
AttentionMask score_bias(const View&);
void check_score_bias(const InferContext&, int input, Dim batch, Dim heads, Dim queries, Dim keys);

}  // namespace outpost::microsoft
