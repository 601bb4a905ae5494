// DeformConv, 2-D: a convolution whose taps are moved by learned offsets and weighted by a mask, sampled bilinearly
// with zeros outside. Tiles of output positions are unfolded and multiplied.
// Source: ONNX DeformConv-22; Dai et al. 2017, Zhu et al. 2018.
#include <algorithm>

#include "ops/convolution.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

enum Input { in_x, in_w, in_offset, in_bias, in_mask };

struct Prepared {
  WindowAttributes window;
  int64_t groups, offset_groups;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const Attributes& a = c.attributes();
  return std::make_shared<Prepared>(
      Prepared{WindowAttributes::of(c.node), a.integer("group", 1), a.integer("offset_group", 1)});
}

void infer(InferContext& c) {
  c.require_dtype(in_x, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i = 1; i < 5; ++i) c.require_same_dtype(0, i);
  const WindowAttributes w = WindowAttributes::of(c.node());
  const int64_t groups = c.attributes().integer("group", 1), offset_groups = c.attributes().integer("offset_group", 1);
  constexpr int64_t most = 1 << 20;
  c.require(groups >= 1 && groups <= most && offset_groups >= 1 && offset_groups <= most,
            "group and offset_group must be positive");
  if (!c.ranked(in_x) || !c.ranked(in_w)) return c.output(0, c.dtype(0));
  const Dims &x = c.dims(in_x), &weight = c.dims(in_w);
  c.require(x.size() == 4 && weight.size() == 4, "only two spatial axes are supported; found X ", c.input(in_x));
  c.require(!x[1].known() || !weight[1].known() || x[1].size == weight[1].size * groups, "X has ", x[1].size,
            " channels; W ", c.input(in_w), " with group ", groups, " expects another number");
  c.require(!weight[0].known() || weight[0].size % groups == 0, "output channels do not divide into ", groups,
            " groups");
  c.require(!x[1].known() || x[1].size % offset_groups == 0, "channels do not divide into ", offset_groups,
            " offset groups");
  Dims out{x[0], weight[0]};
  for (const Dim& d : window_dims(c, w, std::span(x).subspan(2), std::span(weight).subspan(2))) out.push_back(d);
  const Dim taps = weight[2] * weight[3] * Dim(offset_groups);
  auto check = [&](int input, Dim channels) {
    if (!c.has(input) || !c.ranked(input)) return;
    const Dim expected[4] = {x[0], channels, out[2], out[3]};
    bool fits = c.rank(input) == 4;
    for (size_t i = 0; fits && i < 4; ++i)
      fits = !expected[i].known() || !c.dims(input)[i].known() || expected[i].size == c.dims(input)[i].size;
    c.require(fits, "input ", input, " is ", c.input(input), "; expected ",
              Type::tensor(c.dtype(0), Dims(expected, expected + 4)));
  };
  check(in_offset, taps * Dim(2));
  check(in_mask, taps);
  if (c.has(in_bias) && c.ranked(in_bias))
    c.require(c.rank(in_bias) == 1 && (!weight[0].known() || !c.dims(in_bias)[0].known() ||
              c.dims(in_bias)[0].size == weight[0].size), "B must have one value per output channel");
  c.output(0, c.dtype(0), std::move(out));
}

struct Plan {
  kernels::Window window;
  int64_t batch, groups, offset_groups, channels, in, out, taps, positions, tile, blocks;  // in, out: of one group
  kernels::Gemm gemm;
  size_t columns_bytes, slice;

