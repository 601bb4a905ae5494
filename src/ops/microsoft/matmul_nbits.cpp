// MatMulNBits: A times weights of 2, 4 or 8 bits in blocks along K, each with a scale and a zero point. Weights are
// widened one tile of output columns at a time, in the thread that multiplies with them; never as a whole.
// B is (N, blocks, bytes of a block), low bits first. Source: onnxruntime ContribOperators.md, MatMulNBits.
#include <algorithm>

#include "ops/multiply.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

enum Input { a, b, scales, zeros, groups, bias };

struct Prepared {
  int64_t k, n, bits, block, blocks, blob;  // blob: bytes of a block
  // (n, blocks), of constant 4-bit weights; factors is empty where the kernel for few rows cannot be used, points where
  // there are none.
  std::vector<float> factors, points;
};

Prepared parse(const Node& node) {
  const Attributes& t = node.attributes;
  Prepared p;
  p.k = t.integer("K", 0), p.n = t.integer("N", 0), p.bits = t.integer("bits", 4), p.block = t.integer("block_size", 0);
  constexpr int64_t largest = int64_t{1} << 31;
  if (p.k < 1 || p.k > largest || p.n < 1 || p.n > largest)
    fail(ErrorCode::invalid_model, node.label(), ": K is ", p.k, " and N is ", p.n, "; expected positive sizes");
  if (p.bits != 2 && p.bits != 4 && p.bits != 8)
    fail(ErrorCode::unsupported, node.label(), ": bits is ", p.bits, "; 2, 4 and 8 are supported");
  if (p.block < 16 || p.block > largest || (p.block & (p.block - 1)))
    fail(ErrorCode::invalid_model, node.label(), ": block_size is ", p.block, "; expected a power of two from 16 on");
  p.blocks = (p.k + p.block - 1) / p.block;
  p.blob = p.block * p.bits / 8;
  return p;
}

float zero_point(const View* zeros, const Prepared& p, int64_t column, int64_t block) {
  if (!zeros) return static_cast<float>(1 << (p.bits - 1));
  if (zeros->dtype != DType::u8) {
    float value;
    return *read<float>(*zeros, column * p.blocks + block, 1, &value);
  }
  const int64_t bit = block * p.bits;
  const uint8_t byte = zeros->as<const uint8_t>()[column * ((p.blocks * p.bits + 7) / 8) + bit / 8];
  return static_cast<float>(byte >> (bit % 8) & ((1 << p.bits) - 1));
}

// Scales and zero points as numbers, where the kernel for few rows can take them.
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>(parse(c.node));
  const Tensor *factors = c.constant(scales), *points = c.node.input(zeros) ? c.constant(zeros) : nullptr;
  const bool whole = p->blob % (kernels::kernels().vector_bytes / static_cast<int>(sizeof(float))) == 0;
  if (p->bits != 4 || !whole || !factors || c.node.input(groups) || (c.node.input(zeros) && !points)) return p;
  const View scale{const_cast<void*>(factors->raw()), &factors->shape(), factors->dtype()};
  const int64_t count = p->n * p->blocks;
  if (scale.count() != count) return p;
  p->factors.resize(static_cast<size_t>(count));
  std::copy_n(read<float>(scale, 0, count, p->factors.data()), count, p->factors.data());
  if (!points) return p;
  const View zero{const_cast<void*>(points->raw()), &points->shape(), points->dtype()};
  for (int64_t i = 0; i < count; ++i) p->points.push_back(zero_point(&zero, *p, i / p->blocks, i % p->blocks));
  return p;
}

// ---- Few rows: every weight is unpacked in registers, once.

constexpr int64_t few_rows = 4;

bool is_few(const View& x, const Prepared& p) { return !p.factors.empty() && x.count() / p.k <= few_rows; }

size_t few_bytes(const Prepared& p) {
  return slice_bytes(static_cast<size_t>(few_rows * p.blocks * p.block) * sizeof(float));
}

// x by blocks, even values before odd ones and zeros past k.
void part_rows(const View& x, const Prepared& p, int64_t rows, float* parted) {
  std::fill(parted, parted + rows * p.blocks * p.block, 0.0f);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t b = 0; b < p.blocks; ++b) {
      float* even = parted + (r * p.blocks + b) * p.block;
      float* odd = even + p.blob;
      for (int64_t i = 0, n = std::min(p.block, p.k - b * p.block); i < n; ++i) {
        float value;
        (i % 2 ? odd : even)[i / 2] = *read<float>(x, r * p.k + b * p.block + i, 1, &value);
      }
    }
}

