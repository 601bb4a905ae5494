// The activation inside a fused operator (Linear, FusedConv, BlockedConv): its attributes, its reference in ordinary nodes,
// and itself on finished memory where a kernel's epilogue does not do it.
//
//   activation = "none" | "relu" | "clip" | "leaky" | "sigmoid" | "tanh" | "silu" | "gelu_erf" | "gelu_tanh" | "hardswish"
//   activation_low, activation_high: the bounds of clip; leaky's slope is activation_low. Defaults 0.
#pragma once
#include <optional>

#include "kernels/gemm.h"
#include "ops/op.h"

namespace outpost {

struct FusedActivation {
  kernels::Activation kind = kernels::Activation::none;
  float low = 0, high = 0;

  // Throws Error(invalid_model) for a name that is none of the above.
  static FusedActivation of(const Node& node);
  bool none() const noexcept { return kind == kernels::Activation::none; }
  void set(kernels::Epilogue& e) const noexcept { e.activation = kind, e.low = low, e.high = high; }

  // y = f(x) for n contiguous values; may be in place.
  void apply(const float* x, float* y, int64_t n) const;
  void apply(const double* x, double* y, int64_t n) const;
};

// The activation as nodes behind y.
Value* expand_activation(Builder& build, Value* y, const Attributes& attributes);
// The attributes that say what this node does (Relu, Clip with constant bounds, Gelu, Swish, …); nothing where it is no
// activation that kernels know.
std::optional<Attributes> activation_attributes(const Node& node);

}  // namespace outpost
