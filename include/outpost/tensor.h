// Tensor: typed memory with a shape. Dense, row-major unless strides are given; copying a Tensor shares its memory.
// Sub-byte types (int4, uint4, int2, uint2, float4) are packed, low bits first, as ONNX stores them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "outpost/error.h"

namespace outpost {

// The numbers 1..26 are those of ONNX's TensorProto.DataType.
enum class DType : uint8_t {
  undefined = 0, f32 = 1, u8 = 2, i8 = 3, u16 = 4, i16 = 5, i32 = 6, i64 = 7, string = 8, boolean = 9, f16 = 10, f64 = 11,
  u32 = 12, u64 = 13, complex64 = 14, complex128 = 15, bf16 = 16, f8e4m3fn = 17, f8e4m3fnuz = 18, f8e5m2 = 19,
  f8e5m2fnuz = 20, u4 = 21, i4 = 22, f4e2m1 = 23, f8e8m0 = 24, u2 = 25, i2 = 26,
};

// "f32", "i64", "bool", …
std::string_view name(DType) noexcept;
// The inverse of name(); also accepts ONNX's and numpy's spellings ("float32", "FLOAT"). undefined if unknown.
DType dtype_from_name(std::string_view) noexcept;
// Bits of one element (complex128: 128; string: those of the in-memory std::string).
int bits(DType) noexcept;
// Bytes of `count` packed elements; throws Error(limit) on overflow.
size_t bytes_for(DType, int64_t count);

// Up to 8 axes without an allocation, at most 64.
class Shape {
 public:
  static constexpr int inline_rank = 8, max_rank = 64;
  Shape() noexcept : data_(inline_), rank_(0) {}
  Shape(std::initializer_list<int64_t> dims) : Shape(dims.begin(), dims.size()) {}
  explicit Shape(std::span<const int64_t> dims) : Shape(dims.data(), dims.size()) {}
  Shape(const int64_t* dims, size_t rank);
  Shape(const Shape& o) : Shape(o.data_, static_cast<size_t>(o.rank_)) {}
  Shape(Shape&& o) noexcept;
  Shape& operator=(const Shape& o);
  Shape& operator=(Shape&& o) noexcept;
  ~Shape() { if (data_ != inline_) delete[] data_; }

  int rank() const noexcept { return rank_; }
  size_t size() const noexcept { return static_cast<size_t>(rank_); }
  bool empty() const noexcept { return rank_ == 0; }
  int64_t operator[](int axis) const noexcept { return data_[axis]; }
  int64_t& operator[](int axis) noexcept { return data_[axis]; }
  int64_t back() const noexcept { return data_[rank_ - 1]; }
  const int64_t* begin() const noexcept { return data_; }
  const int64_t* end() const noexcept { return data_ + rank_; }
  int64_t* begin() noexcept { return data_; }
  int64_t* end() noexcept { return data_ + rank_; }
  const int64_t* data() const noexcept { return data_; }
  operator std::span<const int64_t>() const noexcept { return {data_, size()}; }
  void push_back(int64_t dim) { insert(rank_, dim); }
  void insert(int axis, int64_t dim);
  void erase(int axis) noexcept;
  void resize(int rank, int64_t fill = 1);
  // Number of elements. Shapes inside tensors never overflow (checked where they are made).
  int64_t count() const noexcept { return count(0, rank_); }
  int64_t count(int first, int last) const noexcept;
  bool operator==(const Shape& o) const noexcept;

 private:
  int64_t* data_;
  int rank_;
  int64_t inline_[inline_rank];
};

// "[1,3,224,224]"
std::string to_string(const Shape&);
// Product of the dims; throws Error(limit) if one is negative or the product passes 2^62.
int64_t checked_count(std::span<const int64_t> dims);

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  else if constexpr (std::is_same_v<T, std::string>) return DType::string;
  else if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 1) return std::is_signed_v<T> ? DType::i8 : DType::u8;
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 2) return std::is_signed_v<T> ? DType::i16 : DType::u16;
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 4) return std::is_signed_v<T> ? DType::i32 : DType::u32;
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 8) return std::is_signed_v<T> ? DType::i64 : DType::u64;
  else return T::dtype;  // Float16, BFloat16, … carry their own
}

// Where tensors and working memory come from, for programs with memory of their own. `allocate` returns null when it has
// none (then the caller gets Error(limit)); `free` gets the same size back. Both are called from any thread.
struct Allocator {
  void* (*allocate)(size_t bytes, size_t alignment, void* context) = nullptr;
  void (*free)(void* data, size_t bytes, void* context) = nullptr;
  void* context = nullptr;
};
// For the whole process; {} brings the C library's back. Memory taken before is returned where it came from.
void set_allocator(const Allocator&) noexcept;

