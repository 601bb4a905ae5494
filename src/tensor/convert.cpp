// Conversion by hops: storage → its compute type → the target's compute type → target. The hops are rows of a table;
// a pair that has a row of its own (f32 with everything narrow) takes one hop, every other pair at most four, through
// tiles that stay in L1. Sub-byte types are unpacked to and packed from bytes around that.
//
// This file is compiled with -O3 for its loops; they are written without branches so that they vectorise.
#include "tensor/convert.h"

#include <algorithm>
#include <array>
#include <complex>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/text.h"
#include "tensor/float_types.h"

namespace outpost {

namespace {

struct Bool {
  uint8_t byte;
};
template <DType>
struct Small {  // an 8-bit float
  uint8_t bits;
};
using c64 = std::complex<float>;
using c128 = std::complex<double>;

template <class T>
constexpr bool is_small = false;
template <DType D>
constexpr bool is_small<Small<D>> = true;
template <class T>
constexpr bool is_complex = std::is_same_v<T, c64> || std::is_same_v<T, c128>;

// Towards zero; NaN and what does not fit become the type's minimum, or 0 for unsigned types.
template <class To, class From>
To truncate(From x) noexcept {
  constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
  constexpr From high = static_cast<From>(uint64_t(1) << (std::numeric_limits<To>::digits - 1)) * 2;
  const bool fits = x >= low && x < high;
  const From safe = fits ? x : From(0);
  To result;
  if constexpr (sizeof(To) < 4) result = static_cast<To>(static_cast<int32_t>(safe));
  else result = static_cast<To>(safe);
  return fits ? result : std::numeric_limits<To>::min();
}

// binary16 by selection between three cases, each computed for every element.
float widen(uint16_t h) noexcept {
  const uint32_t magnitude = h & 0x7fff;
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t normal = (magnitude << 13) + (magnitude >= 0x7c00 ? 0x70000000u : 0x38000000u);
  const uint32_t bits = magnitude < 0x400 ? std::bit_cast<uint32_t>(subnormal) : normal;
  return std::bit_cast<float>(bits | (uint32_t(h & 0x8000) << 16));
}

uint16_t narrow(float f) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(f), magnitude = u & 0x7fffffff;
  // Adding 0.5 lets the addition round a subnormal at its last bit, 2^-24.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  const uint32_t normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t special = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  const uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
  return static_cast<uint16_t>((magnitude < 0x477ff000 ? finite : special) | (u >> 16 & 0x8000));
}

template <class To, class From>
To cast(From x) noexcept {
  if constexpr (std::is_same_v<From, Bool>) return static_cast<To>(x.byte != 0);
  else if constexpr (std::is_same_v<To, Bool>) return Bool{static_cast<uint8_t>(x != From(0))};
  else if constexpr (std::is_same_v<From, Float16>) return static_cast<To>(widen(x.bits));
  else if constexpr (std::is_same_v<From, BFloat16>) return static_cast<To>(bf16_to_f32(x.bits));
  else if constexpr (std::is_same_v<To, Float16> && std::is_same_v<From, double>) return {f64_to_f16(x)};
  else if constexpr (std::is_same_v<To, Float16>) return {narrow(x)};
  else if constexpr (std::is_same_v<To, BFloat16> && std::is_same_v<From, double>) return {f64_to_bf16(x)};
  else if constexpr (std::is_same_v<To, BFloat16>) return {f32_to_bf16(x)};
  else if constexpr (is_complex<From> && is_complex<To>) return To(x);
  else if constexpr (is_complex<From>) return static_cast<To>(x.real());
  else if constexpr (is_complex<To>) return To(static_cast<typename To::value_type>(x));
  else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) return truncate<To>(x);
  else return static_cast<To>(x);
}

using Row = void (*)(const void* from, void* to, int64_t count, bool saturate);

template <class From, class To>
void row(const void* from, void* to, int64_t count, bool) {
  auto* __restrict x = static_cast<const From*>(from);
  auto* __restrict y = static_cast<To*>(to);
  for (int64_t i = 0; i < count; ++i) y[i] = cast<To>(x[i]);
}

template <DType D>
void widen_small(const void* from, void* to, int64_t count, bool) {
  for (int64_t i = 0; i < count; ++i)
    static_cast<float*>(to)[i] = small_to_f32(D, static_cast<const uint8_t*>(from)[i]);
}
template <DType D>
void narrow_small(const void* from, void* to, int64_t count, bool saturate) {
  for (int64_t i = 0; i < count; ++i)
    static_cast<uint8_t*>(to)[i] = f32_to_small(D, static_cast<const float*>(from)[i], saturate);
}
void odd(const void* from, void* to, int64_t count, bool) {
  for (int64_t i = 0; i < count; ++i) static_cast<float*>(to)[i] = f64_to_f32_odd(static_cast<const double*>(from)[i]);
}

constexpr size_t dtypes = 27;
using Table = std::array<std::array<Row, dtypes>, dtypes>;

