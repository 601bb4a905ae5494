// Scaled dot-product attention that never stores the matrix of scores: the arguments and what they promise.
//
//   y = softmax(cap(scale Q K^T) + masks) V   for every (batch, head)
//
// Work is cut into tiles of (batch, head, query rows) by shape alone. Strides count elements, so that heads may be read
// from and written to (batch, row, head * size) as well as (batch, head, row, size). Column strides of q, k, v, y are 1.
// Storage types f16 and bf16 are widened; all arithmetic is f32. A query that no key may be seen by gives zeros; NaN in
// a score that counts makes its row NaN. Weights below 2^-126 of a row's largest are 0.
#pragma once

#include "kernels/gemm.h"

namespace outpost::kernels {

struct AttentionSide {
  const void* data = nullptr;
  FloatType type = FloatType::f32;  // f32, f16 or bf16
  int64_t batch = 0, head = 0, row = 0;
};

// Added to the scores; boolean: where false the key is not seen. -infinity hides a key whatever its score. Strides of 0
// repeat; `column` is 0 or 1. Keys at and after `columns` are hidden.
struct AttentionBias {
  enum Kind : uint8_t { none, boolean, f32, f16, bf16 } kind = none;
  const void* data = nullptr;
  int64_t batch = 0, head = 0, row = 0, column = 1, columns = 0;
};

struct Attention {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, head_size = 0, value_size = 0;
  AttentionSide q, k, v, y;  // y.data is written; heads h of q reads kv head h / (heads / kv_heads)
  float scale = 1, softcap = 0;
  AttentionBias bias[2];
  // Query i of batch b stands at position offsets[b] + i (offset + i without offsets) and sees keys from position - left
  // to position + right; negative bounds are none.
  const int64_t* offsets = nullptr;
  int64_t offset = 0, left = -1, right = -1;
  const int64_t* valid_keys = nullptr;  // (batch): keys from there on are padding
  // A score beside the keys' that takes its share of the softmax and gives nothing: (heads), or 0 for all.
  const float* sinks = nullptr;
  bool zero_sink = false;
};

}  // namespace outpost::kernels
