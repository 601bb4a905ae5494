// TypeProto as a Type.
#pragma once
#include "formats/onnx/wire.h"
#include "graph/type.h"

namespace outpost::onnx {

// Kind none when the proto names no type. Throws Error(invalid_model | unsupported | limit).
Type read_type(const Source& source, std::string_view bytes, Symbols& symbols);

}  // namespace outpost::onnx
