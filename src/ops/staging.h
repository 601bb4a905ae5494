// Staging: runs of elements in the compute type. An operator works in f32 or f64; where the storage type is that type
// nothing is copied, else a run passes through a buffer that the operator took from its scratch memory.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {

// Scratch is cut into one slice per thread, each a multiple of a cache line.
inline size_t slice_bytes(size_t bytes) noexcept { return (bytes + 63) & ~size_t{63}; }

template <class T>
T* worker_slice(const RunContext& c, size_t bytes) noexcept {
  return reinterpret_cast<T*>(c.scratch<char>() + static_cast<size_t>(RunContext::worker()) * slice_bytes(bytes));
}

// f32 for the floats up to f32, f64 for f64.
inline bool is_float(DType t) noexcept {
  return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16;
}

void widen(DType from, const void* x, int64_t first, int64_t count, float* y);
void narrow(DType to, const float* x, int64_t count, void* y, int64_t first);

// Elements [first, first + count) of v as T (float or double): in place where v holds T, else in `buffer`.
template <class T>
const T* read(const View& v, int64_t first, int64_t count, T* buffer) {
  if (v.dtype == dtype_of<T>()) return v.as<const T>() + first;
  if constexpr (std::is_same_v<T, float>) widen(v.dtype, v.data, first, count, buffer);
  else load(v.dtype, v.data, first, count, dtype_of<T>(), buffer);
  return buffer;
}

// Where to write elements from `first` on; finish with write().
template <class T>
T* target(const View& v, int64_t first, T* buffer) {
  return v.dtype == dtype_of<T>() ? v.as<T>() + first : buffer;
}

template <class T>
void write(const View& v, int64_t first, int64_t count, const T* from) {
  if (v.dtype == dtype_of<T>()) return;
  if constexpr (std::is_same_v<T, float>) narrow(v.dtype, from, count, v.data, first);
  else store(dtype_of<T>(), from, count, v.dtype, v.data, first);
}

// The whole of v as f32: itself, or a copy in `buffer`.
inline const float* as_f32(const View& v, float* buffer) { return read<float>(v, 0, v.count(), buffer); }
// Bytes that `as_f32` needs.
inline size_t f32_copy_bytes(const View& v) noexcept {
  return v.dtype == DType::f32 ? 0 : slice_bytes(static_cast<size_t>(v.count()) * sizeof(float));
}

// A tensor seen as (outer, length, inner) around one axis, or around the axes [first, last).
struct AxisView {
  int64_t outer, length, inner;
  AxisView(const Shape& s, int axis) : AxisView(s, axis, axis + 1) {}
  AxisView(const Shape& s, int first, int last)
      : outer(s.count(0, first)), length(s.count(first, last)), inner(s.count(last, s.rank())) {}
};

inline int wrap_axis(int64_t axis, int rank) noexcept { return static_cast<int>(axis < 0 ? axis + rank : axis); }

}  // namespace outpost