template <class A, class B>
constexpr void both(Table& t, DType a, DType b) {
  t[size_t(a)][size_t(b)] = row<A, B>;
  t[size_t(b)][size_t(a)] = row<B, A>;
}
template <DType D>
constexpr void both_small(Table& t) {
  t[size_t(D)][size_t(DType::f32)] = widen_small<D>;
  t[size_t(DType::f32)][size_t(D)] = narrow_small<D>;
}

constexpr Table make_table() {
  using enum DType;
  Table t{};
  both<float, double>(t, f32, f64);
  both<float, int64_t>(t, f32, i64);
  both<float, uint64_t>(t, f32, u64);
  both<double, int64_t>(t, f64, i64);
  both<double, uint64_t>(t, f64, u64);
  both<int64_t, uint64_t>(t, i64, u64);
  both<c128, c64>(t, complex128, complex64);
  both<c128, double>(t, complex128, f64);
  both<float, Float16>(t, f32, f16);
  both<float, BFloat16>(t, f32, bf16);
  both<double, Float16>(t, f64, f16);
  both<double, BFloat16>(t, f64, bf16);
  both<float, Bool>(t, f32, boolean);
  both<float, uint8_t>(t, f32, u8);
  both<float, int8_t>(t, f32, i8);
  both<float, uint16_t>(t, f32, u16);
  both<float, int16_t>(t, f32, i16);
  both<float, int32_t>(t, f32, i32);
  both<float, uint32_t>(t, f32, u32);
  both<double, Bool>(t, f64, boolean);
  both<double, uint8_t>(t, f64, u8);
  both<double, int8_t>(t, f64, i8);
  both<double, uint16_t>(t, f64, u16);
  both<double, int16_t>(t, f64, i16);
  both<double, int32_t>(t, f64, i32);
  both<double, uint32_t>(t, f64, u32);
  both<int64_t, Bool>(t, i64, boolean);
  both<uint64_t, Bool>(t, u64, boolean);
  both<int64_t, int8_t>(t, i64, i8);
  both<int64_t, int16_t>(t, i64, i16);
  both<int64_t, int32_t>(t, i64, i32);
  both<int64_t, uint8_t>(t, i64, u8);
  both<int64_t, uint32_t>(t, i64, u32);
  both<uint64_t, uint8_t>(t, u64, u8);
  both<uint64_t, uint16_t>(t, u64, u16);
  both<uint64_t, uint32_t>(t, u64, u32);
  both_small<f8e4m3fn>(t);
  both_small<f8e4m3fnuz>(t);
  both_small<f8e5m2>(t);
  both_small<f8e5m2fnuz>(t);
  both_small<f8e8m0>(t);
  both_small<f4e2m1>(t);  // unpacked: one code a byte
  return t;
}
constexpr Table table = make_table();

Row find_row(DType from, DType to) { return table[size_t(from)][size_t(to)]; }

constexpr int64_t tile = 512;
constexpr size_t widest = 16;

int64_t byte_width(DType type) { return std::max(bits(type) / 8, 1); }
bool is_packed(DType type) { return bits(type) < 8; }
// The type that unpacked elements of a packed type have, one a byte.
DType unpacked(DType type) {
  switch (type) {
    case DType::u4: case DType::u2: return DType::u8;
    case DType::i4: case DType::i2: return DType::i8;
    default: return type;
  }
}
bool is_narrow_float(DType type) { return compute_type(type) == DType::f32 && type != DType::f32; }

// At most four hops; `types` receives the stations after `from`.
int route(DType from, DType to, DType types[4]) {
  int n = 0;
  if (find_row(from, to)) {
    types[n++] = to;
    return n;
  }
  DType at = from;
  auto hop = [&](DType next) {
    if (next == at) return;
    if (!find_row(at, next)) fail(ErrorCode::unsupported, "no conversion from ", from, " to ", to);
    types[n++] = at = next;
  };
  const DType source = compute_type(from), target = compute_type(to);
  if (is_narrow_float(to) && source != DType::f32 && source != DType::complex128 && find_row(from, DType::f32) &&
      bits(from) <= 16) {
    hop(DType::f32);  // exact
  } else if (source == DType::complex128 || target == DType::complex128 ||
             (is_narrow_float(to) && source != DType::f32)) {
    hop(source);
    hop(DType::f64);
  } else {
    hop(source);
  }
  if (find_row(at, to)) {
    hop(to);
  } else {
    hop(target);
    hop(to);
  }
  return n;
}

// Byte-wide or wider types on both sides.
void chain(DType from_type, const char* from, DType to_type, char* to, int64_t count, bool saturate) {
  if (from_type == to_type) {
    if (count) std::memmove(to, from, static_cast<size_t>(count * byte_width(from_type)));
    return;
  }
  DType types[4];
  const int hops = route(from_type, to_type, types);
  if (hops == 1) return find_row(from_type, to_type)(from, to, count, saturate);
  alignas(64) char buffers[2][tile * widest];
  const int64_t from_width = byte_width(from_type), to_width = byte_width(to_type);
  for (int64_t i = 0; i < count; i += tile) {
    const int64_t n = std::min(tile, count - i);
    const void* source = from + i * from_width;
    DType at = from_type;
    for (int h = 0; h < hops; ++h) {
      void* target = h + 1 == hops ? to + i * to_width : buffers[h & 1];
      // f64 to a narrow float goes through f32 without rounding twice.
      Row step = at == DType::f64 && types[h] == DType::f32 && is_narrow_float(to_type) ? odd : find_row(at, types[h]);
      step(source, target, n, saturate);
      source = target;
      at = types[h];
    }
  }
}

