// Elementwise operators: y = f(x; a, b) and y = f(x0, x1) with broadcasting. An operator is a table of rows, loops over
// flat memory in one of the four compute types; what is stored otherwise goes through them in tiles (tensor/convert.h).
// f32 rows may name a SIMD kernel instead.
//
//   constexpr auto tan = [](auto x, auto, auto) { return std::tan(x); };
//   constexpr UnaryRows tan_rows = float_rows<tan>();
//   OUTPOST_DEFINE_OP(Tan, .name = "Tan", .infer = infer_unary<floats>, .run = run_unary<tan_rows>);
#pragma once
#include <bit>
#include <type_traits>

#include "kernels/kernels.h"
#include "ops/broadcast.h"
#include "ops/op.h"

namespace outpost {

// Sets of dtypes, as bits.
constexpr uint32_t dtype_set(std::initializer_list<DType> types) {
  uint32_t set = 0;
  for (DType t : types) set |= uint32_t(1) << static_cast<int>(t);
  return set;
}
constexpr bool contains(uint32_t set, DType t) { return set >> static_cast<int>(t) & 1; }
constexpr uint32_t floats = dtype_set({DType::f32, DType::f64, DType::f16, DType::bf16});
constexpr uint32_t float8s = dtype_set({DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz});
constexpr uint32_t signed_integers = dtype_set({DType::i8, DType::i16, DType::i32, DType::i64});
constexpr uint32_t unsigned_integers = dtype_set({DType::u8, DType::u16, DType::u32, DType::u64});
constexpr uint32_t integers = signed_integers | unsigned_integers;
constexpr uint32_t booleans = dtype_set({DType::boolean});
constexpr uint32_t strings = dtype_set({DType::string});
// Fails, listing what is allowed, when input i is known to be none of the set.
void require_types(const InferContext& c, int i, uint32_t set);

constexpr int64_t elementwise_grain = 16384;  // elements a thread takes at a time
constexpr int64_t elementwise_tile = 1024;    // elements converted at a time; a multiple of every packing
// A tile in any compute type (complex128 aside).
struct alignas(64) TileBuffer {
  char bytes[elementwise_tile * 8];
};
// Like load and store of tensor/convert.h, with the SIMD conversions where there are any.
void load_tile(DType storage, const void* from, int64_t first, int64_t n, DType compute, void* to);
void store_tile(DType compute, const void* from, int64_t n, DType storage, void* to, int64_t first);

// ---- one operand
using UnaryRow = void (*)(const void* x, void* y, int64_t n, double a, double b);
struct UnaryRows {
  int kernel = -1;                             // kernels::Unary, for f32
  UnaryRow f32 = nullptr, f64 = nullptr, i64 = nullptr, u64 = nullptr;
  bool predicate = false;                      // the result is bool, one byte an element
};
struct UnaryParameters {
  double a = 0, b = 0;
};

template <auto f, class T, class R = T>
void unary_row(const void* x, void* y, int64_t n, double a, double b) {
  auto* in = static_cast<const T*>(x);
  auto* out = static_cast<R*>(y);
  const T p = static_cast<T>(a), q = static_cast<T>(b);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(in[i], p, q));
}
template <auto f>
constexpr UnaryRows float_rows() { return {.f32 = unary_row<f, float>, .f64 = unary_row<f, double>}; }
template <auto f, kernels::Unary kernel>
constexpr UnaryRows float_rows() {
  return {.kernel = int(kernel), .f32 = unary_row<f, float>, .f64 = unary_row<f, double>};
}
template <auto f>
constexpr UnaryRows number_rows(int kernel = -1) {
  return {.kernel = kernel,
          .f32 = unary_row<f, float>,
          .f64 = unary_row<f, double>,
          .i64 = unary_row<f, int64_t>,
          .u64 = unary_row<f, uint64_t>};
}

