// Moving elements without looking at them: strided copies, fills and block gathers by element size, on all threads.
// Everything that only rearranges memory (Transpose, Slice, Expand, Tile, Concat, Split, Pad, Gather, …) is one of these.
//
// Types narrower than a byte have no address: operators unpack them to one byte an element (`whole_bytes`), move the
// bytes, and pack the result (`Staged`). Strings are moved by assignment; their elements must be constructed.
#pragma once
#include "ops/op.h"

namespace outpost {

// Bytes from one element to the next, once sub-byte types are unpacked: 1, 2, 4, 8, 16, or sizeof(std::string).
int64_t element_bytes(DType) noexcept;
inline bool is_packed(DType dtype) noexcept { return bits(dtype) < 8; }
inline void* element(void* base, DType dtype, int64_t index) noexcept {
  return static_cast<char*>(base) + index * element_bytes(dtype);
}
inline const void* element(const void* base, DType dtype, int64_t index) noexcept {
  return static_cast<const char*>(base) + index * element_bytes(dtype);
}

// Row-major strides, in elements.
Shape strides_of(const Shape&);

// y[Σ i·y_strides] = x[Σ i·x_strides] for every i in `extent`. Strides are in elements and may be 0 (x) or negative.
// Axes are merged first; a copy whose unit strides lie on different axes becomes blocked 2-D transposes.
void copy_strided(const RunContext&, DType, const Shape& extent, const void* x, const Shape& x_strides, void* y,
                  const Shape& y_strides);
// count elements, both contiguous; nothing when x is y.
void copy_elements(const RunContext&, DType, const void* x, void* y, int64_t count);
// All elements of x into y, whose shapes may differ but not their count; sub-byte types as they are packed.
void copy_view(const RunContext&, const View& x, const View& y);
// y[0..count) = *value.
void fill_elements(const RunContext&, DType, const void* value, void* y, int64_t count);

// y block i = x block at[i], for blocks of `block` contiguous elements. `locate(begin, end, at)` writes the block numbers
// of [begin, end), already checked, and may throw; it is called from several threads, never for more than
// `locate_limit` blocks at once.
inline constexpr int64_t locate_limit = 256;
using Locate = FunctionRef<void(int64_t begin, int64_t end, int64_t* at)>;
void gather_blocks(const RunContext&, DType, int64_t block, int64_t count, const void* x, void* y, Locate locate);
// y block at[i] = x block i, one after another: the last of several writes to one block stays.
void scatter_blocks(const RunContext&, DType, int64_t block, int64_t count, const void* x, void* y, Locate locate);

// The elements of a view at whole bytes: its own memory, or for sub-byte types a copy that lives as long as the call.
const void* whole_bytes(RunContext&, const View&);

// Memory for an output's elements at whole bytes; `commit` packs them where that is not the output itself.
class Staged {
 public:
  Staged(RunContext& ctx, const View& out)
      : out_(out), data_(is_packed(out.dtype) ? ctx.temporary(static_cast<size_t>(out.count())) : out.data) {}
  void* data() const noexcept { return data_; }
  void commit() const;

 private:
  const View& out_;
  void* data_;
};

// Of operators that only move elements: no arithmetic; each element of the outputs is read and written.
Cost movement_cost(const CostContext&);

// Walks positions of `extent` in row-major order, keeping the offset that `strides` give them.
class Odometer {
 public:
  Odometer(const Shape& extent, const Shape& strides, int64_t position);
  int64_t offset() const noexcept { return offset_; }
  int64_t at(int axis) const noexcept { return index_[axis]; }
  void next() noexcept {
    for (int axis = extent_.rank() - 1; axis >= 0; --axis) {
      offset_ += strides_[axis];
      if (++index_[axis] < extent_[axis]) return;
      offset_ -= strides_[axis] * extent_[axis];
      index_[axis] = 0;
    }
  }

 private:
  const Shape& extent_;
  const Shape& strides_;
  Shape index_;
  int64_t offset_ = 0;
};

}  // namespace outpost