void multiply_few(RunContext& c, const Prepared& p, const float* column_bias, float* parted) {
  const View &x = c.in(a), &y = c.out(0);
  const int64_t rows = x.count() / p.k;
  part_rows(x, p, rows, parted);
  const auto* bytes = c.in(b).as<const uint8_t>();
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / p.k);
  c.parallel_ranges(p.n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const kernels::Blocks4 column{bytes + j * p.blocks * p.blob, p.blocks, p.blob, p.factors.data() + j * p.blocks,
                                    p.points.empty() ? nullptr : p.points.data() + j * p.blocks};
      float out[few_rows];
      kernels::kernels().dot_blocks4(column, parted, p.blocks * p.block, static_cast<int>(rows), out);
      for (int64_t r = 0; r < rows; ++r) {
        if (column_bias) out[r] += column_bias[j];
        narrow(y.dtype, out + r, 1, y.data, r * p.n + j);
      }
    }
  });
}

void check_count(const InferContext& c, int input, int64_t expected) {
  if (!c.has(input) || !c.input(input).is_static()) return;
  const int64_t n = c.input(input).shape().count();
  c.require(n == expected, "input ", input, " ", c.input(input), " has ", n, " values; expected ", expected);
}

void infer(InferContext& c) {
  const Prepared p = parse(c.node());
  c.require_dtype(a, {DType::f32, DType::f16, DType::bf16});
  c.require_dtype(b, {DType::u8});
  c.require_dtype(groups, {DType::i32});
  c.require_dtype(scales, {DType::f32, DType::f16, DType::bf16});
  check_count(c, b, p.n * p.blocks * p.blob);
  check_count(c, scales, p.n * p.blocks);
  const bool packed = c.has(zeros) && c.dtype(zeros) == DType::u8;
  check_count(c, zeros, packed ? p.n * ((p.blocks * p.bits + 7) / 8) : p.n * p.blocks);
  check_count(c, bias, p.n);
  if (c.has(groups) && c.input(groups).is_static())
    c.require(c.input(groups).shape().count() >= p.k, "g_idx must have one value for each of K=", p.k);
  if (!c.ranked(a)) return c.output(0, c.dtype(a));
  Dims out = c.dims(a);
  c.require(!out.empty() && (!out.back().known() || out.back().size == p.k), "A ", c.input(a), " does not end in K=",
            p.k);
  out.back() = Dim(p.n);
  c.output(0, c.dtype(a), std::move(out));
}

// Columns of one tile: their widened weights stay within a core's cache.
int64_t tile_columns(const Prepared& p) { return std::clamp<int64_t>((1 << 18) / p.k, 8, 64); }

kernels::Gemm gemm_of(const View& x, const Prepared& p, int64_t columns) {
  kernels::Gemm g;
  g.m = x.count() / p.k, g.n = columns, g.k = p.k;
  g.a = x.data, g.a_row_stride = p.k;
  g.b_row_stride = 1, g.b_column_stride = p.k;
  g.c_row_stride = p.n;
  g.a_type = g.c_type = float_type(x.dtype);
  return g;
}

// For each thread: widened weights and scales of a tile | product memory.
struct Layout {
  size_t weights, gemm, bias;
  Layout(const View& x, const Prepared& p, const View* bias_view) {
    const int64_t columns = tile_columns(p);
    weights = slice_bytes(static_cast<size_t>(columns * p.k) * sizeof(float));
    gemm = slice_bytes(kernels::kernels().gemm_scratch_bytes(gemm_of(x, p, columns)));
    bias = bias_view ? f32_copy_bytes(*bias_view) : 0;
  }
  size_t slice() const { return weights + gemm; }
};

size_t scratch(const ScratchContext& c) {
  const Prepared& p = *static_cast<const Prepared*>(c.prepared);
  const Layout l(c.in(a), p, c.has(bias) ? &c.in(bias) : nullptr);
  if (is_few(c.in(a), p)) return l.bias + few_bytes(p);
  return l.bias + l.slice() * static_cast<size_t>(c.threads);
}

