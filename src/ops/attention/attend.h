// Scaled dot-product attention, the arithmetic that every attention operator comes down to:
//   y = softmax(cap(scale Q K^T) + masks) V   for every (batch, head).
// Keys are taken in blocks with a running maximum and sum (Milakov & Gimelshein 2018; Dao et al. 2022), so memory does
// not grow with the square of the length. Blocks depend on shapes only; threads take (batch, head, block of queries).
#pragma once
#include "ops/multiply.h"

namespace outpost {

class Carve;

// (batch, head, row, column) with a unit column stride; strides in elements.
struct AttentionOperand {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t batch = 0, head = 0, row = 0;
};

// Added to the scores (or, for bool, choosing them): strides 0 repeat. Columns at and after `columns` are masked out.
struct AttentionMask {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t batch = 0, head = 0, row = 0, column = 1, columns = 0;
};

// A mask that broadcasts to (batch, heads, queries, keys); a short last axis hides the keys after it.
AttentionMask broadcast_mask(const View&, int64_t keys);

struct Attend {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, head_size = 0, value_size = 0;
  AttentionOperand q, k, v, y;  // y.data is written; q, k, v all f64 or none
  double scale = 1, softcap = 0;
  AttentionMask masks[2];
  // Query i of batch b stands at position offsets[b] + i (offset + i without offsets) and sees keys from position - left
  // to position + right; negative bounds are none.
  const int64_t* offsets = nullptr;
  int64_t offset = 0, left = -1, right = -1;
  const int64_t* valid_keys = nullptr;  // (batch): keys from there on are padding
  // A score beside the keys' that takes its share of the softmax and gives nothing; (heads) f32, or 0 for all.
  const float* sinks = nullptr;
  bool zero_sink = false;
  // Scores wanted as an output (batch, heads, queries, keys): 0 products, 1 capped, 2 masked, 3 probabilities.
  void* scores = nullptr;
  DType scores_dtype = DType::f32;
  int scores_mode = 0;
};

void attend(const RunContext&, const Attend&, void* scratch);
size_t attend_scratch_bytes(const Attend&, int threads);  // reads sizes, dtypes, and whether scores are wanted

}  // namespace outpost