// Elements of `width` bits, low bits first, one a byte; `sign` extends the sign bit.
void unpack(const uint8_t* from, int64_t first, int64_t count, int width, bool sign, uint8_t* to) {
  const int per_byte = 8 / width, mask = (1 << width) - 1, top = 1 << (width - 1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t element = first + i;
    const int code = from[element / per_byte] >> (element % per_byte * width) & mask;
    to[i] = static_cast<uint8_t>(sign ? (code ^ top) - top : code);
  }
}
// Bits of a last, partly filled byte beyond the run are kept when other elements may lie there, else they are zero.
void pack(const uint8_t* from, int64_t first, int64_t count, int width, uint8_t* to) {
  const int per_byte = 8 / width, mask = (1 << width) - 1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t element = first + i;
    const int slot = static_cast<int>(element % per_byte);
    uint8_t& byte = to[element / per_byte];
    if (slot == 0) byte = 0;
    byte = static_cast<uint8_t>((byte & ~(mask << slot * width)) | (from[i] & mask) << slot * width);
  }
}

bool is_signed_packed(DType type) { return type == DType::i4 || type == DType::i2; }

}  // namespace

DType compute_type(DType storage) noexcept {
  using enum DType;
  switch (storage) {
    case f32:
    case f16:
    case bf16:
    case f8e4m3fn:
    case f8e4m3fnuz:
    case f8e5m2:
    case f8e5m2fnuz:
    case f8e8m0:
    case f4e2m1: return f32;
    case u8: case u16: case u32: case u64: case u4: case u2: return u64;
    case i8: case i16: case i32: case i64: case i4: case i2: case boolean: return i64;
    case complex64: case complex128: return complex128;
    case f64: case string: case undefined: return storage;
  }
  return undefined;
}

void load(DType from_type, const void* from, int64_t first, int64_t count, DType to_type, void* to) {
  auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  if (!is_packed(from_type))
    return chain(from_type, source + first * byte_width(from_type), to_type, target, count, true);
  const DType bytes_type = unpacked(from_type);
  const bool sign = is_signed_packed(from_type);
  uint8_t buffer[tile];
  for (int64_t i = 0; i < count; i += tile) {
    const int64_t n = std::min(tile, count - i);
    unpack(reinterpret_cast<const uint8_t*>(source), first + i, n, bits(from_type), sign, buffer);
    chain(bytes_type, reinterpret_cast<const char*>(buffer), to_type, target + i * byte_width(to_type), n, true);
  }
}

void store(DType from_type, const void* from, int64_t count, DType to_type, void* to, int64_t first, bool saturate) {
  auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  if (!is_packed(to_type))
    return chain(from_type, source, to_type, target + first * byte_width(to_type), count, saturate);
  const DType bytes_type = unpacked(to_type), source_type = compute_type(from_type);
  const bool wraps = to_type != DType::f4e2m1 && (source_type == DType::f32 || source_type == DType::f64);
  uint8_t buffer[tile];
  int32_t whole[tile];
  for (int64_t i = 0; i < count; i += tile) {
    const int64_t n = std::min(tile, count - i);
    const char* values = source + i * byte_width(from_type);
    if (wraps) {
      chain(from_type, values, DType::i32, reinterpret_cast<char*>(whole), n, saturate);
      chain(DType::i32, reinterpret_cast<char*>(whole), bytes_type, reinterpret_cast<char*>(buffer), n, saturate);
    } else {
      chain(from_type, values, bytes_type, reinterpret_cast<char*>(buffer), n, saturate);
    }
    pack(buffer, first + i, n, bits(to_type), reinterpret_cast<uint8_t*>(target));
  }
}

void convert(DType from_type, const void* from, DType to_type, void* to, int64_t count, bool saturate) {
  if (from_type == to_type) {
    if (count) std::memmove(to, from, bytes_for(from_type, count));
  } else if (!is_packed(from_type)) {
    store(from_type, from, count, to_type, to, 0, saturate);
  } else if (!is_packed(to_type)) {
    load(from_type, from, 0, count, to_type, to);
  } else {
    uint8_t buffer[tile];
    const DType bytes_type = unpacked(from_type);
    for (int64_t i = 0; i < count; i += tile) {
      const int64_t n = std::min(tile, count - i);
      load(from_type, from, i, n, bytes_type, buffer);
      store(bytes_type, buffer, n, to_type, to, i, saturate);
    }
  }
}

}  // namespace outpost
