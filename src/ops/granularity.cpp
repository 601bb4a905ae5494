// Which scale belongs to which element, and the checks of the shapes that say so.
#include "ops/granularity.h"

namespace outpost {

std::shared_ptr<const void> prepare_quantize(const PrepareContext& c) {
  const auto& a = c.attributes();
  return std::make_shared<QuantizeOptions>(QuantizeOptions{a.integer("axis", 1), a.integer("block_size", 0),
                                                           a.integer("saturate", 1) != 0,
                                                           static_cast<DType>(a.integer("precision", 0))});
}

size_t scratch_quantize(const ScratchContext& c) {
  return 2 * sizeof(double) * static_cast<size_t>(c.in(1).count()) + 64;
}

Granularity::Segment Granularity::at(int64_t element) const noexcept {
  if (per_tensor) return {count - element, 0, 0};
  const int64_t i = element % inner, a = element / inner % axis, outer = element / inner / axis;
  if (block == 0) return inner == 1 ? Segment{axis - a, a, 1} : Segment{inner - i, a, 0};
  const int64_t row = outer * stripes + a / block;
  return inner == 1 ? Segment{std::min(block - a % block, axis - a), row, 0} : Segment{inner - i, row * inner + i, 1};
}

Granularity granularity(const Shape& x, const Shape& scale, int64_t axis, int64_t block) {
  Granularity g;
  g.count = x.count();
  if (block == 0 && scale.count() == 1 && (scale.rank() == 0 || x.rank() <= 1 || scale.rank() == 1)) return g;
  if (axis < 0) axis += x.rank();
  g.per_tensor = false;
  g.axis = x[static_cast<int>(axis)];
  g.inner = x.count(static_cast<int>(axis) + 1, x.rank());
  g.block = block;
  g.stripes = block ? scale[static_cast<int>(axis)] : g.axis;
  return g;
}

void require_granularity(InferContext& c, int x, int scale, int zero_point, int64_t given, int64_t block) {
  c.require(block >= 0, "block_size is ", block, "; expected 0 or more");
  if (!c.ranked(x) || !c.ranked(scale)) return;
  const Dims &xs = c.dims(x), &ss = c.dims(scale);
  if (c.has(zero_point) && c.ranked(zero_point)) {
    const Dims& zs = c.dims(zero_point);
    bool same = zs.size() == ss.size();
    for (size_t i = 0; same && i < zs.size(); ++i) same = !zs[i].known() || !ss[i].known() || zs[i].size == ss[i].size;
    const auto single = [](const Dims& dims) {
      return std::all_of(dims.begin(), dims.end(), [](const Dim& d) { return d == Dim(1); });
    };
    c.require(same || (single(zs) && single(ss)), "the scale is ", c.input(scale), ", the zero point ",
              c.input(zero_point), "; expected equal shapes");
  }
  if (ss.empty()) return c.require(block == 0, "block_size is ", block, " but the scale is a scalar");
  if (block == 0 && ss.size() == 1) {
    if (ss[0] == Dim(1)) return;  // one for all, whatever the axis
    const int axis = c.axis(given, static_cast<int>(xs.size()));
    const Dim extent = xs[static_cast<size_t>(axis)];
    return c.require(!extent.known() || !ss[0].known() || extent.size == ss[0].size, "the scale has ", ss[0].size,
                     " elements; axis ", given, " has ", extent.size);
  }
  c.require(block > 0, "the scale is ", c.input(scale), "; expected a scalar, a vector, or block_size > 0");
  c.require(ss.size() == xs.size(), "the scale is ", c.input(scale), "; blocked quantisation of ", c.input(x),
            " needs equal ranks");
  const int axis = c.axis(given, static_cast<int>(xs.size()));
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!xs[i].known() || !ss[i].known()) continue;
    const int64_t expected = static_cast<int>(i) == axis ? xs[i].size / block + (xs[i].size % block != 0) : xs[i].size;
    c.require(ss[i].size == expected, "dimension ", i, " of the scale is ", ss[i].size, "; expected ", expected);
  }
}

}  // namespace outpost
