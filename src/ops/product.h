// Batched matrix products on strided operands: what MatMul, Gemm, Einsum and their kin reduce to.
//
// y(batch, m, n) = alpha * a(batch, m, k) b(batch, k, n) + epilogue, y contiguous. Operands may repeat over batch axes
// (stride 0) and may be transposed (any strides). f32, f64, f16 and bf16 go to the packed kernels; 32- and 64-bit
// integers wrap. Cut in output tiles: the same bits on any number of threads.
#pragma once
#include "kernels/kernels.h"
#include "ops/op.h"

namespace outpost {

struct Product {
  DType dtype = DType::f32;
  bool allow_bf16 = false;  // f32 operands may be rounded to bf16 (attribute compute="bf16"); as when packing
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_column = 1, b_row = 0, b_column = 1;
  int64_t batches = 1;
  int batch_rank = 0;
  // Of each batch axis, outermost first: its size, and the strides of a and b. Only batch_rank entries are set.
  int64_t batch[Shape::max_rank], a_batch[Shape::max_rank], b_batch[Shape::max_rank];
  double alpha = 1;
  const void* a = nullptr;
  const void* b = nullptr;
  const char* packed_b = nullptr;  // pack_constant's, one packed matrix every packed_stride bytes, in b's order
  size_t packed_stride = 0;
  void* y = nullptr;
  kernels::Epilogue epilogue;  // no residual when there are batches
};

// One operand as (batch..., rows, columns), after transposition.
struct ProductOperand {
  Shape dims, strides;
  // transpose: the last two axes swap. transpose_batch: the first axis is the rows (com.microsoft FusedMatMul).
  static ProductOperand of(const Shape& shape, bool transpose, bool transpose_batch);
};

// Fills in sizes and strides; 1-D operands were made matrices. With `fold`, batches become rows where that is the same
// product.
void set_geometry(Product&, const ProductOperand& a, const ProductOperand& b, bool fold = true);

// Where the operands of one batch lie, in elements.
struct BatchOffsets {
  int64_t a, b;
};
BatchOffsets batch_offsets(const Product&, int64_t batch) noexcept;

size_t product_scratch_bytes(const Product&, int threads);
void run_product(const RunContext&, const Product&, void* scratch);

// Every matrix of a constant operand b (batch..., k, n), packed for the kernels. Undefined where the dtype has none.
struct PackedOperand {
  Tensor bytes;
  size_t stride = 0;
};
PackedOperand pack_constant(const PrepareContext&, const Tensor& b, const ProductOperand& geometry, bool allow_bf16 = false);

// Does the node ask for bf16 products with f32 sums (passes/precision.cpp)?
bool asks_bf16(const Attributes&);

// Multiply-adds below which threads cost more than they bring.
constexpr double serial_work = 1 << 17;

}  // namespace outpost
