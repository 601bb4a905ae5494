// Outpost: runs ONNX models. Everything public in one header.
#pragma once
#include "outpost/error.h"
#include "outpost/image.h"
#include "outpost/log.h"
#include "outpost/model.h"
#include "outpost/session.h"
#include "outpost/tensor.h"

namespace outpost {

// "0.1.0". The C++ interface may change with the minor number until 1.0; the C ABI (outpost/c.h) only grows.
const char* version() noexcept;

}  // namespace outpost
