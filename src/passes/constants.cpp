// See constants.h.
#include "passes/constants.h"

#include <cmath>
#include <cstring>

#include "base/mapped_file.h"
#include "tensor/convert.h"

namespace outpost {

std::vector<double> values_of(const Tensor& t) {
  std::vector<double> values(static_cast<size_t>(t.count()));
  const Tensor flat = t.to_contiguous();
  convert(t.dtype(), flat.raw(), DType::f64, values.data(), t.count());
  return values;
}

Tensor tensor_of(DType dtype, Shape shape, const std::vector<double>& values) {
  Tensor t(dtype, std::move(shape));
  convert(DType::f64, values.data(), dtype, t.raw(), t.count());
  return t;
}

std::optional<std::vector<double>> along_axis(const Value* constant, int rank, int axis, int64_t channels) {
  if (!constant || !constant->is_constant()) return std::nullopt;
  const Tensor& t = constant->stored();
  if (t.rank() > rank || (t.count() != 1 && t.count() != channels)) return std::nullopt;
  if (t.count() == channels && channels != 1) {
    const int at = axis - (rank - t.rank());
    if (at < 0 || t.shape()[at] != channels) return std::nullopt;
  }
  std::vector<double> values = values_of(constant->constant());
  if (values.size() == 1) values.resize(static_cast<size_t>(channels), values[0]);
  return values;
}

namespace {

struct Range {
  double least, most;  // of normal numbers
};

Range range_of(DType t) {
  if (t == DType::f16) return {6.2e-5, 65504};
  return t == DType::f64 ? Range{2.3e-308, 1.7e308} : Range{1.2e-38, 3.3e38};
}

// One run of weights of one channel; y may be x. x may lie at any address (Value::stored).
template <class T>
bool scale_run(const T* x, T* y, int64_t n, double factor, Range range) {
  bool good = true;
  for (int64_t i = 0; i < n; ++i) {
    T element;
    std::memcpy(&element, reinterpret_cast<const char*>(x) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    const double before = static_cast<double>(element), value = before * factor, size = std::fabs(value);
    y[i] = static_cast<T>(value);
    good &= (size <= range.most) & ((size >= range.least) | (size == 0) | (std::fabs(before) < range.least));
  }
  return good;
}

// The same for f32, four at a time: a result must be finite, and normal where the weight was (numbers compare as their bits).
bool scale_run(const float* x, float* y, int64_t n, double factor, Range range) {
  using F = float __attribute__((vector_size(16)));
  using D = double __attribute__((vector_size(32)));
  using I = int32_t __attribute__((vector_size(16)));
  constexpr int32_t infinity = 0x7f800000, least_normal = 0x00800000, magnitude = 0x7fffffff;
  I bad{};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    F before;
    std::memcpy(&before, reinterpret_cast<const char*>(x) + i * 4, sizeof before);
    const D product = __builtin_convertvector(before, D) * factor;
    const F value = __builtin_convertvector(product, F);
    std::memcpy(y + i, &value, sizeof value);
    const I from = (I)before & magnitude, to = (I)value & magnitude;
    bad |= (to >= infinity) | ((to < least_normal) & (from >= least_normal));
  }
  const bool rest = scale_run<float>(x + i, y + i, n - i, factor, range);
  return rest && !(bad[0] | bad[1] | bad[2] | bad[3]);
}

template <class T>
bool scale_all(const T* x, T* y, int64_t outer, int64_t inner, const std::vector<double>& factors, Range range) {
  bool good = true;
  if (inner == 1) {  // channels side by side
    const auto n = static_cast<int64_t>(factors.size());
    for (int64_t i = 0; i < outer; ++i)
      for (int64_t c = 0; c < n; ++c) good &= scale_run(x + i * n + c, y + i * n + c, 1, factors[static_cast<size_t>(c)], range);
    return good;
  }
  for (int64_t i = 0; i < outer; ++i)
    for (double factor : factors) {
      good &= scale_run(x, y, inner, factor, range);
      x += inner, y += inner;
    }
  return good;
}

}  // namespace

Tensor scaled_along(const Tensor& w, int64_t outer, int64_t inner, const std::vector<double>& factors) {
  const Tensor dense = w.dtype() == DType::f32 ? w.to_contiguous() : w.clone();
  const Range range = range_of(w.dtype());
  if (w.dtype() == DType::f32) {
    Tensor y(DType::f32, w.shape());
    const bool good = scale_all(dense.data<float>(), y.data<float>(), outer, inner, factors, range);
    MappedFile::release_pages(w.raw(), w.bytes());  // y stands for it from now on
    return good ? y : Tensor();
  }
  std::vector<double> values = values_of(dense);
  if (!scale_all(values.data(), values.data(), outer, inner, factors, range)) return {};
  return tensor_of(w.dtype(), w.shape(), values);
}

Tensor vector_of(DType dtype, const std::vector<double>& values) {
  const double most = range_of(dtype).most;
  for (double v : values)
    if (!(std::fabs(v) <= most)) return {};
  return tensor_of(dtype, Shape{static_cast<int64_t>(values.size())}, values);
}

}  // namespace outpost
