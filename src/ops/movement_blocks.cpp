// Gathers and scatters of whole blocks, and the unpacking of sub-byte types. A block of 1, 2, 4, 8 or 16 bytes is one
// load and one store; longer ones are memcpy; strings are assigned.
#include <algorithm>
#include <cstring>

#include "ops/movement.h"

namespace outpost {
namespace {

struct Wide {
  uint64_t low, high;
};

// What to do with one chunk of blocks: `at` is where each lies in `x` (gather) or in `y` (scatter).
using MoveBlocks = void (*)(const void* x, void* y, const int64_t* at, int64_t count, int64_t bytes);

template <class T>
void gather_unit(const void* x, void* y, const int64_t* at, int64_t count, int64_t) {
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < count; ++i) to[i] = from[at[i]];
}

template <class T>
void scatter_unit(const void* x, void* y, const int64_t* at, int64_t count, int64_t) {
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < count; ++i) to[at[i]] = from[i];
}

void gather_bytes(const void* x, void* y, const int64_t* at, int64_t count, int64_t bytes) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(static_cast<char*>(y) + i * bytes, static_cast<const char*>(x) + at[i] * bytes, static_cast<size_t>(bytes));
}

void scatter_bytes(const void* x, void* y, const int64_t* at, int64_t count, int64_t bytes) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(static_cast<char*>(y) + at[i] * bytes, static_cast<const char*>(x) + i * bytes, static_cast<size_t>(bytes));
}

void gather_strings(const void* x, void* y, const int64_t* at, int64_t count, int64_t bytes) {
  const int64_t block = bytes / static_cast<int64_t>(sizeof(std::string));
  const auto* from = static_cast<const std::string*>(x);
  for (int64_t i = 0; i < count; ++i)
    std::copy(from + at[i] * block, from + (at[i] + 1) * block, static_cast<std::string*>(y) + i * block);
}

void scatter_strings(const void* x, void* y, const int64_t* at, int64_t count, int64_t bytes) {
  const int64_t block = bytes / static_cast<int64_t>(sizeof(std::string));
  const auto* from = static_cast<const std::string*>(x);
  for (int64_t i = 0; i < count; ++i)
    std::copy(from + i * block, from + (i + 1) * block, static_cast<std::string*>(y) + at[i] * block);
}

bool aligned(const void* x, const void* y, int64_t bytes) {
  const auto mask = static_cast<uintptr_t>(std::min<int64_t>(bytes, 8) - 1);
  return ((reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) & mask) == 0;
}

MoveBlocks choose(bool gather, DType dtype, const void* x, const void* y, int64_t bytes) {
  if (dtype == DType::string) return gather ? &gather_strings : &scatter_strings;
  if (!aligned(x, y, bytes)) return gather ? &gather_bytes : &scatter_bytes;
  switch (bytes) {
    case 1: return gather ? &gather_unit<uint8_t> : &scatter_unit<uint8_t>;
    case 2: return gather ? &gather_unit<uint16_t> : &scatter_unit<uint16_t>;
    case 4: return gather ? &gather_unit<uint32_t> : &scatter_unit<uint32_t>;
    case 8: return gather ? &gather_unit<uint64_t> : &scatter_unit<uint64_t>;
    case 16: return gather ? &gather_unit<Wide> : &scatter_unit<Wide>;
    default: return gather ? &gather_bytes : &scatter_bytes;
  }
}

}  // namespace

void gather_blocks(const RunContext& ctx, DType dtype, int64_t block, int64_t count, const void* x, void* y, Locate locate) {
  const int64_t bytes = block * element_bytes(dtype);
  if (bytes == 0) return;
  const MoveBlocks move = choose(true, dtype, x, y, bytes);
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(bytes, 4));
  ctx.parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
    int64_t at[locate_limit];
    for (int64_t i = begin; i < end; i += locate_limit) {
      const int64_t n = std::min(locate_limit, end - i);
      locate(i, i + n, at);
      move(x, static_cast<char*>(y) + i * bytes, at, n, bytes);
    }
  });
}

void scatter_blocks(const RunContext&, DType dtype, int64_t block, int64_t count, const void* x, void* y, Locate locate) {
  const int64_t bytes = block * element_bytes(dtype);
  if (bytes == 0) return;
  const MoveBlocks move = choose(false, dtype, x, y, bytes);
  int64_t at[locate_limit];
  for (int64_t i = 0; i < count; i += locate_limit) {
    const int64_t n = std::min(locate_limit, count - i);
    locate(i, i + n, at);
    move(static_cast<const char*>(x) + i * bytes, y, at, n, bytes);
  }
}

const void* whole_bytes(RunContext& ctx, const View& view) {
  if (!is_packed(view.dtype)) return view.data;
  const int width = bits(view.dtype), per_byte = 8 / width, mask = (1 << width) - 1;
  const int64_t count = view.count();
  const auto* from = static_cast<const uint8_t*>(view.data);
  auto* to = static_cast<uint8_t*>(ctx.temporary(static_cast<size_t>(count)));
  for (int64_t i = 0; i < count; ++i)
    to[i] = static_cast<uint8_t>(from[i / per_byte] >> (i % per_byte * width) & mask);
  return to;
}

void Staged::commit() const {
  if (data_ == out_.data) return;
  const int width = bits(out_.dtype), per_byte = 8 / width, mask = (1 << width) - 1;
  const int64_t count = out_.count();
  const auto* from = static_cast<const uint8_t*>(data_);
  auto* to = static_cast<uint8_t*>(out_.data);
  std::memset(to, 0, out_.bytes());
  for (int64_t i = 0; i < count; ++i)
    to[i / per_byte] = static_cast<uint8_t>(to[i / per_byte] | (from[i] & mask) << (i % per_byte * width));
}

}  // namespace outpost
