// How scales and zero points lie over a tensor: one for all, one an index of an axis, or one a block along an axis.
// Memory is walked in segments: stretches over which the scale stays, or goes along element by element.
#pragma once
#include <cstdint>

#include "ops/elementwise.h"

namespace outpost {

struct Granularity {
  int64_t count = 0;               // elements
  int64_t axis = 1, inner = 1;     // extent of the axis, elements of one of its indices
  int64_t block = 0;               // > 0: indices that share a scale
  int64_t stripes = 1;             // blocks along the axis
  bool per_tensor = true;

  struct Segment {
    int64_t length, scale, step;   // scale index of the first element; 0 or 1 a further element
  };
  Segment at(int64_t element) const noexcept;
};

// Checks scale (and zero point) against x; `axis` and `block` are the attributes.
Granularity granularity(const Shape& x, const Shape& scale, int64_t axis, int64_t block);
// The same as a shape rule: fails with a message where the static shapes do not fit.
void require_granularity(InferContext& c, int x, int scale, int zero_point, int64_t axis, int64_t block);

}  // namespace outpost
