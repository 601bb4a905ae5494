// Shape: a small vector of dims. Up to `inline_rank` live inside; beyond that one block for `max_rank` is taken, so
// that growing never reallocates twice.
#include <algorithm>

#include "base/text.h"
#include "outpost/tensor.h"

namespace outpost {

namespace {

void require_rank(size_t rank) {
  if (rank > Shape::max_rank)
    fail(ErrorCode::limit, "a shape of rank ", rank, "; at most ", int(Shape::max_rank), " axes are supported");
}

}  // namespace

Shape::Shape(const int64_t* dims, size_t rank) : data_(inline_), rank_(0) {
  require_rank(rank);
  if (rank > inline_rank) data_ = new int64_t[max_rank];
  std::copy_n(dims, rank, data_);
  rank_ = static_cast<int>(rank);
}

Shape::Shape(Shape&& o) noexcept : data_(inline_), rank_(o.rank_) {
  if (o.data_ != o.inline_) {
    data_ = o.data_;
    o.data_ = o.inline_;
  } else {
    std::copy_n(o.inline_, rank_, inline_);
  }
  o.rank_ = 0;
}

Shape& Shape::operator=(const Shape& o) {
  if (this == &o) return *this;
  if (o.rank_ > inline_rank && data_ == inline_) data_ = new int64_t[max_rank];
  std::copy_n(o.data_, o.rank_, data_);
  rank_ = o.rank_;
  return *this;
}

Shape& Shape::operator=(Shape&& o) noexcept {
  if (this == &o) return *this;
  if (o.data_ != o.inline_) {
    if (data_ != inline_) delete[] data_;
    data_ = o.data_;
    o.data_ = o.inline_;
  } else {
    std::copy_n(o.inline_, o.rank_, data_);
  }
  rank_ = o.rank_;
  o.rank_ = 0;
  return *this;
}

void Shape::insert(int axis, int64_t dim) {
  resize(rank_ + 1);
  std::copy_backward(data_ + axis, data_ + rank_ - 1, data_ + rank_);
  data_[axis] = dim;
}

void Shape::erase(int axis) noexcept {
  std::copy(data_ + axis + 1, data_ + rank_, data_ + axis);
  --rank_;
}

void Shape::resize(int rank, int64_t fill) {
  require_rank(static_cast<size_t>(rank));
  if (rank > inline_rank && data_ == inline_) {
    data_ = new int64_t[max_rank];
    std::copy_n(inline_, rank_, data_);
  }
  if (rank > rank_) std::fill(data_ + rank_, data_ + rank, fill);
  rank_ = rank;
}

int64_t Shape::count(int first, int last) const noexcept {
  int64_t product = 1;
  for (int i = first; i < last; ++i) product *= data_[i];
  return product;
}

bool Shape::operator==(const Shape& o) const noexcept { return std::equal(begin(), end(), o.begin(), o.end()); }

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i) out += ',';
    append_integer(out, shape[i]);
  }
  return out += ']';
}

int64_t checked_count(std::span<const int64_t> dims) {
  constexpr int64_t most = int64_t(1) << 62;
  int64_t product = 1;
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) fail(ErrorCode::limit, "a shape with the negative dimension ", dim);
    if (dim == 0) empty = true;
    else if (product > most / dim) fail(ErrorCode::limit, "a shape of more than 2^62 elements");
    else product *= dim;
  }
  return empty ? 0 : product;
}

}  // namespace outpost
