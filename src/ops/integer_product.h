// Products of 8-bit integers with zero points, summed in int32: MatMulInteger, QLinearMatMul and their kin.
#pragma once
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {

struct IntegerProduct {
  Product geometry;  // sizes, strides and batches; pointers and dtype unused
  const View *a = nullptr, *b = nullptr;
  const View *a_zero = nullptr, *b_zero = nullptr;  // one value; or one per row (column); or that for every batch
  const PackedOperand* packed = nullptr;            // of b and its zero point; may be undefined
  int32_t* y = nullptr;                             // contiguous (batches, m, n)

  int64_t count() const noexcept { return geometry.batches * geometry.m * geometry.n; }
};

// Shape rule of numpy's matmul on inputs ia and ib; output 0 gets `dtype`.
void infer_matmul(InferContext&, int ia, int ib, DType dtype);
// One value, one per row of the last-but-one axis (rows) or of the last axis, or that for every batch.
void check_zero_point(const InferContext&, int input, int of, bool rows);

void check_single(const InferContext&, int input);  // one value, of rank 0 or 1

// A constant b, packed with its zero point (null: none). Undefined where b has no elements.
PackedOperand pack_integer_constant(const PrepareContext&, const Tensor& b, const Tensor* b_zero);
// The prepared state of an operator with b at input ib and its zero point at iz: a PackedOperand.
std::shared_ptr<const void> prepare_integer_product(const PrepareContext&, int ib, int iz);

IntegerProduct integer_product(const View& a, const View& b, const View* a_zero, const View* b_zero);
size_t integer_product_scratch_bytes(const IntegerProduct&, int threads);
void run_integer_product(const RunContext&, const IntegerProduct&, void* scratch);

// A scale or zero point of a row: one for all, one per row, or one per row of every batch. `step` 0 or 1.
struct PerLine {
  const View* view;
  int64_t lines;  // rows (or columns) of one matrix
  int64_t index(int64_t batch, int64_t line) const noexcept {
    const int64_t n = view->count();
    return n == 1 ? 0 : n == lines ? line : batch * lines + line;
  }
};

// Throws unless v has one value, one per line, or one per line of every batch.
void require_lines(const RunContext&, const View& v, int64_t lines, int64_t batches);

float value_f32(const View& v, int64_t i);
int32_t value_i32(const View& v, int64_t i);  // 8-bit integers

}  // namespace outpost
