// Output shapes that follow from input *values* (Reshape, Slice, Tile, …). Where the values are known when the plan is
// made, the shape rule says everything; where they are not, the same rule is asked again while running, with the values.
// So the rule is written once, and so are its checks.
#pragma once
#include "ops/run_context.h"
#include "tensor/view.h"

namespace outpost {

// Allocates every wanted output that the plan could not size, by running the node's shape rule on the actual inputs.
// Throws Error(invalid_data) with the rule's words when the values break it. Nothing to do in the common case.
void allocate_inferred(RunContext&);

// The output `i`, allocated now if the plan did not know its shape; a plan that knew another one is an error.
View& produce(RunContext&, int i, const Shape&);

// A tensor of i64, i32 (or another integer type) read as int64.
class Integers {
 public:
  explicit Integers(const View& view) noexcept : view_(view), count_(view.count()) {}
  int64_t size() const noexcept { return count_; }
  int64_t operator[](int64_t i) const noexcept {
    if (view_.dtype == DType::i64) return view_.as<int64_t>()[i];
    if (view_.dtype == DType::i32) return view_.as<int32_t>()[i];
    return other(i);
  }

 private:
  int64_t other(int64_t i) const noexcept;
  const View& view_;
  int64_t count_;
};

// An index counted from the end when negative; throws Error(invalid_data) outside [-size, size).
inline int64_t checked_index(const RunContext& ctx, int64_t index, int64_t size) {
  if (index < -size || index >= size) [[unlikely]]
    ctx.fail("index ", index, " is outside an axis of size ", size, "; use ", -size, "..", size - 1);
  return index < 0 ? index + size : index;
}

}  // namespace outpost
