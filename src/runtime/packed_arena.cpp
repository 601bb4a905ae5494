// Pieces grow with what is packed, so that a small model takes little and a large one few pieces.
#include "runtime/packed_arena.h"

#include <algorithm>

namespace outpost {
namespace {

constexpr size_t alignment = 64, least_piece = size_t{64} << 10, most_piece = size_t{32} << 20;

}  // namespace

Tensor PackedArena::take(size_t bytes) {
  std::lock_guard lock(mutex_);
  const size_t begin = (used_ + alignment - 1) / alignment * alignment;
  if (piece_.defined() && begin <= piece_.bytes() && bytes <= piece_.bytes() - begin) {
    used_ = begin + bytes;
    return Tensor::share(piece_.buffer().owner, static_cast<char*>(piece_.raw()) + begin, DType::u8, {static_cast<int64_t>(bytes)});
  }
  const size_t size = std::clamp(total_, least_piece, most_piece);
  total_ += bytes > size / 4 ? bytes : size;
  if (bytes > size / 4) return Tensor(DType::u8, {static_cast<int64_t>(bytes)});  // a piece of its own; the open one goes on
  piece_ = Tensor(DType::u8, {static_cast<int64_t>(size)});
  used_ = bytes;
  return Tensor::share(piece_.buffer().owner, piece_.raw(), DType::u8, {static_cast<int64_t>(bytes)});
}

Tensor PackedArena::packed(std::string_view, size_t bytes, FunctionRef<void(void*)> fill) {
  Tensor memory = take(bytes);
  fill(memory.raw());
  return memory;
}

}  // namespace outpost
