// Max and average pooling on channel blocks: one register an output position, four positions at once where windows lie
// inside along the row; windows are clipped once for every row, and for every column at the border. Every tap is one whole
// register, so that any stride and dilation costs the same.
#include "kernels/gemm_pack.h"
#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

constexpr int64_t block = lanes;

// Taps [begin, end) of an output position that fall inside the input, and the input position of tap 0.
struct Taps {
  int64_t begin, end, start;
  Taps(const Window& w, int axis, int64_t out) {
    start = out * w.stride[axis] - w.pad[axis];
    const int64_t step = w.dilation[axis], reach = w.in[axis] - start;
    begin = start >= 0 ? 0 : ceil_divide(-start, step);
    end = reach <= 0 ? 0 : smaller(w.kernel[axis], ceil_divide(reach, step));
  }
  int64_t count() const { return end > begin ? end - begin : 0; }
};

struct Max {
  static F32 identity() { return broadcast(-infinity); }
  static F32 combine(F32 all, F32 x) { return max_nan(all, x); }
};
struct Sum {
  static F32 identity() { return F32{}; }
  static F32 combine(F32 all, F32 x) { return all + x; }
};

// Output columns [begin, end) whose windows need no clipping.
Part inner_columns(const Window& w) {
  const int64_t last = w.in[2] - 1 - (w.kernel[2] - 1) * w.dilation[2] + w.pad[2];
  const int64_t begin = smaller(w.out[2], w.pad[2] <= 0 ? 0 : ceil_divide(w.pad[2], w.stride[2]));
  return {begin, larger(begin, last < 0 ? 0 : smaller(w.out[2], last / w.stride[2] + 1))};
}

// `count` outputs side by side; `x` is at the first tap, which may lie outside.
template <class Op, int count>
inline void fold(const Window& w, const float* x, const Taps& rows, const Taps& columns, F32 (&all)[count]) {
  const int64_t step = w.stride[2] * block;
#pragma GCC unroll 4
  for (int i = 0; i < count; ++i) all[i] = Op::identity();
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t k = columns.begin; k < columns.end; ++k) {
      const float* from = x + (h * w.dilation[1] * w.in[2] + k * w.dilation[2]) * block;
#pragma GCC unroll 4
      for (int i = 0; i < count; ++i) all[i] = Op::combine(all[i], load(from + i * step));
    }
}

// finish(sum or maximum, taps of the row, of the column) is an output.
template <class Op, class Finish>
void pool_row(const Window& w, const float* x, const Taps& rows, Part inner, float* y, Finish finish) {
  int64_t ow = 0;
  const auto outputs = [&]<int count>(const Taps& columns) {
    F32 all[count];
    fold<Op, count>(w, x + (ow * w.stride[2] - w.pad[2]) * block, rows, columns, all);
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) store(y + (ow + i) * block, finish(all[i], rows, columns));
    ow += count;
  };
  while (ow < inner.begin) outputs.template operator()<1>(Taps(w, 2, ow));
  if (ow < inner.end) {
    const Taps whole(w, 2, ow);
    while (ow + 4 <= inner.end) outputs.template operator()<4>(whole);
    while (ow < inner.end) outputs.template operator()<1>(whole);
  }
  while (ow < w.out[2]) outputs.template operator()<1>(Taps(w, 2, ow));
}

template <class Op, class Finish>
void pool(const Pool& p, int64_t plane_begin, int64_t plane_end, Finish finish) {
  const Window& w = p.window;
  const int64_t in = w.in[1] * w.in[2], out = w.out[1] * w.out[2];
  const Part inner = inner_columns(w);
  for (int64_t plane = plane_begin; plane < plane_end; ++plane)
    for (int64_t oh = 0; oh < w.out[1]; ++oh) {
      const Taps rows(w, 1, oh);
      pool_row<Op>(w, p.x + (plane * in + rows.start * w.in[2]) * block, rows, inner,
                   p.y + (plane * out + oh * w.out[2]) * block, finish);
    }
}

void max_pool(const Pool& p, int64_t begin, int64_t end) {
  pool<Max>(p, begin, end, [](F32 all, const Taps&, const Taps&) { return all; });
}

// Taps that the divisor counts along an axis: inside the input, or with pads inside input and pads.
int64_t counted(const Pool& p, int axis, const Taps& t) {
  if (!p.count_include_pad) return t.count();
  const Window& w = p.window;
  const int64_t reach = w.in[axis] + p.pad_end[axis] - t.start;
  return reach <= 0 ? 0 : smaller(w.kernel[axis], ceil_divide(reach, w.dilation[axis]));
}

void average_pool(const Pool& p, int64_t begin, int64_t end) {
  pool<Sum>(p, begin, end, [&p](F32 all, const Taps& rows, const Taps& columns) {
    return all / float(counted(p, 1, rows) * counted(p, 2, columns));
  });
}

}  // namespace

void OUTPOST_ISA::fill_pool_blocked(Kernels& table) {
  table.max_pool_blocked = max_pool;
  table.average_pool_blocked = average_pool;
}

}  // namespace outpost::kernels
