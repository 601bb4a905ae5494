// Combining scatters. f32, f64, i32 and i64 combine where they lie; other types pass through their compute type.
#include "ops/combine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/convert.h"

namespace outpost {
namespace {

template <class T>
T combined(Combine reduction, T a, T b) {
  using Wrapping = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  switch (reduction) {
    case Combine::add: return static_cast<T>(static_cast<Wrapping>(a) + static_cast<Wrapping>(b));
    case Combine::mul: return static_cast<T>(static_cast<Wrapping>(a) * static_cast<Wrapping>(b));
    case Combine::max: return a != a || a > b ? a : b;
    case Combine::min: return a != a || a < b ? a : b;
    case Combine::none: break;
  }
  return b;
}

template <class T>
void combine_run(Combine reduction, const T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = combined(reduction, y[i], x[i]);
}

template <class T>
void combine_stored(Combine reduction, DType dtype, DType compute, const void* x, void* y, int64_t n) {
  constexpr int64_t tile = 256;
  T a[tile], b[tile];
  for (int64_t i = 0; i < n; i += tile) {
    const int64_t m = std::min(tile, n - i);
    load(dtype, element(x, dtype, i), 0, m, compute, b);
    load(dtype, element(y, dtype, i), 0, m, compute, a);
    combine_run(reduction, b, a, m);
    store(compute, a, m, dtype, element(y, dtype, i), 0);
  }
}

void combine_block(Combine reduction, DType dtype, const void* x, void* y, int64_t n) {
  switch (dtype) {
    case DType::f32: return combine_run(reduction, static_cast<const float*>(x), static_cast<float*>(y), n);
    case DType::f64: return combine_run(reduction, static_cast<const double*>(x), static_cast<double*>(y), n);
    case DType::i32: return combine_run(reduction, static_cast<const int32_t*>(x), static_cast<int32_t*>(y), n);
    case DType::i64: return combine_run(reduction, static_cast<const int64_t*>(x), static_cast<int64_t*>(y), n);
    default: break;
  }
  switch (compute_type(dtype)) {
    case DType::f32: return combine_stored<float>(reduction, dtype, DType::f32, x, y, n);
    case DType::i64: return combine_stored<int64_t>(reduction, dtype, DType::i64, x, y, n);
    case DType::u64: return combine_stored<uint64_t>(reduction, dtype, DType::u64, x, y, n);
    default: fail(ErrorCode::unsupported, "cannot combine elements of ", dtype);
  }
}

}  // namespace

Combine combine_of(const Attributes& attributes, const std::string& label) {
  const std::string_view name = attributes.string("reduction", "none");
  if (name == "none") return Combine::none;
  if (name == "add") return Combine::add;
  if (name == "mul") return Combine::mul;
  if (name == "max") return Combine::max;
  if (name == "min") return Combine::min;
  fail(ErrorCode::invalid_model, label, ": reduction is '", name, "'; expected none, add, mul, max or min");
}

void combine_blocks(const RunContext& ctx, Combine reduction, DType dtype, int64_t block, int64_t count, const void* x, void* y, Locate locate) {
  if (reduction == Combine::none) return scatter_blocks(ctx, dtype, block, count, x, y, locate);
  int64_t at[locate_limit];
  for (int64_t i = 0; i < count; i += locate_limit) {
    const int64_t n = std::min(locate_limit, count - i);
    locate(i, i + n, at);
    for (int64_t k = 0; k < n; ++k)
      combine_block(reduction, dtype, element(x, dtype, (i + k) * block), element(y, dtype, at[k] * block), block);
  }
}

}  // namespace outpost
