// Convolution: the walk over tiles for f32, staging of images for narrow floats, and the f64 forms.
#include "ops/convolution.h"

#include <algorithm>

#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

// Scratch: packed weights (when not constant) | one image of x | one image of y | bias | per-thread kernel memory.
struct Layout {
  size_t weights = 0, packed = 0, x = 0, y = 0, bias = 0, slice = 0;
  size_t total(int threads) const { return weights + packed + x + y + bias + slice * static_cast<size_t>(threads); }
};

Layout layout(const Convolution& c) {
  const kernels::Kernels& k = kernels::kernels();
  Layout l;
  auto floats = [](int64_t n) { return slice_bytes(static_cast<size_t>(n) * sizeof(float)); };
  const bool narrow = c.dtype != DType::f32;
  if (!c.packed) {
    l.packed = slice_bytes(c.transposed ? k.conv_transpose_pack_bytes(c.shape) : k.conv_pack_bytes(c.shape));
    if (narrow) l.weights = floats(c.weight_count());
  }
  if (narrow) {
    l.x = floats(c.x_image());
    l.y = floats(c.y_image());
    l.bias = floats(c.shape.out_channels);
  }
  kernels::Conv one = c.shape;
  if (narrow) one.batch = 1;
  l.slice = slice_bytes(c.transposed ? k.conv_transpose_scratch_bytes(one) : k.conv_scratch_bytes(one));
  return l;
}

void run_tiles(const RunContext& r, const kernels::Conv& conv, bool transposed, char* slices, size_t slice,
               double work) {
  const kernels::Kernels& k = kernels::kernels();
  const int64_t tiles = transposed ? k.conv_transpose_tiles(conv) : k.conv_tiles(conv);
  auto body = [&](int64_t begin, int64_t end) {
    void* mine = slices + slice * static_cast<size_t>(RunContext::worker());
    if (transposed) k.conv_transpose(conv, begin, end, mine);
    else k.conv(conv, begin, end, mine);
  };
  if (work < serial_work) return body(0, tiles);
  r.parallel_ranges(tiles, static_cast<int64_t>(serial_work / (work / static_cast<double>(tiles) + 1)) + 1, body);
}

// Values of y in f32, `count` from position `first` on: residual, activation, and to y's type.
void finish_narrow(const Convolution& c, float* y, int64_t count, int64_t first) {
  constexpr int64_t tile = 1024;
  float residual[tile];
  for (int64_t i = 0; c.residual && i < count; i += tile) {
    const int64_t n = std::min(tile, count - i);
    widen(c.dtype, c.residual, first + i, n, residual);
    for (int64_t j = 0; j < n; ++j) y[i + j] += residual[j];
  }
  c.activation.apply(y, y, count);
  narrow(c.dtype, y, count, c.y, first);
}

void run_f32(const RunContext& r, const Convolution& c, char* scratch) {
  const kernels::Kernels& k = kernels::kernels();
  const Layout l = layout(c);
  const bool narrow = c.dtype != DType::f32;
  kernels::Conv conv = c.shape;
  conv.packed_weights = c.packed;
  auto* copy = reinterpret_cast<float*>(scratch);
  if (!c.packed) {
    const auto* weights = static_cast<const float*>(c.weights);
    if (narrow) widen(c.dtype, c.weights, 0, c.weight_count(), copy), weights = copy;
    if (c.transposed) k.conv_transpose_pack(conv, weights, scratch + l.weights);
    else k.conv_pack(conv, weights, scratch + l.weights);
    conv.packed_weights = scratch + l.weights;
  }
  scratch += l.weights + l.packed;
  auto *x = reinterpret_cast<float*>(scratch), *y = reinterpret_cast<float*>(scratch + l.x);
  auto* bias = reinterpret_cast<float*>(scratch + l.x + l.y);
  char* slices = scratch + l.x + l.y + l.bias;
  conv.epilogue.row_bias = c.bias;
  const double work = convolution_work(c);
  if (!narrow) {
    conv.epilogue.residual = c.residual;
    c.activation.set(conv.epilogue);
    conv.x = static_cast<const float*>(c.x), conv.y = static_cast<float*>(c.y);
    return run_tiles(r, conv, c.transposed, slices, l.slice, work);
  }
  if (c.bias) {
    widen(c.dtype, c.bias, 0, conv.out_channels, bias);
    conv.epilogue.row_bias = bias;
  }
  conv.batch = 1, conv.x = x, conv.y = y;
  constexpr int64_t grain = 1 << 14;
  for (int64_t n = 0; n < c.shape.batch; ++n) {
    r.parallel_ranges(c.x_image(), grain, [&](int64_t begin, int64_t end) {
      widen(c.dtype, c.x, n * c.x_image() + begin, end - begin, x + begin);
    });
    run_tiles(r, conv, c.transposed, slices, l.slice, work / static_cast<double>(c.shape.batch));
    r.parallel_ranges(c.y_image(), grain, [&](int64_t begin, int64_t end) {
      finish_narrow(c, y + begin, end - begin, n * c.y_image() + begin);
    });
  }
}