  Plan(const View& x, const View& w, const Prepared& p) {
    window = resolve_window(p.window, 2, x.shape().data() + 2, w.shape().data() + 2);
    batch = x.dim(0), groups = p.groups, offset_groups = p.offset_groups, channels = x.dim(1);
    in = channels / groups, out = w.dim(0) / groups;
    taps = w.dim(2) * w.dim(3), positions = volume(window.out);
    const int64_t element = x.dtype == DType::f64 ? 8 : 4;
    tile = std::max<int64_t>(1, std::min(positions, unfold_tile(in * taps, static_cast<int>(element))));
    blocks = (positions + tile - 1) / tile;
    gemm.m = out, gemm.n = tile, gemm.k = in * taps;
    gemm.a_row_stride = gemm.k, gemm.b_row_stride = tile, gemm.c_row_stride = positions;
    gemm.a_type = gemm.b_type = gemm.c_type = element == 8 ? kernels::FloatType::f64 : kernels::FloatType::f32;
    columns_bytes = slice_bytes(static_cast<size_t>(gemm.k * tile * element));
    slice = columns_bytes + slice_bytes(kernels::kernels().gemm_scratch_bytes(gemm));
  }
};

template <class T>
struct Operands {
  const T *x, *w, *offset, *bias, *mask;
  T* y;
};

// Row (channel, tap) of the columns at stride `n`, for every channel [first, last) of the image; they share offsets.
template <class T>
void sample_tap(const Plan& s, const T* image, const T* dy, const T* dx, const T* mask, int64_t tap, int64_t begin,
                int64_t n, int64_t first, int64_t last, int64_t group_first, T* columns) {
  const kernels::Window& w = s.window;
  const int64_t height = w.in[1], width = w.in[2], plane = height * width;
  const T row = static_cast<T>(tap / w.kernel[2] * w.dilation[1] - w.pad[1]);
  const T column = static_cast<T>(tap % w.kernel[2] * w.dilation[2] - w.pad[2]);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t p = begin + i;
    const T y = static_cast<T>(p / w.out[2] * w.stride[1]) + row + dy[p];
    const T x = static_cast<T>(p % w.out[2] * w.stride[2]) + column + dx[p];
    const T weight = mask ? mask[p] : T{1};
    T* out = columns + ((first - group_first) * s.taps + tap) * n + i;
    const bool inside = y > -1 && x > -1 && y < static_cast<T>(height) && x < static_cast<T>(width);
    if (!inside) {
      for (int64_t c = first; c < last; ++c, out += s.taps * n) *out = 0;
      continue;
    }
    const auto y0 = static_cast<int64_t>(std::floor(y)), x0 = static_cast<int64_t>(std::floor(x));
    const T fy = y - static_cast<T>(y0), fx = x - static_cast<T>(x0);
    const bool top = y0 >= 0, bottom = y0 + 1 < height, left = x0 >= 0, right = x0 + 1 < width;
    const T w00 = top && left ? (1 - fy) * (1 - fx) * weight : 0, w01 = top && right ? (1 - fy) * fx * weight : 0;
    const T w10 = bottom && left ? fy * (1 - fx) * weight : 0, w11 = bottom && right ? fy * fx * weight : 0;
    const int64_t r0 = std::max<int64_t>(y0, 0) * width, r1 = std::min(y0 + 1, height - 1) * width;
    const int64_t c0 = std::max<int64_t>(x0, 0), c1 = std::min(x0 + 1, width - 1);
    for (int64_t c = first; c < last; ++c, out += s.taps * n) {
      const T* from = image + c * plane;
      *out = w00 * from[r0 + c0] + w01 * from[r0 + c1] + w10 * from[r1 + c0] + w11 * from[r1 + c1];
    }
  }
}

