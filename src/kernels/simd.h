// One register of the instruction set that a kernel file is compiled for, on the compilers' vector extensions: plain
// operators work lane by lane, `mask ? a : b` selects, `a * b + c` becomes a fused multiply-add where there is one.
// Everything lives in an anonymous namespace: code compiled for a wide set must never be linked into a plainer one.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace outpost::kernels {
namespace {

#if defined(OUTPOST_ISA_avx512)
constexpr int vector_bytes = 64;
#elif defined(OUTPOST_ISA_avx2)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

using F32 = Vector<float>;
using F64 = Vector<double>;
using I32 = Vector<int32_t>;
using U32 = Vector<uint32_t>;
constexpr int lanes = vector_bytes / 4;

template <class T>
inline Vector<T> load(const T* p) {
  Vector<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline void store(T* p, Vector<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class T>
inline Vector<T> broadcast(T x) {
  return x - Vector<T>{};
}

inline I32 as_int(F32 v) { return (I32)v; }
inline F32 as_float(I32 v) { return (F32)v; }

inline I32 lane_index() {
  I32 v;
  for (int i = 0; i < lanes; ++i) v[i] = i;
  return v;
}

// The first n lanes, 0 <= n <= lanes; the others read as zero and are not touched in memory.
inline F32 load_part(const float* p, int64_t n) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  return (F32)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(OUTPOST_ISA_avx2)
  return (F32)_mm256_maskload_ps(p, (__m256i)(lane_index() < (int32_t)n));
#else
  F32 v = {};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}

inline void store_part(float* p, F32 v, int64_t n) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(OUTPOST_ISA_avx2)
  _mm256_maskstore_ps(p, (__m256i)(lane_index() < (int32_t)n), (__m256)v);
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// Other element types: whole vectors only matter for speed, so their tails go lane by lane.
template <class T>
inline Vector<T> load_part(const T* p, int64_t n) {
  Vector<T> v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}

template <class T>
inline void store_part(T* p, Vector<T> v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

inline F32 select(I32 mask, F32 yes, F32 no) { return mask ? yes : no; }
inline F32 absolute(F32 x) { return as_float(as_int(x) & 0x7fffffff); }
inline F32 copy_sign(F32 magnitude, F32 sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & INT32_MIN));
}

// The second operand where either is NaN, as the x86 instructions do.
template <class V>
inline V min_second(V a, V b) {
  return a < b ? a : b;
}
template <class V>
inline V max_second(V a, V b) {
  return a > b ? a : b;
}

// NaN where either operand is NaN.
template <class V>
inline V min_nan(V a, V b) {
  return a != a ? a : min_second(a, b);
}
template <class V>
inline V max_nan(V a, V b) {
  return a != a ? a : max_second(a, b);
}

// x within [low, high]; NaN stays NaN.
template <class V>
inline V clamp(V x, V low, V high) {
  return min_second(high, max_second(low, x));
}

inline F32 square_root(F32 x) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  return (F32)_mm512_sqrt_ps((__m512)x);
#elif defined(OUTPOST_ISA_avx2)
  return (F32)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < lanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

}  // namespace
}  // namespace outpost::kernels