// The product of one f64 tile: weights of a group times unfolded positions.
kernels::Gemm f64_gemm(const Convolution& c, int64_t positions) {
  kernels::Gemm g;
  g.m = c.shape.out_channels / c.shape.groups;
  g.n = positions;
  g.k = c.shape.in_channels / c.shape.groups * volume(c.shape.window.kernel);
  g.a_row_stride = g.k, g.b_row_stride = positions, g.c_row_stride = volume(c.shape.window.out);
  g.a_type = g.b_type = g.c_type = kernels::FloatType::f64;
  return g;
}

int64_t f64_tile(const Convolution& c) {
  const int64_t rows = c.shape.in_channels / c.shape.groups * volume(c.shape.window.kernel);
  return std::min(unfold_tile(rows, sizeof(double)), volume(c.shape.window.out));
}

void run_f64(const RunContext& r, const Convolution& c, char* scratch) {
  const kernels::Kernels& k = kernels::kernels();
  const kernels::Window& w = c.shape.window;
  const int64_t positions = volume(w.out), tile = f64_tile(c), blocks = (positions + tile - 1) / tile;
  const int64_t groups = c.shape.groups, in = c.shape.in_channels / groups;
  const kernels::Gemm shape = f64_gemm(c, tile);
  const size_t columns_bytes = slice_bytes(static_cast<size_t>(shape.k * tile) * sizeof(double));
  const size_t slice = columns_bytes + slice_bytes(k.gemm_scratch_bytes(shape));
  const double zero = 0;
  r.parallel(c.shape.batch * groups * blocks, [&](int64_t t) {
    const int64_t block = t % blocks, group = t / blocks % groups, n = t / blocks / groups;
    const int64_t begin = block * tile, end = std::min(positions, begin + tile);
    char* mine = scratch + slice * static_cast<size_t>(RunContext::worker());
    const double* x = static_cast<const double*>(c.x) + n * c.x_image() + group * in * volume(w.in);
    unfold(w, sizeof(double), in, x, begin, end, &zero, mine);
    kernels::Gemm g = f64_gemm(c, end - begin);
    g.a = static_cast<const double*>(c.weights) + group * g.m * g.k;
    g.b = mine;
    g.c = static_cast<double*>(c.y) + n * c.y_image() + group * g.m * positions + begin;
    if (c.bias) g.epilogue.row_bias = static_cast<const double*>(c.bias) + group * g.m;
    if (c.residual) g.epilogue.residual = static_cast<const double*>(c.residual) + (static_cast<double*>(g.c) - static_cast<double*>(c.y));
    g.epilogue.residual_row_stride = positions;
    k.gemm(g, 0, k.gemm_tiles(g), mine + columns_bytes);
    if (c.activation.none()) return;
    for (int64_t i = 0; i < g.m; ++i) {
      double* row = static_cast<double*>(g.c) + i * positions;
      c.activation.apply(row, row, g.n);
    }
  });
}

// Adds one input plane times one tap to an output plane: y(i * stride + tap * dilation - pad) += x(i) * factor.
void add_tap(const kernels::Window& w, const double* x, const int64_t (&tap)[3], double factor, double* y) {
  int64_t first[3], last[3], shift[3];
  for (int i = 0; i < 3; ++i) {
    shift[i] = tap[i] * w.dilation[i] - w.pad[i];
    first[i] = shift[i] >= 0 ? 0 : (-shift[i] + w.stride[i] - 1) / w.stride[i];
    last[i] = w.out[i] <= shift[i] ? 0 : std::min(w.in[i], (w.out[i] - shift[i] + w.stride[i] - 1) / w.stride[i]);
  }
  for (int64_t d = first[0]; d < last[0]; ++d)
    for (int64_t h = first[1]; h < last[1]; ++h) {
      const double* from = x + (d * w.in[1] + h) * w.in[2];
      double* to = y + ((d * w.stride[0] + shift[0]) * w.out[1] + h * w.stride[1] + shift[1]) * w.out[2] + shift[2];
      for (int64_t i = first[2]; i < last[2]; ++i) to[i * w.stride[2]] += from[i] * factor;
    }
}

