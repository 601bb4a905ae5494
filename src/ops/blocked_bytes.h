// Codes in blocks of channels, the layout of the 8-bit kernels (kernels/int8.h): u8 (batch, blocks, height, width, block).
// i8 codes are moved up by 128, zero points with them, so that within the layout every code is u8.
#pragma once
#include "kernels/int8.h"
#include "ops/op.h"
#include "ops/window.h"

namespace outpost {

// A code attribute: fails outside 0..255.
int32_t code_attribute(const Node&, std::string_view name, int64_t fallback);
// The window of a (batch, blocks, height, width, block) tensor.
kernels::Window blocked_window(const WindowAttributes&, const Shape& x, const int64_t* kernel);
// The dims (batch, blocks, height', width', 16) that windows over x, at input i, give.
Dims blocked_dims(const InferContext&, int i, const WindowAttributes&, Dim blocks, std::span<const Dim> kernel);

}  // namespace outpost
