// Softmax and its logarithm along rows and along a strided axis, layer and root-mean-square normalisation of rows.
// Sums are blocked as in reduce.h; the largest value is subtracted first, so that no exponential overflows.
#include <cmath>

#include "kernels/reduce.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

template <class Run>
inline void for_registers(int64_t n, Run run) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) run(i, int64_t(lanes));
  if (i < n) run(i, n - i);
}

void softmax_rows(const float* x, float* y, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const float largest = row_max(x, columns);
    const double sum = blocked_sum(columns, [=](int64_t i, int64_t n) {
      const F32 e = exp(load_up_to(x + i, n) - largest);
      store_up_to(y + i, e, n);
      return n == lanes ? e : keep(e, n, F32{});
    });
    const float scale = float(1 / sum);
    for_registers(columns, [=](int64_t i, int64_t n) { store_up_to(y + i, load_up_to(y + i, n) * scale, n); });
  }
}

void log_softmax_rows(const float* x, float* y, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const float largest = row_max(x, columns);
    const double sum = blocked_sum(columns, [=](int64_t i, int64_t n) {
      const F32 e = exp(load_up_to(x + i, n) - largest);
      return n == lanes ? e : keep(e, n, F32{});
    });
    const float log_sum = float(::log(sum));
    for_registers(columns, [=](int64_t i, int64_t n) {
      store_up_to(y + i, (load_up_to(x + i, n) - largest) - log_sum, n);
    });
  }
}

// Registers of columns; every lane is a softmax of its own.
template <bool logarithm>
void columns_softmax(const float* x, float* y, int64_t rows, int64_t columns, int64_t row_stride) {
  for_registers(columns, [=](int64_t c, int64_t n) {
    F32 largest = broadcast(-infinity);
    for (int64_t r = 0; r < rows; ++r) largest = max_nan(largest, load_up_to(x + r * row_stride + c, n));
    Compensated sum;
    for (int64_t r = 0; r < rows; ++r) {
      const F32 e = exp(load_up_to(x + r * row_stride + c, n) - largest);
      if (!logarithm) store_up_to(y + r * row_stride + c, e, n);
      sum.add(e);
    }
    const F32 total = sum.total(), scale = 1.0f / total, log_sum = logarithm ? log(total) : total;
    for (int64_t r = 0; r < rows; ++r) {
      float* to = y + r * row_stride + c;
      if (logarithm) store_up_to(to, (load_up_to(x + r * row_stride + c, n) - largest) - log_sum, n);
      else store_up_to(to, load_up_to(to, n) * scale, n);
    }
  });
}

// A mean in two floats: the half ulp that one float loses would show wherever the mean is large beside the deviation.
struct Centre {
  float high, low;
  explicit Centre(double mean) : high(float(mean)), low(float(mean - double(high))) {}
  F32 apply(F32 x) const { return (x - high) - low; }
};

// y = (x - mean) * factor * scale + bias, either pointer may be null.
inline void normalize_row(const float* x, const float* scale, const float* bias, Centre mean, float factor, float* y,
                          int64_t columns) {
  for_registers(columns, [=](int64_t i, int64_t n) {
    F32 v = mean.apply(load_up_to(x + i, n)) * factor;
    if (scale) v *= load_up_to(scale + i, n);
    if (bias) v += load_up_to(bias + i, n);
    store_up_to(y + i, v, n);
  });
}

void layer_norm_rows(const float* x, const float* scale, const float* bias, float epsilon, float* y, float* mean,
                     float* inverse_deviation, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const double sum = blocked_sum(columns, [x](int64_t i, int64_t n) { return load_up_to(x + i, n); });
    const Centre centre(sum / double(columns));
    const double squares = blocked_sum(columns, [=](int64_t i, int64_t n) {
      const F32 d = centre.apply(load_up_to(x + i, n));
      return n == lanes ? d * d : keep(d * d, n, F32{});
    });
    const float factor = float(1 / __builtin_sqrt(squares / double(columns) + double(epsilon)));
    normalize_row(x, scale, bias, centre, factor, y, columns);
    if (mean) mean[r] = centre.high;
    if (inverse_deviation) inverse_deviation[r] = factor;
  }
}

void rms_norm_rows(const float* x, const float* scale, float epsilon, float* y, float* inverse_rms, int64_t rows,
                   int64_t columns) {
  for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const double squares = blocked_sum(columns, [x](int64_t i, int64_t n) {
      const F32 v = load_up_to(x + i, n);
      return v * v;
    });
    const float factor = float(1 / __builtin_sqrt(squares / double(columns) + double(epsilon)));
    normalize_row(x, scale, nullptr, Centre(0), factor, y, columns);
    if (inverse_rms) inverse_rms[r] = factor;
  }
}

}  // namespace

void OUTPOST_ISA::fill_normalize(Kernels& table) {
  table.softmax_rows = softmax_rows;
  table.log_softmax_rows = log_softmax_rows;
  table.softmax_columns = columns_softmax<false>;
  table.log_softmax_columns = columns_softmax<true>;
  table.layer_norm_rows = layer_norm_rows;
  table.rms_norm_rows = rms_norm_rows;
}

}  // namespace outpost::kernels
