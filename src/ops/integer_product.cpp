// Integer products: geometry, tiles over batches, zero points by batch.
#include "ops/integer_product.h"

#include <algorithm>

namespace outpost {
namespace {

kernels::GemmInt8 gemm_of(const IntegerProduct& p) {
  kernels::GemmInt8 g;
  const Product& s = p.geometry;
  g.m = s.m, g.n = s.n, g.k = s.k;
  g.a_row_stride = s.a_row, g.a_column_stride = s.a_column;
  g.b_row_stride = s.b_row, g.b_column_stride = s.b_column;
  g.c_row_stride = s.n;
  g.a_signed = p.a->dtype == DType::i8, g.b_signed = p.b->dtype == DType::i8;
  return g;
}

// The zero point of one batch: where its values start, and their step.
const void* zero_of(const View* zero, int64_t lines, int64_t batch, int64_t& step) {
  if (!zero) return nullptr;
  step = zero->count() == 1 ? 0 : 1;
  return zero->as<const char>() + (zero->count() > lines ? batch * lines : 0);
}

Dims matrix(Dims d, bool column) {
  if (d.size() == 1) d.insert(column ? d.end() : d.begin(), Dim(1));
  return d;
}

ProductOperand operand(const Shape& s, bool column) {
  if (s.rank() == 1) return ProductOperand::of(column ? Shape{s[0], 1} : Shape{1, s[0]}, false, false);
  return ProductOperand::of(s, false, false);
}

}  // namespace

void infer_matmul(InferContext& c, int ia, int ib, DType dtype) {
  if (!c.ranked(ia) || !c.ranked(ib)) return c.output(0, dtype);
  const bool row = c.rank(ia) == 1, column = c.rank(ib) == 1;
  c.require(c.rank(ia) > 0 && c.rank(ib) > 0, "operands must have rank 1 or more");
  Dims a = matrix(c.dims(ia), false), b = matrix(c.dims(ib), true);
  const Dim ka = a.back(), kb = b[b.size() - 2], m = a[a.size() - 2], n = b.back();
  c.require(!ka.known() || !kb.known() || ka.size == kb.size, "inner sizes differ: ", c.input(ia), " times ",
            c.input(ib));
  a.resize(a.size() - 2), b.resize(b.size() - 2);
  Dims out = broadcast(c, a, b);
  if (!row) out.push_back(m);
  if (!column) out.push_back(n);
  c.output(0, dtype, std::move(out));
}

void check_zero_point(const InferContext& c, int input, int of, bool rows) {
  if (!c.has(input) || !c.input(input).is_static() || !c.input(of).is_static()) return;
  const Shape x = c.input(of).shape();
  const int64_t count = c.input(input).shape().count();
  int64_t lines = 1, batches = 1;
  if (x.rank() >= 2) lines = x[rows ? x.rank() - 2 : x.rank() - 1], batches = x.count(0, x.rank() - 2);
  c.require(count == 1 || count == lines || count == batches * lines, "input ", input, " ",
            c.input(input), " has ", count, " values; expected one, ", lines, ", or ", lines,
            " for each batch of input ", of, " ", c.input(of));
}

void check_single(const InferContext& c, int input) {
  if (!c.has(input) || !c.input(input).is_static()) return;
  c.require(c.input(input).shape().count() == 1, "input ", input, " ", c.input(input), " must hold one value");
}

void require_lines(const RunContext& c, const View& v, int64_t lines, int64_t batches) {
  c.require(v.count() == 1 || v.count() == lines || v.count() == lines * batches, "a scale or zero point has ",
            v.count(), " values; expected one, ", lines, ", or ", lines, " for each of ", batches, " batches");
}

PackedOperand pack_integer_constant(const PrepareContext& c, const Tensor& b, const Tensor* b_zero) {
  PackedOperand packed;
  if (b.count() == 0 || b.rank() < 1) return packed;
  const kernels::Kernels& kernel = kernels::kernels();
  const ProductOperand shape = operand(b.shape(), true);
  const int rank = shape.dims.rank();
  kernels::GemmInt8 g;
  g.k = shape.dims[rank - 2], g.n = shape.dims[rank - 1];
  g.b_row_stride = shape.strides[rank - 2], g.b_column_stride = shape.strides[rank - 1];
  g.b_signed = b.dtype() == DType::i8;
  packed.stride = slice_bytes(kernel.gemm_int8_pack_b_bytes(g));
  const int64_t count = b.count() / (g.k * g.n);
  if (b_zero && b_zero->count() != 1 && b_zero->count() != g.n && b_zero->count() != g.n * count) return packed;
  const Shape zero_shape = b_zero ? b_zero->shape() : Shape{};
  const View zero{b_zero ? const_cast<void*>(b_zero->raw()) : nullptr, &zero_shape, b.dtype()};
  packed.bytes = c.packed("b", static_cast<size_t>(count) * packed.stride, [&](void* memory) {
    for (int64_t i = 0; i < count; ++i) {
      g.b = static_cast<const char*>(b.raw()) + i * g.k * g.n;
      g.b_zero = zero_of(b_zero ? &zero : nullptr, g.n, i, g.b_zero_stride);
      kernel.gemm_int8_pack_b(g, static_cast<char*>(memory) + static_cast<size_t>(i) * packed.stride);
    }
  });
  return packed;
}

std::shared_ptr<const void> prepare_integer_product(const PrepareContext& c, int ib, int iz) {
  auto p = std::make_shared<PackedOperand>();
  const Tensor *b = c.constant(ib), *zero = c.constant(iz);
  if (b && (b->dtype() == DType::i8 || b->dtype() == DType::u8) && (zero || !c.node.input(iz)))
    *p = pack_integer_constant(c, *b, zero);
  if (p->bytes.defined()) c.consumed(ib);
  return p;
}

IntegerProduct integer_product(const View& a, const View& b, const View* a_zero, const View* b_zero) {
  IntegerProduct p;
  p.a = &a, p.b = &b, p.a_zero = a_zero, p.b_zero = b_zero;
  const bool fold = !a_zero || a_zero->count() == 1;
  set_geometry(p.geometry, operand(a.shape(), false), operand(b.shape(), true), fold);
  return p;
}

size_t integer_product_scratch_bytes(const IntegerProduct& p, int threads) {
  return slice_bytes(kernels::kernels().gemm_int8_scratch_bytes(gemm_of(p))) * static_cast<size_t>(threads);
}

void run_integer_product(const RunContext& c, const IntegerProduct& p, void* scratch) {
  if (p.count() == 0) return;
  if (p.a_zero) require_lines(c, *p.a_zero, p.geometry.m, p.geometry.batches);
  if (p.b_zero) require_lines(c, *p.b_zero, p.geometry.n, p.geometry.batches);
  const kernels::Kernels& kernel = kernels::kernels();
  const kernels::GemmInt8 shape = gemm_of(p);
  const Product& s = p.geometry;
  const int64_t tiles = kernel.gemm_int8_tiles(shape);
  const double work = static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  const auto grain = static_cast<int64_t>(serial_work * 2 / (work / static_cast<double>(tiles) + 1)) + 1;
  const size_t slice = slice_bytes(kernel.gemm_int8_scratch_bytes(shape));
  const bool use_packed = p.packed && p.packed->bytes.defined();
  const char* packed = use_packed ? static_cast<const char*>(p.packed->bytes.raw()) : nullptr;
  c.parallel_ranges(s.batches * tiles, grain, [&](int64_t begin, int64_t end) {
    kernels::GemmInt8 g = shape;
    void* mine = static_cast<char*>(scratch) + slice * static_cast<size_t>(RunContext::worker());
    while (begin < end) {
      const int64_t batch = begin / tiles, first = begin % tiles, last = std::min(tiles, first + end - begin);
      const BatchOffsets o = batch_offsets(s, batch);
      g.a = p.a->as<const char>() + o.a, g.b = packed ? nullptr : p.b->as<const char>() + o.b, g.c = p.y + batch * s.m * s.n;
      g.a_zero = zero_of(p.a_zero, s.m, batch, g.a_zero_stride);
      g.b_zero = zero_of(p.b_zero, s.n, batch, g.b_zero_stride);
      if (packed) g.packed_b = packed + static_cast<size_t>(o.b / (s.k * s.n)) * p.packed->stride;
      kernel.gemm_int8(g, first, last, mine);
      begin += last - first;
    }
  });
}

float value_f32(const View& v, int64_t i) {
  float value;
  return *read<float>(v, i, 1, &value);
}

int32_t value_i32(const View& v, int64_t i) {
  return v.dtype == DType::i8 ? v.as<const int8_t>()[i] : v.as<const uint8_t>()[i];
}

}  // namespace outpost
