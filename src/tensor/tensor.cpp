// Tensor: owning, borrowed and shared memory, and the copies that make strided views contiguous.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "base/text.h"
#include "outpost/tensor.h"

#include <algorithm>

namespace outpost {

namespace {

constexpr size_t alignment = 64;
constexpr size_t most_bytes = size_t(1) << 39;  // beyond any machine meant here: refused before the allocator is asked

std::mutex allocator_mutex;
Allocator allocator;

Allocator current_allocator() noexcept {
  std::lock_guard lock(allocator_mutex);
  return allocator;
}

// Large memory comes from the system and goes back there at once; in large pages where it has them, which cost a
// five-hundredth of the faults and of the address translations.
constexpr size_t mapped_bytes = size_t{4} << 20;

std::shared_ptr<void> map_bytes(size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  ::madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return {data, [bytes](void* p) { ::munmap(p, bytes); }};
}

std::shared_ptr<void> own_bytes(size_t bytes) {
  const size_t rounded = bytes == 0 ? alignment : (bytes + alignment - 1) / alignment * alignment;
  const Allocator from = current_allocator();
  if (!from.allocate && bytes >= mapped_bytes && bytes <= most_bytes)
    if (auto mapped = map_bytes(rounded)) return mapped;
  void* data = nullptr;
  if (bytes <= most_bytes)
    data = from.allocate ? from.allocate(rounded, alignment, from.context) : std::aligned_alloc(alignment, rounded);
  if (!data) fail(ErrorCode::limit, "no memory for a tensor of ", bytes, " bytes");
  if (!from.allocate) return {data, std::free};
  return {data, [from, rounded](void* p) { from.free(p, rounded, from.context); }};
}

std::shared_ptr<void> own_strings(size_t count) {
  try {
    if (count > most_bytes / sizeof(std::string)) throw std::bad_alloc();
    // Not shared_ptr(new std::string[…]): gcc 12 destroys the strings twice when the control block cannot be had.
    auto strings = std::make_shared<std::string[]>(count ? count : 1);
    return {strings, strings.get()};
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::limit, "no memory for a tensor of ", count, " strings");
  }
}

// Elements of `bytes` bytes each, in row-major order of a strided view: `to` is contiguous.
template <class Copy>
void for_each_strided(const Shape& shape, const Shape& strides, Copy copy) {
  const int64_t count = shape.count();
  if (count == 0) return;
  Shape index;
  index.resize(shape.rank(), 0);
  int64_t from = 0;
  for (int64_t i = 0; i < count; ++i) {
    copy(from, i);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

bool is_row_major(const Shape& shape, const Shape& strides) {
  int64_t expected = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape[axis] == 0) return true;
    if (shape[axis] != 1 && strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

}  // namespace

void set_allocator(const Allocator& a) noexcept {
  std::lock_guard lock(allocator_mutex);
  allocator = a.allocate && a.free ? a : Allocator{};
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  if (dtype == DType::undefined) fail(ErrorCode::invalid_argument, "a tensor needs a dtype");
  const int64_t count = checked_count(shape_);
  buffer_.bytes = bytes_for(dtype, count);
  buffer_.owner = dtype == DType::string ? own_strings(static_cast<size_t>(count)) : own_bytes(buffer_.bytes);
  buffer_.data = buffer_.owner.get();
}

Tensor Tensor::view(void* data, DType dtype, Shape shape) { return share(nullptr, data, dtype, std::move(shape)); }

Tensor Tensor::view(const void* data, DType dtype, Shape shape) {
  return share(nullptr, const_cast<void*>(data), dtype, std::move(shape));
}

Tensor Tensor::share(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, size_t bytes) {
  Tensor t;
  t.dtype_ = dtype;
  t.buffer_.bytes = std::max(bytes, bytes_for(dtype, checked_count(shape)));
  t.shape_ = std::move(shape);
  t.buffer_.data = data;
  t.buffer_.owner = std::move(owner);
  return t;
}

Tensor Tensor::strided(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, Shape strides) {
  if (strides.rank() != shape.rank())
    fail(ErrorCode::invalid_argument, "strides ", strides, " for shape ", shape, "; one stride an axis is needed");
  if (is_row_major(shape, strides)) return share(std::move(owner), data, dtype, std::move(shape));
  if (bits(dtype) < 8) fail(ErrorCode::invalid_argument, "a tensor of packed ", dtype, " cannot be strided");
  Tensor t = share(std::move(owner), data, dtype, std::move(shape));
  t.strides_ = std::move(strides);
  return t;
}

Tensor Tensor::to_contiguous() const { return contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy(dtype_, shape_);
  if (contiguous()) {
    copy.copy_from(buffer_.data);
  } else if (dtype_ == DType::string) {
    auto* from = static_cast<const std::string*>(buffer_.data);
    auto* to = static_cast<std::string*>(copy.buffer_.data);
    for_each_strided(shape_, strides_, [&](int64_t source, int64_t target) { to[target] = from[source]; });
  } else {
    const int64_t size = bits(dtype_) / 8;
    auto* from = static_cast<const char*>(buffer_.data);
    auto* to = static_cast<char*>(copy.buffer_.data);
    for_each_strided(shape_, strides_, [&](int64_t source, int64_t target) {
      std::memcpy(to + target * size, from + source * size, static_cast<size_t>(size));
    });
  }
  return copy;
}

Tensor Tensor::reshaped(Shape shape) const {
  if (!contiguous())
    fail(ErrorCode::invalid_argument, "a strided tensor cannot be reshaped without a copy; use to_contiguous()");
  if (checked_count(shape) != count())
    fail(ErrorCode::invalid_argument, "a tensor of shape ", shape_, " cannot take the shape ", shape,
         " of another size");
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

size_t Tensor::bytes() const noexcept {
  return (static_cast<size_t>(count()) * static_cast<size_t>(bits(dtype_)) + 7) / 8;
}

void Tensor::require_count(const Shape& shape, size_t count) {
  if (static_cast<uint64_t>(checked_count(shape)) != count)
    fail(ErrorCode::invalid_argument, count, " values for a tensor of shape ", shape);
}

void Tensor::require_dtype(DType dtype) const {
  if (dtype_ != dtype) fail(ErrorCode::invalid_argument, "a tensor of ", dtype_, " was read as ", dtype);
}

void Tensor::copy_from(const void* values) {
  if (dtype_ == DType::string) {
    auto* from = static_cast<const std::string*>(values);
    auto* to = static_cast<std::string*>(buffer_.data);
    for (int64_t i = 0, n = count(); i < n; ++i) to[i] = from[i];
  } else if (const size_t size = bytes()) {
    std::memcpy(buffer_.data, values, size);
  }
}

}  // namespace outpost
