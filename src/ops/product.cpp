// Batched products: the geometry, the walk over tiles and batches, and the integer loop.
#include "ops/product.h"

#include <algorithm>

#include "ops/multiply.h"
#include "ops/staging.h"

namespace outpost {
namespace {

kernels::Gemm gemm_of(const Product& p) {
  kernels::Gemm g;
  g.m = p.m, g.n = p.n, g.k = p.k;
  g.a = p.a, g.a_row_stride = p.a_row, g.a_column_stride = p.a_column;
  g.b = p.b, g.b_row_stride = p.b_row, g.b_column_stride = p.b_column;
  g.packed_b = p.packed_b;
  g.c = p.y, g.c_row_stride = p.n;
  g.a_type = g.b_type = g.c_type = float_type(p.dtype);
  g.alpha = p.alpha;
  g.allow_bf16 = p.allow_bf16;
  g.epilogue = p.epilogue;
  return g;
}

void select_batch(kernels::Gemm& g, const Product& p, int64_t batch, int element_bytes) {
  const BatchOffsets o = batch_offsets(p, batch);
  g.a = static_cast<const char*>(p.a) + o.a * element_bytes;
  g.b = p.b ? static_cast<const char*>(p.b) + o.b * element_bytes : nullptr;  // only the packed form may be left
  if (p.packed_b) g.packed_b = p.packed_b + static_cast<size_t>(o.b / (p.k * p.n)) * p.packed_stride;
  g.c = static_cast<char*>(p.y) + batch * p.m * p.n * element_bytes;
}

// Rows [begin, end) of all batches. Unsigned arithmetic: wraps, as numpy's integers do.
template <class U>
void integer_rows(const Product& p, int64_t begin, int64_t end) {
  const U alpha = static_cast<U>(static_cast<int64_t>(p.alpha));
  for (int64_t row = begin; row < end; ++row) {
    const BatchOffsets o = batch_offsets(p, row / p.m);
    const U* a = static_cast<const U*>(p.a) + o.a + row % p.m * p.a_row;
    const U* b = static_cast<const U*>(p.b) + o.b;
    U* y = static_cast<U*>(p.y) + row * p.n;
    std::fill(y, y + p.n, U{0});
    for (int64_t i = 0; i < p.k; ++i) {
      const U factor = alpha * a[i * p.a_column];
      const U* bi = b + i * p.b_row;
      if (p.b_column == 1)
        for (int64_t j = 0; j < p.n; ++j) y[j] += factor * bi[j];
      else
        for (int64_t j = 0; j < p.n; ++j) y[j] += factor * bi[j * p.b_column];
    }
  }
}

}  // namespace

BatchOffsets batch_offsets(const Product& p, int64_t batch) noexcept {
  BatchOffsets o{0, 0};
  for (int i = p.batch_rank - 1; i >= 0; --i) {
    const int64_t index = batch % p.batch[i];
    batch /= p.batch[i];
    o.a += index * p.a_batch[i];
    o.b += index * p.b_batch[i];
  }
  return o;
}

ProductOperand ProductOperand::of(const Shape& shape, bool transpose, bool transpose_batch) {
  const int rank = shape.rank();
  ProductOperand o;
  o.dims.resize(rank);
  o.strides.resize(rank);
  Shape strides;
  strides.resize(rank);
  for (int64_t i = rank - 1, s = 1; i >= 0; s *= shape[static_cast<int>(i)], --i) strides[static_cast<int>(i)] = s;
  for (int i = 0; i < rank; ++i) {
    int from = i;
    if (transpose && i >= rank - 2) from = 2 * rank - 3 - i;
    if (transpose_batch && from < rank - 1) from = from == rank - 2 ? 0 : from + 1;
    o.dims[i] = shape[from];
    o.strides[i] = strides[from];
  }
  return o;
}

void set_geometry(Product& p, const ProductOperand& a, const ProductOperand& b, bool fold) {
  const int ra = a.dims.rank(), rb = b.dims.rank(), rank = std::max(ra, rb);
  p.m = a.dims[ra - 2], p.k = a.dims[ra - 1], p.n = b.dims[rb - 1];
  p.a_row = a.strides[ra - 2], p.a_column = a.strides[ra - 1];
  p.b_row = b.strides[rb - 2], p.b_column = b.strides[rb - 1];
  p.batches = 1, p.batch_rank = 0;
  bool b_repeats = true, a_stacks = p.a_row != 0;  // do a's batches continue its rows?
  int64_t next_row = p.m * p.a_row;
  for (int i = rank - 3; i >= 0; --i) {
    const int ia = i - (rank - ra), ib = i - (rank - rb);
    const int64_t da = ia >= 0 ? a.dims[ia] : 1, db = ib >= 0 ? b.dims[ib] : 1;
    if (da == 1 && db == 1) continue;
    const int at = p.batch_rank++;
    p.batch[at] = da == 1 ? db : da;
    p.a_batch[at] = da == 1 ? 0 : a.strides[ia];
    p.b_batch[at] = db == 1 ? 0 : b.strides[ib];
    p.batches *= p.batch[at];
    b_repeats = b_repeats && db == 1;
    a_stacks = a_stacks && p.a_batch[at] == next_row;
    next_row *= p.batch[at];
  }
  std::reverse(p.batch, p.batch + p.batch_rank);
  std::reverse(p.a_batch, p.a_batch + p.batch_rank);
  std::reverse(p.b_batch, p.b_batch + p.batch_rank);
  if (fold && p.batch_rank > 0 && b_repeats && a_stacks) {
    p.m *= p.batches;
    p.batches = 1;
    p.batch_rank = 0;
  }
}

size_t product_scratch_bytes(const Product& p, int threads) {
  if (!is_float(p.dtype)) return 0;
  return slice_bytes(kernels::kernels().gemm_scratch_bytes(gemm_of(p))) * static_cast<size_t>(threads);
}

void run_product(const RunContext& c, const Product& p, void* scratch) {
  if (p.m == 0 || p.n == 0 || p.batches == 0) return;
  const double work = static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  if (!is_float(p.dtype)) {
    const auto grain = static_cast<int64_t>(serial_work / 4 / (static_cast<double>(p.n * p.k) + 1)) + 1;
    c.parallel_ranges(p.batches * p.m, grain, [&](int64_t begin, int64_t end) {
      if (bits(p.dtype) == 64) integer_rows<uint64_t>(p, begin, end);
      else integer_rows<uint32_t>(p, begin, end);
    });
    return;
  }
  const kernels::Kernels& kernel = kernels::kernels();
  kernels::Gemm g = gemm_of(p);
  if (p.batches == 1 && (c.threads() == 1 || work < serial_work)) return kernel.gemm(g, 0, kernels::all_tiles, scratch);
  const int64_t tiles = kernel.gemm_tiles(g);
  const int element_bytes = bits(p.dtype) / 8;
  const size_t slice = slice_bytes(kernel.gemm_scratch_bytes(g));
  const auto grain = static_cast<int64_t>(serial_work / (work / static_cast<double>(tiles) + 1)) + 1;
  c.parallel_ranges(p.batches * tiles, grain, [&](int64_t begin, int64_t end) {
    kernels::Gemm local = g;
    void* mine = static_cast<char*>(scratch) + slice * static_cast<size_t>(RunContext::worker());
    while (begin < end) {
      const int64_t batch = begin / tiles, first = begin % tiles, last = std::min(tiles, first + end - begin);
      select_batch(local, p, batch, element_bytes);
      kernel.gemm(local, first, last, mine);
      begin += last - first;
    }
  });
}

bool asks_bf16(const Attributes& a) { return a.string("compute", "") == "bf16"; }

PackedOperand pack_constant(const PrepareContext& c, const Tensor& b, const ProductOperand& geometry, bool allow_bf16) {
  PackedOperand packed;
  const int rank = geometry.dims.rank();
  if (!is_float(b.dtype()) || rank < 2 || b.count() == 0) return packed;
  kernels::Gemm g;
  g.k = geometry.dims[rank - 2], g.n = geometry.dims[rank - 1];
  g.b_row_stride = geometry.strides[rank - 2], g.b_column_stride = geometry.strides[rank - 1];
  g.a_type = g.b_type = g.c_type = float_type(b.dtype());
  g.allow_bf16 = allow_bf16;
  // Batch axes keep their order in memory only where the operand is contiguous over them.
  int64_t expected = g.k * g.n;
  for (int i = rank - 3; i >= 0; expected *= geometry.dims[i], --i)
    if (geometry.dims[i] != 1 && geometry.strides[i] != expected) return packed;
  const kernels::Kernels& kernel = kernels::kernels();
  const int64_t count = b.count() / (g.k * g.n);
  packed.stride = slice_bytes(kernel.gemm_pack_b_bytes(g));
  packed.bytes = c.packed("b", static_cast<size_t>(count) * packed.stride, [&](void* memory) {
    for (int64_t i = 0; i < count; ++i) {
      g.b = static_cast<const char*>(b.raw()) + bytes_for(b.dtype(), i * g.k * g.n);
      kernel.gemm_pack_b(g, static_cast<char*>(memory) + static_cast<size_t>(i) * packed.stride);
    }
  });
  return packed;
}

}  // namespace outpost
