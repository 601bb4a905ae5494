// Broadcast: joining axes, and copying a broadcast operand into a dense tile.
#include "ops/broadcast.h"

#include <algorithm>
#include <cstring>

namespace outpost {

namespace {

// Axis `axis` of the output, counted from the last: how far the operand steps; 0 where it repeats.
int64_t operand_stride(const Shape& shape, int from_last, int64_t dense) {
  const int axis = shape.rank() - 1 - from_last;
  return axis < 0 || shape[axis] == 1 ? 0 : dense;
}

template <class W>
void gather_elements(const Broadcast& b, int k, const W* from, int64_t begin, int64_t n, W* to) noexcept {
  const int64_t stride = b.inner_stride(k);
  const bool repeats = b.rank >= 2 && b.strides[k][b.rank - 2] == 0;
  for (BroadcastCursor at(b, begin); n > 0;) {
    const int64_t m = std::min(n, at.left());
    const W* x = from + at.offset(k);
    if (stride == 0) {
      std::fill_n(to, m, *x);
    } else if (m < 16) {
      for (int64_t i = 0; i < m; ++i) to[i] = x[i];
    } else {
      std::memcpy(static_cast<void*>(to), x, static_cast<size_t>(m) * sizeof(W));
    }
    const int64_t rows = repeats && m == b.inner() ? std::min(n / m, at.rows_left()) : 1;
    if (rows > 1) {  // one row again and again: what is there is doubled
      for (int64_t done = m, all = rows * m; done < all; done *= 2)
        std::memcpy(static_cast<void*>(to + done), to, static_cast<size_t>(std::min(done, all - done)) * sizeof(W));
      at.advance_rows(rows);
    } else {
      at.advance(m);
    }
    to += rows * m;
    n -= rows * m;
  }
}

struct Wide {
  uint64_t words[2];
};

}  // namespace

Broadcast make_broadcast(const Shape& out, std::initializer_list<const Shape*> operands) {
  Broadcast b;
  b.operands = static_cast<int>(operands.size());
  // From the last axis to the first, into reversed order; dense[k] is the stride of the operand's next axis.
  int64_t dense[Broadcast::max_operands] = {1, 1, 1};
  for (int i = 0; i < out.rank(); ++i) {
    const int64_t dim = out[out.rank() - 1 - i];
    b.count *= dim;
    if (dim == 1) continue;
    int64_t strides[Broadcast::max_operands];
    bool joins = b.rank > 0;
    for (int k = 0; k < b.operands; ++k) {
      const Shape& shape = *operands.begin()[k];
      strides[k] = operand_stride(shape, i, dense[k]);
      if (i < shape.rank()) dense[k] *= shape[shape.rank() - 1 - i];
      if (b.rank > 0) joins = joins && strides[k] == b.strides[k][b.rank - 1] * b.dims[b.rank - 1];
    }
    if (joins) {
      b.dims[b.rank - 1] *= dim;
      continue;
    }
    b.dims[b.rank] = dim;
    for (int k = 0; k < b.operands; ++k) b.strides[k][b.rank] = strides[k];
    ++b.rank;
  }
  std::reverse(b.dims, b.dims + b.rank);
  for (int k = 0; k < b.operands; ++k) {
    std::reverse(b.strides[k], b.strides[k] + b.rank);
    b.contiguous[k] = b.rank == 0 || (b.rank == 1 && b.strides[k][0] == 1) || operands.begin()[k]->count() == b.count;
    b.scalar[k] = operands.begin()[k]->count() == 1;
  }
  return b;
}

int64_t Broadcast::offset(int k, int64_t index) const noexcept {
  int64_t offset = 0;
  for (int axis = rank - 1; axis >= 0; --axis) {
    offset += index % dims[axis] * strides[k][axis];
    index /= dims[axis];
  }
  return offset;
}

void Broadcast::gather(int k, const void* from, int bytes, int64_t begin, int64_t n, void* to) const noexcept {
  switch (bytes) {
    case 1: return gather_elements(*this, k, static_cast<const uint8_t*>(from), begin, n, static_cast<uint8_t*>(to));
    case 2: return gather_elements(*this, k, static_cast<const uint16_t*>(from), begin, n, static_cast<uint16_t*>(to));
    case 4: return gather_elements(*this, k, static_cast<const uint32_t*>(from), begin, n, static_cast<uint32_t*>(to));
    case 8: return gather_elements(*this, k, static_cast<const uint64_t*>(from), begin, n, static_cast<uint64_t*>(to));
    default: return gather_elements(*this, k, static_cast<const Wide*>(from), begin, n, static_cast<Wide*>(to));
  }
}

BroadcastCursor::BroadcastCursor(const Broadcast& b, int64_t begin) noexcept : b_(b) {
  inner_ = begin % b.inner();
  begin /= b.inner();
  for (int axis = b.rank - 2; axis >= 0; --axis) {
    index_[axis] = begin % b.dims[axis];
    begin /= b.dims[axis];
    for (int k = 0; k < b.operands; ++k) offset_[k] += index_[axis] * b.strides[k][axis];
  }
}

void BroadcastCursor::advance_rows(int64_t rows) noexcept {
  if (rows > 1) {
    for (int k = 0; k < b_.operands; ++k) offset_[k] += b_.strides[k][b_.rank - 2] * (rows - 1);
    index_[b_.rank - 2] += rows - 1;
  }
  advance(b_.inner());
}

void BroadcastCursor::advance(int64_t n) noexcept {
  inner_ += n;
  if (inner_ < b_.inner()) return;
  inner_ = 0;
  for (int axis = b_.rank - 2; axis >= 0; --axis) {
    for (int k = 0; k < b_.operands; ++k) offset_[k] += b_.strides[k][axis];
    if (++index_[axis] < b_.dims[axis]) return;
    for (int k = 0; k < b_.operands; ++k) offset_[k] -= b_.strides[k][axis] * b_.dims[axis];
    index_[axis] = 0;
  }
}

}  // namespace outpost
