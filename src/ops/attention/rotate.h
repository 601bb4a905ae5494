// Rotary position embedding: pairs of columns turned by an angle that depends on the row's position.
#pragma once
#include "ops/run_context.h"

namespace outpost {

struct Rotation {
  int64_t batch = 0, rows = 0, heads = 0, size = 0, turned = 0;  // columns [turned, size) are copied
  bool interleaved = false;  // pairs (2i, 2i + 1), else (i, i + turned / 2)
  const void* x = nullptr;
  void* y = nullptr;         // may be x where the strides agree
  DType dtype = DType::f32;  // of x and y
  int64_t x_batch = 0, x_row = 0, x_head = 0, y_batch = 0, y_row = 0, y_head = 0;
  const void *cos = nullptr, *sin = nullptr;  // rows of turned / 2 values
  DType cache_dtype = DType::f32;
  // Row of the caches for (b, row): positions[b * rows + row], or else b * cache_batch + row + first. Checked by the caller.
  const int64_t* positions = nullptr;
  int64_t cache_batch = 0, first = 0;
};

void rotate(const RunContext&, const Rotation&);

}  // namespace outpost
