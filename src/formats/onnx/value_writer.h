// Tensors, types and values as protos.
#pragma once
#include "formats/onnx/field_writer.h"
#include "graph/type.h"

namespace outpost::onnx {

// Where a tensor's data lies when it is not in the model.
struct ExternalPlace {
  std::string location;
  uint64_t offset = 0;
};

// The fields of each message; the caller has opened it. `place` null: the data is within.
void write_tensor(FieldWriter& out, const Tensor& tensor, std::string_view name, const ExternalPlace* place = nullptr);
void write_type(FieldWriter& out, const Type& type, const Symbols& symbols);
void write_value(FieldWriter& out, const Datum& value, Type::Kind kind);
// The first IR version that knows the type.
int ir_version_of(DType dtype) noexcept;

}  // namespace outpost::onnx