// Memory that tensors share. `device` 0 is the CPU, where data is an address.
struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  int device = 0;
  std::shared_ptr<void> owner;  // what keeps `data` alive; empty for borrowed memory
};

class Tensor {
 public:
  Tensor() noexcept = default;
  // Uninitialised memory, 64-byte aligned (strings are empty). Throws Error(limit) when it cannot be had.
  Tensor(DType dtype, Shape shape);
  // Borrowed memory: the caller keeps it alive and unchanged in size.
  static Tensor view(void* data, DType dtype, Shape shape);
  static Tensor view(const void* data, DType dtype, Shape shape);
  template <class T>
  static Tensor view(std::span<T> data, Shape shape) {
    require_count(shape, data.size());
    return view(static_cast<const void*>(data.data()), dtype_of<std::remove_const_t<T>>(), std::move(shape));
  }
  // Memory kept alive by `owner`; `bytes` is its size when larger than the tensor (0: the tensor's own).
  static Tensor share(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, size_t bytes = 0);
  // A strided view (strides in elements) of the same kind; sub-byte types cannot be strided.
  static Tensor strided(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, Shape strides);
  template <class T>
  static Tensor of(std::span<const T> values, Shape shape) {
    require_count(shape, values.size());
    Tensor t(dtype_of<T>(), std::move(shape));
    t.copy_from(values.data());
    return t;
  }
  template <class T>
  static Tensor of(const std::vector<T>& values, Shape shape) { return of(std::span<const T>(values), std::move(shape)); }
  template <class T>
  static Tensor of(std::initializer_list<T> values) {
    return of(std::span<const T>(values.begin(), values.size()), Shape{static_cast<int64_t>(values.size())});
  }
  template <class T>
  static Tensor scalar(T value) { return of(std::span<const T>(&value, 1), Shape{}); }

  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  int rank() const noexcept { return shape_.rank(); }
  int64_t count() const noexcept { return shape_.count(); }
  size_t bytes() const noexcept;
  bool defined() const noexcept { return dtype_ != DType::undefined; }
  // Empty for contiguous tensors, else one stride per axis, in elements.
  const Shape& strides() const noexcept { return strides_; }
  bool contiguous() const noexcept { return strides_.empty(); }
  // This tensor if contiguous, else a contiguous copy.
  Tensor to_contiguous() const;
  // The same memory under another shape of the same count (contiguous tensors only).
  Tensor reshaped(Shape shape) const;
  Tensor clone() const;

  void* raw() noexcept { return buffer_.data; }
  const void* raw() const noexcept { return buffer_.data; }
  const Buffer& buffer() const noexcept { return buffer_; }
  // Typed access; throws Error(invalid_argument) when T is not the tensor's dtype.
  template <class T>
  T* data() { require_dtype(dtype_of<T>()); return static_cast<T*>(buffer_.data); }
  template <class T>
  const T* data() const { require_dtype(dtype_of<T>()); return static_cast<const T*>(buffer_.data); }
  template <class T>
  std::span<const T> values() const { return {data<T>(), static_cast<size_t>(count())}; }
  template <class T>
  std::span<T> values() { return {data<T>(), static_cast<size_t>(count())}; }

 private:
  static void require_count(const Shape&, size_t count);
  void require_dtype(DType) const;
  void copy_from(const void* values);

  DType dtype_ = DType::undefined;
  Shape shape_, strides_;
  Buffer buffer_;
};

// What a graph's input or output can hold: nothing (an empty optional), a tensor, a sequence, or a map.
class Datum {
 public:
  enum class Kind : uint8_t { none, tensor, sequence, map };
  Datum() noexcept = default;
  Datum(Tensor tensor) : kind_(Kind::tensor), tensor_(std::move(tensor)) {}
  static Datum sequence(std::vector<Datum> items);
  // `keys` is a 1-D tensor of integers or strings, one key per item.
  static Datum map(Tensor keys, std::vector<Datum> items);

  Kind kind() const noexcept { return kind_; }
  bool has_value() const noexcept { return kind_ != Kind::none; }
  // Throws Error(invalid_argument) if this is not a tensor.
  const Tensor& tensor() const;
  const std::vector<Datum>& items() const;  // of a sequence, or a map's values
  const Tensor& keys() const;               // of a map

 private:
  Kind kind_ = Kind::none;
  Tensor tensor_;  // the tensor, or a map's keys
  std::shared_ptr<const std::vector<Datum>> items_;
};

}  // namespace outpost