void map_unary(RunContext& c, const UnaryRows& rows, const View& x, View& y, double a, double b);
// apply(in, out, n) on runs of x loaded as `compute`, giving `result`; in and out may be the same memory.
void map_flat(RunContext& c, const View& x, View& y, DType compute, DType result,
              FunctionRef<void(const void* in, void* out, int64_t n)> apply);

// The parameters are those that `prepare` made, if it did.
template <const UnaryRows& rows>
void run_unary(RunContext& c) {
  const auto* p = static_cast<const UnaryParameters*>(c.prepared_);
  map_unary(c, rows, c.in(0), c.out(0), p ? p->a : 0, p ? p->b : 0);
}
template <uint32_t types>
void infer_unary(InferContext& c) {
  require_types(c, 0, types);
  c.output(0, c.input(0));
}
template <uint32_t types>
void infer_predicate(InferContext& c) {
  require_types(c, 0, types);
  Type t = c.input(0);
  t.dtype = DType::boolean;
  c.output(0, std::move(t));
}

// ---- two operands, broadcast
using BinaryRow = void (*)(const void* a, int64_t a_step, const void* b, int64_t b_step, void* y, int64_t n);
struct BinaryRows {
  int kernel = -1;                             // kernels::Binary, for f32
  BinaryRow f32 = nullptr, f64 = nullptr, i64 = nullptr, u64 = nullptr, boolean = nullptr;
  bool predicate = false;
};

// Steps are 0 or 1.
template <auto f, class T, class R = T>
void binary_row(const void* av, int64_t a_step, const void* bv, int64_t b_step, void* yv, int64_t n) {
  auto* a = static_cast<const T*>(av);
  auto* b = static_cast<const T*>(bv);
  auto* y = static_cast<R*>(yv);
  if (a_step && b_step) {
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(f(a[i], b[i]));
  } else if (a_step) {
    const T right = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(f(a[i], right));
  } else {
    const T left = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(f(left, b[i * b_step]));
  }
}
template <auto f>
constexpr BinaryRows arithmetic_rows(int kernel = -1) {
  return {.kernel = kernel,
          .f32 = binary_row<f, float>,
          .f64 = binary_row<f, double>,
          .i64 = binary_row<f, int64_t>,
          .u64 = binary_row<f, uint64_t>};
}
template <auto f>
constexpr BinaryRows predicate_rows() {
  return {.f32 = binary_row<f, float, uint8_t>,
          .f64 = binary_row<f, double, uint8_t>,
          .i64 = binary_row<f, int64_t, uint8_t>,
          .u64 = binary_row<f, uint64_t, uint8_t>,
          .predicate = true};
}

// y = f(a, b); `compute` is the type both are loaded in (undefined: that of a).
void map_binary(RunContext& c, const BinaryRows& rows, const View& a, const View& b, View& y,
                DType compute = DType::undefined);

template <const BinaryRows& rows>
void run_binary(RunContext& c) { map_binary(c, rows, c.in(0), c.in(1), c.out(0)); }

// Output: the operands' broadcast shape, in their common dtype.
template <uint32_t types>
void infer_binary(InferContext& c) {
  for (int i = 0; i < c.inputs(); ++i) {
    require_types(c, i, types);
    c.require_same_dtype(0, i);
  }
  infer_broadcast(c);
}
// The same, and bool.
template <uint32_t types>
void infer_comparison(InferContext& c) {
  require_types(c, 0, types);
  c.require_same_dtype(0, 1);
  if (c.ranked(0) && c.ranked(1)) c.output(0, DType::boolean, broadcast(c, c.dims(0), c.dims(1)));
  else c.output(0, DType::boolean);
}

// Binary operators of opset 1 and 6: `axis` and `broadcast` become a reshape of the second operand.
void upgrade_axis_broadcast(UpgradeContext& c);
// Drops opset 1's `consumed_inputs`.
void upgrade_consumed_inputs(UpgradeContext& c);

}  // namespace outpost
