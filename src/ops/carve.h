// Carve: one function lays out an operator's scratch memory, and serves both OpDef::scratch (which measures, with no
// base) and run (which places). Blocks are 64-byte aligned.
//
//   struct Layout { float* rows; … };
//   Layout lay_out(Carve& c, …) { return {c.take<float>(n), …}; }
#pragma once
#include <cstddef>
#include <cstdint>

#include "outpost/tensor.h"

namespace outpost {

class Carve {
 public:
  explicit Carve(void* base = nullptr) : base_(static_cast<std::byte*>(base)) {}
  template <class T>
  T* take(int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<size_t>(checked_count(Shape{count, int64_t{sizeof(T)}}))));
  }
  void* take_bytes(size_t bytes) {
    std::byte* block = base_ ? base_ + used_ : nullptr;
    used_ += (bytes + 63) / 64 * 64;
    return block;
  }
  size_t bytes() const noexcept { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

}  // namespace outpost
