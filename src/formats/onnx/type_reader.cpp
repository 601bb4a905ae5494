// TypeProto nests (a sequence of optionals of …); a file decides how deep, so the depth is limited.
#include "formats/onnx/type_reader.h"

#include "formats/onnx/schema.h"

namespace outpost::onnx {
namespace {

constexpr int max_depth = 64;

class TypeReader {
 public:
  TypeReader(const Source& source, Symbols& symbols) : source_(source), symbols_(symbols) {}

  Type type(std::string_view bytes, int depth) {
    if (depth > max_depth) fail(ErrorCode::limit, source_.label, ": a type is nested more than ", max_depth, " deep");
    Type result;
    FieldReader r(source_, bytes, "TypeProto");
    while (r.next()) {
      switch (r.field()) {
        case type_field::tensor: result = tensor(r.bytes(), Type::Kind::tensor); break;
        case type_field::sparse_tensor: result = tensor(r.bytes(), Type::Kind::sparse_tensor); break;
        case type_field::sequence: result = Type::sequence(element(r.bytes(), depth)); break;
        case type_field::optional: result = Type::optional(element(r.bytes(), depth)); break;
        case type_field::map: result = map(r.bytes(), depth); break;
        case type_field::opaque: fail(ErrorCode::unsupported, source_.label, ": an opaque type");
        default: r.skip();
      }
    }
    return result;
  }

 private:
  DType dtype(FieldReader& r) {
    int value = r.enumeration();
    if (value == 27 || value == 28) fail(ErrorCode::unsupported, source_.label, ": element type ", value, " (float6)");
    if (value < 0 || value > static_cast<int>(DType::i2)) r.fail("element type ", value, " found, 1..26 expected");
    return static_cast<DType>(value);
  }

  Type tensor(std::string_view bytes, Type::Kind kind) {
    Type result = Type::tensor(DType::undefined);
    result.kind = kind;
    FieldReader r(source_, bytes, "TypeProto.Tensor");
    while (r.next()) {
      switch (r.field()) {
        case type_field::elem_type: result.dtype = dtype(r); break;
        case type_field::shape: shape(r.bytes(), result); break;
        default: r.skip();
      }
    }
    return result;
  }

  void shape(std::string_view bytes, Type& type) {
    type.ranked = true;
    FieldReader r(source_, bytes, "TensorShapeProto");
    while (r.next()) {
      if (r.field() != shape_field::dim) {
        r.skip();
        continue;
      }
      type.dims.push_back(dim(r.bytes()));
      if (type.dims.size() > Shape::max_rank) r.fail("more than ", Shape::max_rank, " dims");
    }
  }

  // Exporters write -1 or an empty name for a dim that they do not know.
  Dim dim(std::string_view bytes) {
    Dim result;
    FieldReader r(source_, bytes, "TensorShapeProto.Dimension");
    while (r.next()) {
      switch (r.field()) {
        case shape_field::dim_value: {
          int64_t size = r.integer();
          if (size > max_dim) r.fail("dim_value is ", size, ", at most ", max_dim, " expected");
          result = size < 0 ? Dim() : Dim(size);
          break;
        }
        case shape_field::dim_param: {
          auto name = r.bytes();
          result = name.empty() ? Dim() : Dim::symbolic(symbols_.intern(std::string(name)));
          break;
        }
        default: r.skip();
      }
    }
    return result;
  }

  Type element(std::string_view bytes, int depth) {
    Type result;
    FieldReader r(source_, bytes, "TypeProto.Sequence");
    while (r.next()) {
      if (r.field() == type_field::elem_type) result = type(r.bytes(), depth + 1);
      else r.skip();
    }
    return result;
  }

  Type map(std::string_view bytes, int depth) {
    DType key = DType::undefined;
    Type value;
    FieldReader r(source_, bytes, "TypeProto.Map");
    while (r.next()) {
      switch (r.field()) {
        case type_field::key_type: key = dtype(r); break;
        case type_field::value_type: value = type(r.bytes(), depth + 1); break;
        default: r.skip();
      }
    }
    return Type::map(key, std::move(value));
  }

  static constexpr int64_t max_dim = int64_t{1} << 62;
  const Source& source_;
  Symbols& symbols_;
};

}  // namespace

Type read_type(const Source& source, std::string_view bytes, Symbols& symbols) {
  return TypeReader(source, symbols).type(bytes, 0);
}

}  // namespace outpost::onnx
