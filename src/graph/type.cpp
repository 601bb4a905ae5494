// Dim arithmetic and the text of types.
#include "graph/type.h"

#include "base/text.h"

namespace outpost {

Dim operator+(Dim a, Dim b) {
  if (a.known() && b.known()) {
    int64_t sum;
    if (__builtin_add_overflow(a.size, b.size, &sum)) fail(ErrorCode::limit, "dimension ", a.size, " + ", b.size, " overflows");
    return sum;
  }
  if (a.known() && a.size == 0) return b;
  if (b.known() && b.size == 0) return a;
  return {};
}

Dim operator-(Dim a, Dim b) {
  if (a.known() && b.known()) return a.size - b.size < 0 ? Dim() : Dim(a.size - b.size);
  if (b.known() && b.size == 0) return a;
  return {};
}

Dim operator*(Dim a, Dim b) {
  if (a.known() && b.known()) {
    int64_t product;
    if (__builtin_mul_overflow(a.size, b.size, &product)) fail(ErrorCode::limit, "dimension ", a.size, " x ", b.size, " overflows");
    return product;
  }
  if (a.known() && a.size == 1) return b;
  if (b.known() && b.size == 1) return a;
  if ((a.known() && a.size == 0) || (b.known() && b.size == 0)) return 0;
  return {};
}

Dim divide_exact(Dim a, Dim b) {
  if (b.known() && b.size == 1) return a;
  if (!a.known() || !b.known()) return {};
  if (b.size == 0 || a.size % b.size != 0) fail(ErrorCode::invalid_model, "dimension ", a.size, " is not a multiple of ", b.size);
  return a.size / b.size;
}

uint32_t Symbols::intern(const std::string& name) {
  auto [it, fresh] = index_.try_emplace(name, static_cast<uint32_t>(names_.size()));
  if (fresh) names_.push_back(name);
  return it->second;
}

Type Type::tensor(DType dtype, Dims dims) {
  Type t = tensor(dtype);
  t.ranked = true;
  t.dims = std::move(dims);
  return t;
}

Type Type::tensor(DType dtype, const Shape& shape) { return tensor(dtype, Dims(shape.begin(), shape.end())); }

Type Type::sequence(Type element) {
  Type t;
  t.kind = Kind::sequence;
  t.element = std::make_shared<const Type>(std::move(element));
  return t;
}

Type Type::optional(Type element) {
  Type t = sequence(std::move(element));
  t.kind = Kind::optional;
  return t;
}

Type Type::map(DType key, Type value) {
  Type t = sequence(std::move(value));
  t.kind = Kind::map;
  t.dtype = key;
  return t;
}

bool Type::is_static() const noexcept {
  if (kind != Kind::tensor || !ranked) return false;
  for (const Dim& d : dims)
    if (!d.known()) return false;
  return true;
}

Shape Type::shape() const {
  Shape s;
  s.resize(rank());
  for (int i = 0; i < rank(); ++i) s[i] = dims[i].size;
  return s;
}

bool compatible(const Type& declared, const Type& actual) noexcept {
  if (declared.kind == Type::Kind::none || actual.kind == Type::Kind::none) return true;
  if (declared.kind == Type::Kind::optional && actual.kind != Type::Kind::optional)
    return !declared.element || compatible(*declared.element, actual);
  if (declared.kind != actual.kind) return false;
  if (declared.dtype != actual.dtype && declared.dtype != DType::undefined && actual.dtype != DType::undefined) return false;
  if (declared.element && actual.element) return compatible(*declared.element, *actual.element);
  if (!declared.ranked || !actual.ranked) return true;
  if (declared.rank() != actual.rank()) return false;
  for (int i = 0; i < declared.rank(); ++i)
    if (declared.dims[i].known() && actual.dims[i].known() && declared.dims[i].size != actual.dims[i].size) return false;
  return true;
}

namespace {

std::string print(const Type& t, const Symbols* symbols) {
  switch (t.kind) {
    case Type::Kind::none: return "?";
    case Type::Kind::sequence: return text("sequence(", print(*t.element, symbols), ")");
    case Type::Kind::optional: return text("optional(", print(*t.element, symbols), ")");
    case Type::Kind::map: return text("map(", t.dtype, ",", print(*t.element, symbols), ")");
    case Type::Kind::tensor:
    case Type::Kind::sparse_tensor: break;
  }
  std::string out = text(t.kind == Type::Kind::sparse_tensor ? "sparse " : "", t.dtype);
  if (!t.ranked) return out + "[…]";
  out += '[';
  for (int i = 0; i < t.rank(); ++i) {
    if (i) out += ',';
    const Dim& d = t.dims[i];
    if (d.known()) append_integer(out, d.size);
    else if (d.symbol == 0) out += '?';
    else if (symbols) out += symbols->name(d.symbol);
    else out += text("#", d.symbol);
  }
  return out + ']';
}

}  // namespace

std::string to_string(const Type& t) { return print(t, nullptr); }
std::string to_string(const Type& t, const Symbols& symbols) { return print(t, &symbols); }

}  // namespace outpost
