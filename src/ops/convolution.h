// Convolutions forward and transposed, in every float type: what Conv, ConvTranspose and their gradients run.
// f32 goes to the kernels, f16 and bf16 pass through f32 one image at a time, f64 is unfolded into products.
#pragma once
#include "ops/fused_activation.h"
#include "ops/window.h"

namespace outpost {

struct Convolution {
  kernels::Conv shape;  // sizes and window; pointers unused. `in` belongs to x, `out` to y.
  bool transposed = false;
  DType dtype = DType::f32;
  const void* x = nullptr;
  const void* weights = nullptr;
  const void* packed = nullptr;  // pack_weights' bytes, or null: packed anew in scratch
  const void* bias = nullptr;    // (out_channels), may be null
  const void* residual = nullptr;  // added to y, laid out as y (which it may be); not for transposed ones
  FusedActivation activation;      // of the sum; not for transposed ones
  void* y = nullptr;

  int64_t x_image() const noexcept { return shape.in_channels * volume(shape.window.in); }
  int64_t y_image() const noexcept { return shape.out_channels * volume(shape.window.out); }
  int64_t weight_count() const noexcept {
    return (transposed ? shape.in_channels * (shape.out_channels / shape.groups)
                       : shape.out_channels * (shape.in_channels / shape.groups)) * volume(shape.window.kernel);
  }
};

// Weights as the f32 kernels want them; reads channels, groups, kernel, stride and dilation of c. Undefined for f64.
Tensor pack_weights(const PrepareContext&, const Convolution& c, const Tensor& weights);
size_t convolution_scratch_bytes(const Convolution&, int threads);
void run_convolution(const RunContext&, const Convolution&, void* scratch);

// Multiply-adds of the whole convolution.
double convolution_work(const Convolution&) noexcept;

// Positions of one unfolded tile: as many as keep its (rows x positions) bytes in a core's cache.
int64_t unfold_tile(int64_t rows, int element_bytes) noexcept;
// Is unfolding the identity? (kernel 1, stride 1, no padding)
bool is_pointwise(const kernels::Window&) noexcept;

}  // namespace outpost
