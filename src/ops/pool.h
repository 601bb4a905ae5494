// Walking pooling windows, for the types and norms that have no kernel.
#pragma once
#include <algorithm>

#include "ops/window.h"

namespace outpost {

// The taps of one output position along one axis that fall inside the input.
struct TapRange {
  int64_t origin, first, last;  // input position of tap t: origin + t * dilation; taps [first, last) are inside
};

inline TapRange tap_range(const kernels::Window& w, int axis, int64_t out) noexcept {
  const int64_t origin = out * w.stride[axis] - w.pad[axis], dilation = w.dilation[axis];
  const int64_t first = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  const int64_t room = w.in[axis] - origin;  // positions up to the end
  const int64_t last = room <= 0 ? 0 : std::min(w.kernel[axis], (room + dilation - 1) / dilation);
  return {origin, std::min(first, last), last};
}

// For every output position p: begin(p, ranges), then tap(index into the plane) for every tap inside, then end(p).
template <class Begin, class Tap, class End>
void walk_windows(const kernels::Window& w, Begin&& begin, Tap&& tap, End&& end) {
  int64_t p = 0;
  for (int64_t d = 0; d < w.out[0]; ++d)
    for (int64_t h = 0; h < w.out[1]; ++h)
      for (int64_t i = 0; i < w.out[2]; ++i, ++p) {
        const TapRange r[3] = {tap_range(w, 0, d), tap_range(w, 1, h), tap_range(w, 2, i)};
        begin(p, r);
        for (int64_t a = r[0].first; a < r[0].last; ++a)
          for (int64_t b = r[1].first; b < r[1].last; ++b) {
            const int64_t depth = r[0].origin + a * w.dilation[0], row = r[1].origin + b * w.dilation[1];
            const int64_t line = (depth * w.in[1] + row) * w.in[2];
            for (int64_t t = r[2].first; t < r[2].last; ++t) tap(line + r[2].origin + t * w.dilation[2]);
          }
        end(p);
      }
}

// What the poolings share: attributes parsed once, shape rule, planes of f32.
struct PoolAttributes {
  WindowAttributes window;
  int64_t storage_order = 0, p = 2;
  bool count_include_pad = false;
};
PoolAttributes pool_attributes(const Node&);
std::shared_ptr<const void> prepare_pool(const PrepareContext&);
// Output 0: (batch, channels, spatial...) of x's dtype.
void infer_pool(InferContext&);

struct PoolShape {
  kernels::Window window;
  int64_t pad_end[3] = {0, 0, 0};
  int64_t planes;
  int64_t in_count() const noexcept { return volume(window.in); }
  int64_t out_count() const noexcept { return volume(window.out); }
  // Planes one thread takes at least.
  int64_t grain() const noexcept {
    const double work = static_cast<double>(out_count()) * static_cast<double>(volume(window.kernel)) + 1;
    return static_cast<int64_t>((1 << 15) / work) + 1;
  }
};
PoolShape pool_shape(const PoolAttributes&, const Shape& x);

// Per thread: one plane of input and one of output in f32, where the dtype is narrower.
size_t pool_scratch_bytes(const PoolShape&, DType dtype, int threads);

// body(x, y, plane): planes [begin, end) as T, staged one at a time where the dtype is not T.
template <class T, class Body>
void for_planes(const RunContext& c, const PoolShape& shape, const View& x, const View& y, Body&& body);

}  // namespace outpost

#include "ops/staging.h"

namespace outpost {

template <class T, class Body>
void for_planes(const RunContext& c, const PoolShape& shape, const View& x, const View& y, Body&& body) {
  const int64_t in = shape.in_count(), out = shape.out_count();
  const size_t x_bytes = slice_bytes(static_cast<size_t>(in) * sizeof(T));
  const size_t y_bytes = static_cast<size_t>(out) * sizeof(T);
  c.parallel_ranges(shape.planes, shape.grain(), [&](int64_t begin, int64_t end) {
    char* stage = x.dtype == dtype_of<T>() ? nullptr : worker_slice<char>(c, x_bytes + y_bytes);
    for (int64_t plane = begin; plane < end; ++plane) {
      const T* from = read<T>(x, plane * in, in, reinterpret_cast<T*>(stage));
      T* to = target<T>(y, plane * out, reinterpret_cast<T*>(stage ? stage + x_bytes : nullptr));
      body(from, to, plane);
      write<T>(y, plane * out, out, to);
    }
  });
}

}  // namespace outpost
