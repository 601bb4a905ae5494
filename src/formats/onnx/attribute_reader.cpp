// One switch over the fields collects whatever is there, the declared type picks what is meant (a scalar that protobuf
// left out because it is zero is then zero).
#include "formats/onnx/attribute_reader.h"

#include "formats/onnx/type_reader.h"

namespace outpost::onnx {

Attribute read_attribute(const Source& source, const AttributeProto& attribute, TensorReader& tensors, Symbols& symbols) {
  float real = 0;
  int64_t integer = 0;
  std::string string;
  Tensor tensor;
  Type type;
  std::vector<float> reals;
  std::vector<int64_t> integers;
  std::vector<std::string> strings;
  std::vector<Tensor> tensor_list;
  const uint64_t most = attribute.bytes.size();  // elements: each takes a byte at least
  FieldReader r(source, attribute.bytes, "AttributeProto");
  while (r.next()) {
    switch (r.field()) {
      case attribute_field::f: real = r.real32(); break;
      case attribute_field::i: integer = r.integer(); break;
      case attribute_field::s: string = r.string(); break;
      case attribute_field::t: tensor = tensors.tensor(r.bytes()); break;
      case attribute_field::sparse_tensor: tensor = tensors.sparse_tensor(r.bytes()); break;
      case attribute_field::tp: type = read_type(source, r.bytes(), symbols); break;
      case attribute_field::floats: r.append(reals, most); break;
      case attribute_field::ints: r.append(integers, most); break;
      case attribute_field::strings: strings.push_back(r.string()); break;
      case attribute_field::tensors: tensor_list.push_back(tensors.tensor(r.bytes())); break;
      case attribute_field::sparse_tensors: tensor_list.push_back(tensors.sparse_tensor(r.bytes())); break;
      default: r.skip();
    }
  }
  switch (attribute.type) {
    case AttributeType::real: return real;
    case AttributeType::integer: return integer;
    case AttributeType::string: return string;
    case AttributeType::tensor: case AttributeType::sparse_tensor:
      if (!tensor.defined()) r.fail("attribute '", attribute.name, "' has no tensor");
      return tensor;
    case AttributeType::type: return type;
    case AttributeType::reals: return reals;
    case AttributeType::integers: return integers;
    case AttributeType::strings: return strings;
    case AttributeType::tensors: case AttributeType::sparse_tensors: return tensor_list;
    default: break;
  }
  fail(ErrorCode::unsupported, source.label, ": attribute '", attribute.name, "' has type ",
       static_cast<int>(attribute.type), ", expected 1..11 or 13 (onnx.proto, AttributeType)");
}

}  // namespace outpost::onnx