template <class T>
void run_tile(const Plan& s, const Operands<T>& o, int64_t image, int64_t group, int64_t block, char* memory) {
  const kernels::Kernels& kernel = kernels::kernels();
  const int64_t begin = block * s.tile, n = std::min(s.tile, s.positions - begin), share = s.channels / s.offset_groups;
  T* columns = reinterpret_cast<T*>(memory);
  const int64_t group_first = group * s.in, group_last = group_first + s.in;
  for (int64_t first = group_first; first < group_last;) {
    const int64_t offsets = first / share, last = std::min(group_last, (offsets + 1) * share);
    const T* base = o.offset + (image * s.offset_groups + offsets) * s.taps * 2 * s.positions;
    const T* mask = o.mask ? o.mask + (image * s.offset_groups + offsets) * s.taps * s.positions : nullptr;
    for (int64_t tap = 0; tap < s.taps; ++tap)
      sample_tap(s, o.x + image * s.channels * volume(s.window.in), base + 2 * tap * s.positions,
                 base + (2 * tap + 1) * s.positions, mask ? mask + tap * s.positions : nullptr, tap, begin, n, first,
                 last, group_first, columns);
    first = last;
  }
  kernels::Gemm g = s.gemm;
  g.n = n, g.b_row_stride = n;
  g.a = o.w + group * s.out * g.k, g.b = columns;
  g.c = o.y + (image * s.groups + group) * s.out * s.positions + begin;
  if (o.bias) g.epilogue.row_bias = o.bias + group * s.out;
  kernel.gemm(g, 0, kernel.gemm_tiles(g), memory + s.columns_bytes);
}

template <class T>
void run_tiles(const RunContext& c, const Plan& s, const Operands<T>& o, char* slices) {
  c.parallel(s.batch * s.groups * s.blocks, [&](int64_t t) {
    run_tile(s, o, t / s.blocks / s.groups, t / s.blocks % s.groups, t % s.blocks,
             slices + s.slice * static_cast<size_t>(RunContext::worker()));
  });
}

// Scratch: narrow floats: every operand in f32 | for each thread columns and product memory.
size_t scratch(const ScratchContext& c) {
  const Plan s(c.in(in_x), c.in(in_w), *static_cast<const Prepared*>(c.prepared));
  size_t copies = c.in(in_x).dtype == DType::f64 ? 0 : f32_copy_bytes(c.out(0));
  for (int i = 0; i < 5; ++i)
    if (c.has(i) && c.in(i).dtype != DType::f64) copies += f32_copy_bytes(c.in(i));
  return copies + s.slice * static_cast<size_t>(c.threads);
}

void run(RunContext& c) {
  const View &x = c.in(in_x), &y = c.out(0);
  if (y.count() == 0) return;
  const Plan s(x, c.in(in_w), c.prepared<Prepared>());
  char* memory = c.scratch<char>();
  if (x.dtype == DType::f64) {
    auto at = [&](int i) { return c.has(i) ? c.in(i).as<const double>() : nullptr; };
    const Operands<double> o{at(in_x), at(in_w), at(in_offset), at(in_bias), at(in_mask), y.as<double>()};
    return run_tiles(c, s, o, memory);
  }
  auto at = [&](int i) -> const float* {
    if (!c.has(i)) return nullptr;
    const float* values = as_f32(c.in(i), reinterpret_cast<float*>(memory));
    memory += f32_copy_bytes(c.in(i));
    return values;
  };
  Operands<float> o{};
  o.x = at(in_x), o.w = at(in_w), o.offset = at(in_offset), o.bias = at(in_bias), o.mask = at(in_mask);
  o.y = target<float>(y, 0, reinterpret_cast<float*>(memory));
  memory += f32_copy_bytes(y);
  run_tiles(c, s, o, memory);
  write<float>(y, 0, y.count(), o.y);
}

Cost cost(const CostContext& c) {
  const Type &w = *c.in(in_w), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(y) * c.count(w) / static_cast<double>(w.dims[0].size) + 8 * c.count(*c.in(in_offset)),
          (c.count(*c.in(in_x)) + c.count(w) + c.count(y) + c.count(*c.in(in_offset))) * bits(y.dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(DeformConv, .name = "DeformConv", .since = 22, .first = 19, .min_inputs = 3, .max_inputs = 5,
                  .doc = "Convolution with moved taps, 2-D", .infer = infer, .run = run, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .cases = R"(
  | f32[1,2,4,4] f32[3,2,2,2] f32[1,8,3,3](-1,1) f32[3] f32[1,4,3,3]
  pads=[1,1,1,1] offset_group=2 group=2 | f32[2,4,4,3] f32[4,2,3,3] f32[2,36,4,3](-1,1)
)");

}  // namespace outpost
