// Broadcasting, collapsed: the axes of an output that all operands walk alike are joined, axes of size 1 dropped, so
// that most broadcasts become one or two loops. Built on the stack for every run: it costs less than looking it up.
#pragma once
#include <cstdint>

#include "tensor/view.h"

namespace outpost {

struct Broadcast {
  static constexpr int max_operands = 3;
  int rank = 0, operands = 0;
  int64_t count = 1;                                      // elements of the output
  int64_t dims[Shape::max_rank];                          // the collapsed output; dims[rank - 1] is the inner loop
  int64_t strides[max_operands][Shape::max_rank];         // in elements; 0 where the operand repeats
  bool contiguous[max_operands] = {};                     // walks memory like the output
  bool scalar[max_operands] = {};                         // one element for all

  int64_t inner() const noexcept { return rank ? dims[rank - 1] : 1; }
  int64_t inner_stride(int k) const noexcept { return rank ? strides[k][rank - 1] : 0; }
  // Where element `index` of the output (in row-major order) lies in operand k.
  int64_t offset(int k, int64_t index) const noexcept;
  // Elements [begin, begin + n) of operand k as the output sees them, copied to `to`. bytes: 1, 2, 4, 8 or 16.
  void gather(int k, const void* from, int bytes, int64_t begin, int64_t n, void* to) const noexcept;
};

// Every operand's shape broadcasts to `out`.
Broadcast make_broadcast(const Shape& out, std::initializer_list<const Shape*> operands);

// Where rows of the inner loop start: walks the outer axes.
class BroadcastCursor {
 public:
  BroadcastCursor(const Broadcast& b, int64_t begin) noexcept;
  // Elements left in the current inner row.
  int64_t left() const noexcept { return b_.inner() - inner_; }
  int64_t offset(int k) const noexcept { return offset_[k] + inner_ * b_.inner_stride(k); }
  // n <= left()
  void advance(int64_t n) noexcept;
  // At the start of an inner row: rows up to where an axis further out moves, and the step over that many or fewer.
  int64_t rows_left() const noexcept { return b_.rank < 2 ? 1 : b_.dims[b_.rank - 2] - index_[b_.rank - 2]; }
  void advance_rows(int64_t rows) noexcept;

 private:
  const Broadcast& b_;
  int64_t inner_ = 0;
  int64_t offset_[Broadcast::max_operands] = {};
  int64_t index_[Shape::max_rank];
};

}  // namespace outpost
