// Slicing arithmetic of one axis, shared by whatever cuts tensors numpy's way.
#pragma once
#include <cstdint>

namespace outpost {

struct SliceRange {
  int64_t start, count, step;
};

// start:end:step of an axis of `size`, clamped as ONNX says. step must not be 0; any other values are safe.
SliceRange slice_range(int64_t start, int64_t end, int64_t step, int64_t size) noexcept;

}  // namespace outpost
