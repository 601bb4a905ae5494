// How scales and zero points lie over a tensor: one for all, one an index of an axis, or one a block along an axis.
// Memory is walked in segments: stretches over which the scale stays, or goes along element by element.
#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

// The dtypes of codes, and of scales and results.
constexpr uint32_t quantized_integers =
    dtype_set({DType::u8, DType::i8, DType::u16, DType::i16, DType::u4, DType::i4, DType::u2, DType::i2});
constexpr uint32_t quantized = quantized_integers | float8s | dtype_set({DType::f4e2m1});
constexpr uint32_t narrow_floats = dtype_set({DType::f32, DType::f16, DType::bf16});

struct QuantizeOptions {
  int64_t axis = 1, block = 0;
  bool saturate = true;
  DType precision = DType::undefined;  // what x / scale is rounded to; undefined: the scale's dtype
};
std::shared_ptr<const void> prepare_quantize(const PrepareContext&);
// For the scales and zero points in inputs 1 and 2.
size_t scratch_quantize(const ScratchContext&);

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

// For shapes that require_granularity has accepted; `axis` and `block` are the attributes.
Granularity granularity(const Shape& x, const Shape& scale, int64_t axis, int64_t block);
// The same as a shape rule: fails with a message where the static shapes do not fit.
void require_granularity(InferContext& c, int x, int scale, int zero_point, int64_t axis, int64_t block);

// Scales and zero points as T (f32 holds every quantised code exactly), in scratch memory unless they are T already.
template <class T>
struct QuantizeParameters {
  const T* scale;
  const T* zero;  // null: 0
};
template <class T>
QuantizeParameters<T> quantize_parameters(RunContext& c) {
  const View& scale = c.in(1);
  T* room = c.scratch<T>();
  QuantizeParameters<T> p{scale.as<T>(), nullptr};
  if (scale.dtype != dtype_of<T>()) {
    convert(scale.dtype, scale.data, dtype_of<T>(), room, scale.count());
    p.scale = room;
  }
  if (c.has(2)) {
    convert(c.in(2).dtype, c.in(2).data, dtype_of<T>(), room + scale.count(), scale.count());
    p.zero = room + scale.count();
  }
  return p;
}

// Calls body(first element, length, scale index, step) over [begin, end), at most a tile long.
template <class Body>
void for_segments(const Granularity& g, int64_t begin, int64_t end, Body body) {
  while (begin < end) {
    const auto s = g.at(begin);
    const int64_t n = std::min({s.length, end - begin, elementwise_tile});
    body(begin, n, s.scale, s.step);
    begin += n;
  }
}

}  // namespace outpost
