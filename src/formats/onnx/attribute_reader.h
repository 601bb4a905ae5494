// AttributeProto (all kinds but graphs, which the importer builds) as an Attribute.
#pragma once
#include "formats/onnx/proto.h"
#include "formats/onnx/tensor_reader.h"

namespace outpost::onnx {

// Throws Error(invalid_model | unsupported).
Attribute read_attribute(const Source& source, const AttributeProto& attribute, TensorReader& tensors, Symbols& symbols);

}  // namespace outpost::onnx
