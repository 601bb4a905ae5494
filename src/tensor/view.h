// View: what an operator sees of a tensor while it runs: an address, a shape and a dtype. Contiguous unless the
// operator declared that it takes strides. Owns nothing; the frame that made it keeps both alive.
#pragma once
#include "outpost/tensor.h"

namespace outpost {

struct View {
  void* data = nullptr;
  const Shape* dims = nullptr;
  DType dtype = DType::undefined;

  const Shape& shape() const noexcept { return *dims; }
  int rank() const noexcept { return dims->rank(); }
  int64_t dim(int axis) const noexcept { return (*dims)[axis]; }
  int64_t count() const noexcept { return dims->count(); }
  size_t bytes() const { return bytes_for(dtype, count()); }
  bool defined() const noexcept { return dims != nullptr; }
  // Unchecked: the operator has looked at dtype first.
  template <class T>
  T* as() const noexcept { return static_cast<T*>(data); }
};

}  // namespace outpost