// y = q * scale + offset over n <= block values.
void widen_block(const uint8_t* q, int64_t bits, int64_t n, float scale, float offset, float* y) {
  if (bits == 8) {
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(q[i]) * scale + offset;
    return;
  }
  if (bits == 4) {
    for (int64_t i = 0; i < n / 2; ++i) {
      y[2 * i] = static_cast<float>(q[i] & 15) * scale + offset;
      y[2 * i + 1] = static_cast<float>(q[i] >> 4) * scale + offset;
    }
    if (n % 2) y[n - 1] = static_cast<float>(q[n / 2] & 15) * scale + offset;
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(q[i / 4] >> (i % 4 * 2) & 3) * scale + offset;
}

void widen_column(const RunContext& c, const Prepared& p, int64_t column, float* y) {
  const uint8_t* q = c.in(b).as<const uint8_t>() + column * p.blocks * p.blob;
  const View* points = c.has(zeros) ? &c.in(zeros) : nullptr;
  auto scale_of = [&](int64_t block) {
    float value;
    return *read<float>(c.in(scales), column * p.blocks + block, 1, &value);
  };
  if (!c.has(groups)) {
    for (int64_t i = 0; i < p.blocks; ++i) {
      const float scale = scale_of(i), zero = zero_point(points, p, column, i);
      widen_block(q + i * p.blob, p.bits, std::min(p.block, p.k - i * p.block), scale, -zero * scale, y + i * p.block);
    }
    return;
  }
  const auto* group = c.in(groups).as<const int32_t>();  // checked in run
  for (int64_t i = 0; i < p.blocks; ++i)
    widen_block(q + i * p.blob, p.bits, std::min(p.block, p.k - i * p.block), 1, 0, y + i * p.block);
  for (int64_t i = 0; i < p.k; ++i) y[i] = (y[i] - zero_point(points, p, column, group[i])) * scale_of(group[i]);
}

void run(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View &x = c.in(a), &y = c.out(0);
  if (y.count() == 0) return;
  if (c.has(groups))
    for (int64_t i = 0; i < p.k; ++i) {
      const int32_t g = c.in(groups).as<const int32_t>()[i];
      c.require(g >= 0 && g < p.blocks, "g_idx holds ", g, "; expected 0..", p.blocks - 1);
    }
  const kernels::Kernels& kernel = kernels::kernels();
  const Layout l(x, p, c.has(bias) ? &c.in(bias) : nullptr);
  const float* column_bias = c.has(bias) ? as_f32(c.in(bias), c.scratch<float>()) : nullptr;
  if (is_few(x, p)) return multiply_few(c, p, column_bias, reinterpret_cast<float*>(c.scratch<char>() + l.bias));
  const int64_t width = tile_columns(p), element = bits(y.dtype) / 8;
  c.parallel((p.n + width - 1) / width, [&](int64_t tile) {
    const int64_t first = tile * width, columns = std::min(width, p.n - first);
    char* mine = c.scratch<char>() + l.bias + l.slice() * static_cast<size_t>(RunContext::worker());
    auto* weights = reinterpret_cast<float*>(mine);
    for (int64_t i = 0; i < columns; ++i) widen_column(c, p, first + i, weights + i * p.k);
    kernels::Gemm g = gemm_of(x, p, columns);
    g.b = weights;
    g.c = y.as<char>() + first * element;
    if (column_bias) g.epilogue.column_bias = column_bias + first;
    kernel.gemm(g, 0, kernel.gemm_tiles(g), mine + l.weights);
  });
}

Cost cost(const CostContext& c) {
  const double k = static_cast<double>(c.node.attributes.integer("K", 0));
  return {2 * c.count(*c.out(0)) * k, c.count(*c.in(b)) + 4 * c.count(*c.in(scales))};
}

}  // namespace

OUTPOST_DEFINE_OP(ms_MatMulNBits, .name = "MatMulNBits", .domain = "com.microsoft", .min_inputs = 3, .max_inputs = 6,
                  .doc = "Product with weights of 2, 4 or 8 bits in scaled blocks", .infer = infer, .run = run,
                  .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  K=32 N=3 bits=4 block_size=16 | f32[2,32] u8[3,2,8] f32[6]
  K=40 N=5 bits=4 block_size=16 | f32[1,2,40] u8[5,3,8] f32[15] u8[10] - f32[5]
  K=64 N=3 bits=4 block_size=32 | f32[1,64] u8[3,2,16] f32[6]
  K=40 N=3 bits=4 block_size=32 | f32[3,40] u8[3,2,16] f32[6] u8[3] - f32[3]
  K=16 N=2 bits=8 block_size=16 | f32[3,16] u8[2,1,16] f32[2] u8[2]
  K=16 N=2 bits=2 block_size=16 | f32[3,16] u8[2,1,4] f32[2]
)");

}  // namespace outpost
