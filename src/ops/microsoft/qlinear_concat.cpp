// com.microsoft.QLinearConcat: quantised tensors joined along an axis, each rescaled to the output's scale and zero point
// through a table of its 256 values. Inputs: (output scale, output zero point, then x, scale, zero point of each part).
#include <algorithm>
#include <cmath>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require(c.inputs() >= 5 && (c.inputs() - 2) % 3 == 0, "has ", c.inputs(), " inputs; expected a scale, a zero point, and three for each part");
  c.require(c.attributes().has("axis"), "attribute 'axis' is missing");
  c.require_dtype(0, {DType::f32});
  c.require_dtype(1, {DType::u8, DType::i8});
  Dims dims;
  int axis = 0;
  bool ranked = true;
  for (int i = 2; i < c.inputs(); i += 3) {
    c.require_same_dtype(1, i);
    c.require_dtype(i + 1, {DType::f32});
    c.require_same_dtype(i, i + 2);
    ranked = ranked && c.ranked(i);
    if (!ranked) continue;
    if (i == 2) {
      dims = c.dims(i);
      axis = c.axis(c.attributes().integer("axis", 0), c.rank(i));
      continue;
    }
    c.require(c.dims(i).size() == dims.size(), "parts have ranks ", dims.size(), " and ", c.rank(i));
    for (int a = 0; a < c.rank(i); ++a) {
      const Dim d = c.dims(i)[a];
      if (a == axis) dims[a] = dims[a] + d;
      else if (!dims[a].known()) dims[a] = d;
      else c.require(!d.known() || d == dims[a], "parts have sizes ", dims[a].size, " and ", d.size, " on axis ", a);
    }
  }
  if (ranked) c.output(0, c.dtype(1), std::move(dims));
  else c.output(0, c.dtype(1));
}

struct Scale {
  float scale;
  int zero;
};

Scale scale_of(RunContext& ctx, int scale, int zero) {
  ctx.require(ctx.in(scale).count() == 1 && ctx.in(zero).count() == 1, "scales and zero points are scalars");
  return {*ctx.in(scale).as<float>(), static_cast<int>(Integers(ctx.in(zero))[0])};
}

// What every byte becomes.
void fill_table(uint8_t* table, bool is_signed, Scale from, Scale to) {
  for (int i = 0; i < 256; ++i) {
    const int q = is_signed ? static_cast<int8_t>(i) : i;
    const float real = static_cast<float>(q - from.zero) * from.scale, scaled = std::nearbyint(real / to.scale) + static_cast<float>(to.zero);
    const float low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
    const float clamped = scaled >= low ? std::min(scaled, high) : low;  // NaN: low
    table[i] = static_cast<uint8_t>(static_cast<int>(clamped));
  }
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  View& y = ctx.out(0);
  const Scale to = scale_of(ctx, 0, 1);
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + y.rank() : attribute);
  const int64_t outer = y.shape().count(0, axis), inner = y.shape().count(axis + 1, y.rank()), row = y.dim(axis) * inner;
  int64_t offset = 0;
  for (int i = 2; i < ctx.inputs(); i += 3) {
    const View& x = ctx.in(i);
    const int64_t part = x.dim(axis) * inner;
    const Scale from = scale_of(ctx, i + 1, i + 2);
    uint8_t* out = y.as<uint8_t>() + offset;
    offset += part;
    if (from.scale == to.scale && from.zero == to.zero) {
      copy_strided(ctx, x.dtype, {outer, part}, x.data, {part, 1}, out, {row, 1});
      continue;
    }
    uint8_t table[256];
    fill_table(table, y.dtype == DType::i8, from, to);
    ctx.parallel_ranges(outer, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, part)), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        for (int64_t k = 0; k < part; ++k) out[o * row + k] = table[x.as<uint8_t>()[o * part + k]];
    });
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ms_QLinearConcat, .name = "QLinearConcat", .domain = "com.microsoft", .min_inputs = 5, .max_inputs = -1,
                  .doc = "Joins quantised tensors.", .infer = infer, .run = run, .no_gradient = "quantised output",
                  .cases = R"(
                    axis=1 | f32[]={0.5} u8[]={3} u8[2,3] f32[]={0.5} u8[]={3} u8[2,2] f32[]={0.25} u8[]={9}
                    axis=-1 | f32[]={0.1} i8[]={0} i8[2,0] f32[]={0.1} i8[]={0} i8[2,3] f32[]={0.3} i8[]={-5})");

}  // namespace outpost
