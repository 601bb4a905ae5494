// Max and average pooling on channel blocks: one register an output position, the window clipped to the input once for
// every row and column. Every tap is one whole register, so that any stride and dilation costs the same.
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

template <class Op, class Finish>
void pool(const Pool& p, int64_t plane_begin, int64_t plane_end, Finish finish) {
  const Window& w = p.window;
  const int64_t in = w.in[1] * w.in[2], out = w.out[1] * w.out[2];
  for (int64_t plane = plane_begin; plane < plane_end; ++plane)
    for (int64_t oh = 0; oh < w.out[1]; ++oh) {
      const Taps rows(w, 1, oh);
      for (int64_t ow = 0; ow < w.out[2]; ++ow) {
        const Taps columns(w, 2, ow);
        F32 all = Op::identity();
        for (int64_t h = rows.begin; h < rows.end; ++h) {
          const int64_t row = plane * in + (rows.start + h * w.dilation[1]) * w.in[2];
          for (int64_t k = columns.begin; k < columns.end; ++k)
            all = Op::combine(all, load(p.x + (row + columns.start + k * w.dilation[2]) * block));
        }
        store(p.y + (plane * out + oh * w.out[2] + ow) * block, finish(all, rows, columns));
      }
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
