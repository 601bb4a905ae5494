// The type of a value: what kind of thing it is, its element type and, for tensors, a shape whose dims may be symbols.
// One representation serves the symbolic graph and a plan for given shapes (then every dim is known).
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "outpost/tensor.h"

namespace outpost {

// A dimension: a size, or a symbol (two dims with the same symbol are equal), or neither: unknown.
struct Dim {
  int64_t size = -1;
  uint32_t symbol = 0;  // index into Symbols; 0 = none
  Dim() = default;
  Dim(int64_t s) : size(s) {}
  static Dim symbolic(uint32_t symbol) { Dim d; d.symbol = symbol; return d; }
  bool known() const noexcept { return size >= 0; }
  // Equal for certain (two unknown dims are not).
  bool operator==(const Dim& o) const noexcept { return known() ? size == o.size : symbol != 0 && symbol == o.symbol && !o.known(); }
};
// Arithmetic that keeps what it can: known op known, and x+0, x*1, x/1 keep a symbol. Known overflow throws Error(limit).
Dim operator+(Dim, Dim);
Dim operator-(Dim, Dim);
Dim operator*(Dim, Dim);
Dim divide_exact(Dim, Dim);  // unknown when not known; throws Error(invalid_model) if it does not divide

// Names of symbols, shared by a graph and its subgraphs.
class Symbols {
 public:
  uint32_t intern(const std::string& name);
  const std::string& name(uint32_t symbol) const { return names_.at(symbol); }

 private:
  std::vector<std::string> names_{""};
  std::unordered_map<std::string, uint32_t> index_{{"", 0}};
};

using Dims = std::vector<Dim>;

struct Type {
  enum class Kind : uint8_t { none, tensor, sparse_tensor, sequence, optional, map };
  Kind kind = Kind::none;                // none: not known (yet), or an absent optional output
  DType dtype = DType::undefined;        // tensor: element; map: key
  bool ranked = false;                   // tensor: dims are meaningful
  Dims dims;
  std::shared_ptr<const Type> element;   // sequence, optional: what they hold; map: its values

  static Type tensor(DType dtype) { Type t; t.kind = Kind::tensor; t.dtype = dtype; return t; }
  static Type tensor(DType dtype, Dims dims);
  static Type tensor(DType dtype, const Shape& shape);
  static Type of(const Tensor& t) { return tensor(t.dtype(), t.shape()); }
  static Type sequence(Type element);
  static Type optional(Type element);
  static Type map(DType key, Type value);

  bool is_tensor() const noexcept { return kind == Kind::tensor; }
  int rank() const noexcept { return static_cast<int>(dims.size()); }
  // Tensor with every dim known.
  bool is_static() const noexcept;
  Shape shape() const;  // requires is_static()
};

bool compatible(const Type& declared, const Type& actual) noexcept;  // could a value of `actual` be one of `declared`?
std::string to_string(const Type&);                                  // "f32[2,?,4]"; symbols as "#3"
std::string to_string(const Type&, const Symbols&);                  // "f32[N,3,224,224]"

}  // namespace outpost