void run_f64_transposed(const RunContext& r, const Convolution& c) {
  const kernels::Window& w = c.shape.window;
  const int64_t out = c.shape.out_channels / c.shape.groups, in = c.shape.in_channels / c.shape.groups;
  const int64_t taps = volume(w.kernel);
  r.parallel(c.shape.batch * c.shape.out_channels, [&](int64_t plane) {
    const int64_t n = plane / c.shape.out_channels, o = plane % c.shape.out_channels, group = o / out;
    double* y = static_cast<double*>(c.y) + plane * volume(w.out);
    std::fill(y, y + volume(w.out), c.bias ? static_cast<const double*>(c.bias)[o] : 0.0);
    for (int64_t i = group * in; i < (group + 1) * in; ++i) {
      const double* x = static_cast<const double*>(c.x) + (n * c.shape.in_channels + i) * volume(w.in);
      const double* weight = static_cast<const double*>(c.weights) + (i * out + o % out) * taps;
      int64_t tap[3];
      for (tap[0] = 0; tap[0] < w.kernel[0]; ++tap[0])
        for (tap[1] = 0; tap[1] < w.kernel[1]; ++tap[1])
          for (tap[2] = 0; tap[2] < w.kernel[2]; ++tap[2]) add_tap(w, x, tap, *weight++, y);
    }
  });
}

}  // namespace

Tensor pack_weights(const PrepareContext& p, const Convolution& c, const Tensor& weights) {
  if (weights.dtype() == DType::f64 || weights.count() == 0) return {};
  const kernels::Kernels& k = kernels::kernels();
  const size_t bytes = c.transposed ? k.conv_transpose_pack_bytes(c.shape) : k.conv_pack_bytes(c.shape);
  return p.packed("w", bytes, [&](void* packed) {
    Tensor copy;
    const auto* values = static_cast<const float*>(weights.raw());
    if (weights.dtype() != DType::f32) {
      copy = Tensor(DType::f32, weights.shape());
      widen(weights.dtype(), weights.raw(), 0, weights.count(), copy.data<float>());
      values = copy.data<float>();
    }
    if (c.transposed) k.conv_transpose_pack(c.shape, values, packed);
    else k.conv_pack(c.shape, values, packed);
  });
}

size_t convolution_scratch_bytes(const Convolution& c, int threads) {
  if (c.dtype != DType::f64) return layout(c).total(threads);
  if (c.transposed || c.y_image() == 0) return 0;
  const kernels::Gemm g = f64_gemm(c, f64_tile(c));
  return (slice_bytes(static_cast<size_t>(g.k * g.n) * sizeof(double)) +
          slice_bytes(kernels::kernels().gemm_scratch_bytes(g))) * static_cast<size_t>(threads);
}

void run_convolution(const RunContext& r, const Convolution& c, void* scratch) {
  if (c.shape.batch == 0 || c.y_image() == 0) return;
  if (c.dtype != DType::f64) run_f32(r, c, static_cast<char*>(scratch));
  else if (c.transposed) run_f64_transposed(r, c);
  else run_f64(r, c, static_cast<char*>(scratch));
}

double convolution_work(const Convolution& c) noexcept {
  const double planes = static_cast<double>(c.transposed ? volume(c.shape.window.in) : volume(c.shape.window.out));
  return static_cast<double>(c.shape.batch) * planes * static_cast<double>(c.weight_count());
}

int64_t unfold_tile(int64_t rows, int element_bytes) noexcept {
  return std::clamp<int64_t>((1 << 19) / (std::max<int64_t>(rows, 1) * element_bytes), 16, 1024);
}

bool is_pointwise(const kernels::Window& w) noexcept {
  for (int i = 0; i < 3; ++i)
    if (w.kernel[i] != 1 || w.stride[i] != 1 || w.pad[i] != 0 || w.in[i] != w.out[i]) return false;
  return true;
}

}  // namespace outpost
