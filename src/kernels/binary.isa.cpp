// Elementwise functions of two f32 operands, either of which may be one value for all.
#include "kernels/simd.h"
#include "kernels/table.h"

namespace outpost::kernels {
namespace {

using Function = F32 (*)(F32 a, F32 b);

// Step: 1 reads along, 0 repeats the value loaded before the loop.
template <Function function, int a_step, int b_step>
void map(const float* a, const float* b, float* y, int64_t n) {
  const F32 one_a = broadcast(a[0]), one_b = broadcast(b[0]);
  const auto at = [&](int64_t i) {
    return function(a_step ? load(a + i) : one_a, b_step ? load(b + i) : one_b);
  };
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const F32 first = at(i), second = at(i + lanes);
    store(y + i, first);
    store(y + i + lanes, second);
  }
  for (; i + lanes <= n; i += lanes) store(y + i, at(i));
  if (i == n) return;
  const F32 last_a = a_step ? load_part(a + i, n - i) : one_a, last_b = b_step ? load_part(b + i, n - i) : one_b;
  store_part(y + i, function(last_a, last_b), n - i);
}

template <Function function>
void dispatch(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n) {
  if (n == 0) return;
  if (a_step && b_step) return map<function, 1, 1>(a, b, y, n);
  if (a_step) return map<function, 1, 0>(a, b, y, n);
  if (b_step) return map<function, 0, 1>(a, b, y, n);
  map<function, 0, 0>(a, b, y, n);
}

inline F32 add(F32 a, F32 b) { return a + b; }
inline F32 subtract(F32 a, F32 b) { return a - b; }
inline F32 multiply(F32 a, F32 b) { return a * b; }
inline F32 divide(F32 a, F32 b) { return a / b; }

void multiply_add(const float* x, float scale, float offset, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, load(x + i) * scale + offset);
  if (i < n) store_part(y + i, load_part(x + i, n - i) * scale + offset, n - i);
}

}  // namespace

void OUTPOST_ISA::fill_binary(Kernels& table) {
  const auto set = [&table](Binary name, BinaryKernel kernel) { table.binary[int(name)] = kernel; };
  set(Binary::add, dispatch<add>);
  set(Binary::subtract, dispatch<subtract>);
  set(Binary::multiply, dispatch<multiply>);
  set(Binary::divide, dispatch<divide>);
  set(Binary::min, dispatch<min_nan<F32>>);
  set(Binary::max, dispatch<max_nan<F32>>);
  table.multiply_add = multiply_add;
}

}  // namespace outpost::kernels
