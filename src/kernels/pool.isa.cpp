// Max and average pooling of f32 planes. A window is clipped to the input once for every output row and column; where
// windows lie wholly inside along a row, registers hold neighbouring outputs.
#include "kernels/shuffle.h"
#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

// The taps [begin, end) of an output position that fall inside the input, and the input position of tap 0.
struct Span {
  int64_t begin, end, start;
};

inline int64_t divide_up(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

inline Span span_of(const Window& w, int axis, int64_t out) {
  const int64_t start = out * w.stride[axis] - w.pad[axis], step = w.dilation[axis];
  const int64_t begin = divide_up(-start, step), end = divide_up(w.in[axis] - start, step);
  return {begin, end < w.kernel[axis] ? end : w.kernel[axis], start};
}

// Output columns [begin, end) whose windows need no clipping.
inline void inner_columns(const Window& w, int64_t& begin, int64_t& end) {
  const int64_t reach = (w.kernel[2] - 1) * w.dilation[2];
  begin = divide_up(w.pad[2], w.stride[2]);
  const int64_t last = w.in[2] - 1 - reach + w.pad[2];
  end = last < 0 ? 0 : last / w.stride[2] + 1;
  if (end > w.out[2]) end = w.out[2];
  if (begin > end) begin = end;
}

// n elements `stride` apart, 0 < n <= lanes.
inline F32 load_strided(const float* p, int64_t stride, int64_t n) {
  if (stride == 1) return n == lanes ? load(p) : load_part(p, n);
  if (stride == 2) return n == lanes ? load_even(p) : load_even_part(p, n);
  F32 v{};
  for (int i = 0; i < n; ++i) v[i] = p[i * stride];
  return v;
}

struct Max {
  static F32 identity() { return broadcast(-infinity); }
  static F32 combine(F32 all, F32 x) { return max_nan(all, x); }
  static float first() { return -infinity; }
  static float combine(float all, float x) { return all != all ? all : x > all || x != x ? x : all; }
};
struct Sum {
  static F32 identity() { return F32{}; }
  static F32 combine(F32 all, F32 x) { return all + x; }
  static float first() { return 0; }
  static float combine(float all, float x) { return all + x; }
};

// Folds the clipped window of one output; calls `seen(offset, value)` for every tap.
template <class Fold>
inline void for_taps(const Window& w, const Span (&s)[3], Fold seen) {
  for (int64_t d = s[0].begin; d < s[0].end; ++d)
    for (int64_t h = s[1].begin; h < s[1].end; ++h) {
      const int64_t row = ((s[0].start + d * w.dilation[0]) * w.in[1] + s[1].start + h * w.dilation[1]) * w.in[2];
      for (int64_t k = s[2].begin; k < s[2].end; ++k) seen(row + s[2].start + k * w.dilation[2]);
    }
}

// One output row: f(sum or maximum, output column) stores.
template <class Op, class Finish>
void pool_row(const Window& w, const float* x, Span (&s)[3], int64_t inner_begin, int64_t inner_end, Finish finish) {
  const auto clipped = [&](int64_t ow) {
    s[2] = span_of(w, 2, ow);
    float all = Op::first();
    for_taps(w, s, [&](int64_t at) { all = Op::combine(all, x[at]); });
    finish.one(ow, all, s[2]);
  };
  int64_t ow = 0;
  for (; ow < inner_begin; ++ow) clipped(ow);
  while (ow < inner_end) {
    const Span full{0, w.kernel[2], ow * w.stride[2] - w.pad[2]};
    const int64_t n = inner_end - ow < lanes ? inner_end - ow : lanes;
    s[2] = full;
    F32 all = Op::identity();
    for_taps(w, s, [&](int64_t at) { all = Op::combine(all, load_strided(x + at, w.stride[2], n)); });
    finish.many(ow, all, full, n);
    ow += n;
  }
  for (; ow < w.out[2]; ++ow) clipped(ow);
}

template <class Op, class MakeFinish>
void pool_planes(const Pool& p, int64_t begin, int64_t end, MakeFinish make) {
  const Window& w = p.window;
  const int64_t in_count = w.in[0] * w.in[1] * w.in[2], out_count = w.out[0] * w.out[1] * w.out[2];
  int64_t inner_begin, inner_end;
  inner_columns(w, inner_begin, inner_end);
  for (int64_t plane = begin; plane < end; ++plane)
    for (int64_t od = 0; od < w.out[0]; ++od)
      for (int64_t oh = 0; oh < w.out[1]; ++oh) {
        Span s[3] = {span_of(w, 0, od), span_of(w, 1, oh), {}};
        float* y = p.y + plane * out_count + (od * w.out[1] + oh) * w.out[2];
        pool_row<Op>(w, p.x + plane * in_count, s, inner_begin, inner_end, make(y, od, oh, s));
      }
}

struct StoreMax {
  float* y;
  void one(int64_t ow, float v, const Span&) const { y[ow] = v; }
  void many(int64_t ow, F32 v, const Span&, int64_t n) const { store_part(y + ow, v, n); }
};

// The first of equal maxima, NaN above all; a window wholly outside gives -infinity at index 0.
void max_pool_indices(const Pool& p, int64_t begin, int64_t end) {
  const Window& w = p.window;
  const int64_t in_count = w.in[0] * w.in[1] * w.in[2];
  int64_t to = begin * w.out[0] * w.out[1] * w.out[2];
  for (int64_t plane = begin; plane < end; ++plane)
    for (int64_t od = 0; od < w.out[0]; ++od)
      for (int64_t oh = 0; oh < w.out[1]; ++oh)
        for (int64_t ow = 0; ow < w.out[2]; ++ow, ++to) {
          const Span s[3] = {span_of(w, 0, od), span_of(w, 1, oh), span_of(w, 2, ow)};
          const float* x = p.x + plane * in_count;
          int64_t best = -1;
          for_taps(w, s, [&](int64_t at) {
            if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
          });
          p.y[to] = best < 0 ? -infinity : x[best];
          p.indices[to] = plane * in_count + (best < 0 ? 0 : best);
        }
}

void max_pool(const Pool& p, int64_t begin, int64_t end) {
  if (p.indices) return max_pool_indices(p, begin, end);
  pool_planes<Max>(p, begin, end, [](float* y, int64_t, int64_t, const Span (&)[3]) { return StoreMax{y}; });
}

// Taps that the divisor counts along an axis: inside the input, or with pads inside input and pads.
inline int64_t counted(const Pool& p, int axis, const Span& s) {
  if (!p.count_include_pad) return s.end > s.begin ? s.end - s.begin : 0;
  const Window& w = p.window;
  const int64_t reach = divide_up(w.in[axis] + p.pad_end[axis] - s.start, w.dilation[axis]);
  return reach < w.kernel[axis] ? reach : w.kernel[axis];
}

struct StoreMean {
  const Pool& p;
  float* y;
  int64_t outer;  // taps counted over depth and height
  void one(int64_t ow, float sum, const Span& s) const { y[ow] = sum / float(outer * counted(p, 2, s)); }
  void many(int64_t ow, F32 sum, const Span& s, int64_t n) const {
    store_part(y + ow, sum / float(outer * counted(p, 2, s)), n);
  }
};

void average_pool(const Pool& p, int64_t begin, int64_t end) {
  pool_planes<Sum>(p, begin, end, [&p](float* y, int64_t, int64_t, const Span (&s)[3]) {
    return StoreMean{p, y, counted(p, 0, s[0]) * counted(p, 1, s[1])};
  });
}

}  // namespace

void OUTPOST_ISA::fill_pool(Kernels& table) {
  table.max_pool = max_pool;
  table.average_pool = average_pool;
}

}  // namespace outpost::kernels
