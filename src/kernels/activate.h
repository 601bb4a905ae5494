// The activations of an Epilogue on one register.
#pragma once

#include "kernels/gemm.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

inline F32 activate(F32 x, Activation kind, F32 low, F32 high) {
  switch (kind) {
    case Activation::relu: return select(x < 0.0f, F32{}, x);
    case Activation::clip: return clamp(x, low, high);
    case Activation::leaky: return select(x < 0.0f, x * low, x);
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return tanh(x);
    case Activation::silu: return silu(x);
    case Activation::gelu_erf: return gelu_erf(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::hardswish: return hardswish(x);
    case Activation::none: break;
  }
  return x;
}

}  // namespace
}  // namespace outpost::kernels
