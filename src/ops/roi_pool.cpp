// RoiAlign and MaxRoiPool: regions of a feature map brought to one size. RoiAlign samples each bin on a grid with
// bilinear weights and averages (or takes the largest weighted corner, as ONNX has it); MaxRoiPool rounds regions to
// pixels. Source: ONNX RoiAlign-22, MaxRoiPool-22.
#include <algorithm>

#include "ops/staging.h"

namespace outpost {
namespace {

constexpr int64_t most_samples = 1 << 12;  // along one axis of a bin; regions beyond this are not regions

struct Prepared {
  int64_t height, width, sampling;
  double scale;
  bool half_pixel, max;
};

void infer_align(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(0, 1);
  c.require_dtype(2, {DType::i64});
  const Attributes& a = c.attributes();
  const int64_t height = a.integer("output_height", 1), width = a.integer("output_width", 1);
  c.require(height >= 1 && width >= 1, "output size ", height, "x", width, " must be positive");
  c.require(a.integer("sampling_ratio", 0) >= 0 && a.integer("sampling_ratio", 0) <= most_samples, "sampling_ratio is ",
            a.integer("sampling_ratio", 0), "; expected 0..", most_samples);
  const std::string_view mode = a.string("mode", "avg");
  c.require(mode == "avg" || mode == "max", "mode is '", mode, "'; expected avg or max");
  const std::string_view coordinates = a.string("coordinate_transformation_mode", "half_pixel");
  c.require(coordinates == "half_pixel" || coordinates == "output_half_pixel", "coordinate_transformation_mode is '",
            coordinates, "'; expected half_pixel or output_half_pixel");
  c.require(!c.ranked(0) || c.rank(0) == 4, "X must be (batch, channels, height, width); found ", c.input(0));
  c.require(!c.ranked(1) || (c.rank(1) == 2 && (!c.dims(1)[1].known() || c.dims(1)[1].size == 4)),
            "rois must be (count, 4); found ", c.input(1));
  c.require(!c.ranked(2) || c.rank(2) == 1, "batch_indices must be a vector; found ", c.input(2));
  Dim count = c.ranked(1) ? c.dims(1)[0] : Dim();
  if (!count.known() && c.ranked(2)) count = c.dims(2)[0];
  c.require(!count.known() || !c.ranked(2) || !c.dims(2)[0].known() || c.dims(2)[0].size == count.size, count.size,
            " rois but ", c.input(2), " batch indices");
  c.output(0, c.dtype(0), {count, c.ranked(0) ? c.dims(0)[1] : Dim(), height, width});
}

void upgrade_align(UpgradeContext& c) {
  if (c.from < 16) c.node.attributes.set("coordinate_transformation_mode", std::string("output_half_pixel"));
}

std::shared_ptr<const void> prepare_align(const PrepareContext& c) {
  const Attributes& a = c.attributes();
  return std::make_shared<Prepared>(
      Prepared{a.integer("output_height", 1), a.integer("output_width", 1), a.integer("sampling_ratio", 0),
               a.real("spatial_scale", 1), a.string("coordinate_transformation_mode", "half_pixel") == "half_pixel",
               a.string("mode", "avg") == "max"});
}

// A sample's four corners in a plane and their weights; all 0 outside the map.
template <class T>
struct Corners {
  int64_t at[4] = {0, 0, 0, 0};
  T weight[4] = {0, 0, 0, 0};

  Corners(T y, T x, int64_t height, int64_t width) {
    if (!(y >= -1 && y <= static_cast<T>(height) && x >= -1 && x <= static_cast<T>(width))) return;
    y = std::max(y, T{0}), x = std::max(x, T{0});
    auto low_y = static_cast<int64_t>(y), low_x = static_cast<int64_t>(x);
    int64_t high_y = low_y + 1, high_x = low_x + 1;
    if (low_y >= height - 1) low_y = high_y = height - 1, y = static_cast<T>(low_y);
    if (low_x >= width - 1) low_x = high_x = width - 1, x = static_cast<T>(low_x);
    const T ly = y - static_cast<T>(low_y), lx = x - static_cast<T>(low_x), hy = 1 - ly, hx = 1 - lx;
    at[0] = low_y * width + low_x, at[1] = low_y * width + high_x;
    at[2] = high_y * width + low_x, at[3] = high_y * width + high_x;
    weight[0] = hy * hx, weight[1] = hy * lx, weight[2] = ly * hx, weight[3] = ly * lx;
  }
};

template <class T>
struct Region {
  T y, x, bin_height, bin_width;
  int64_t grid_height, grid_width;

  Region(const RunContext& c, const Prepared& p, const T* roi) {
    const T offset = p.half_pixel ? T(0.5) : T(0), scale = static_cast<T>(p.scale);
    x = roi[0] * scale - offset, y = roi[1] * scale - offset;
    T width = roi[2] * scale - offset - x, height = roi[3] * scale - offset - y;
    if (!p.half_pixel) width = std::max(width, T{1}), height = std::max(height, T{1});
    bin_height = height / static_cast<T>(p.height), bin_width = width / static_cast<T>(p.width);
    c.require(std::isfinite(x) && std::isfinite(y) && bin_height <= T(most_samples) && bin_width <= T(most_samples),
              "a region of ", static_cast<double>(height), "x", static_cast<double>(width), " at (",
              static_cast<double>(y), ", ", static_cast<double>(x), ") is not usable");
    grid_height = p.sampling > 0 ? p.sampling : std::max<int64_t>(0, static_cast<int64_t>(std::ceil(bin_height)));
    grid_width = p.sampling > 0 ? p.sampling : std::max<int64_t>(0, static_cast<int64_t>(std::ceil(bin_width)));
  }
};

// One bin of `channels` planes at once: y(channel) at stride `step`.
template <class T>
void align_bin(const Prepared& p, const Region<T>& r, int64_t row, int64_t column, const T* map, int64_t channels,
               int64_t height, int64_t width, T* y, int64_t step) {
  const T samples = static_cast<T>(std::max<int64_t>(1, r.grid_height * r.grid_width));
  for (int64_t c = 0; c < channels; ++c) y[c * step] = 0;
  bool first = true;
  for (int64_t i = 0; i < r.grid_height; ++i)
    for (int64_t j = 0; j < r.grid_width; ++j, first = false) {
      const T sy = r.y + static_cast<T>(row) * r.bin_height +
                   (static_cast<T>(i) + T(0.5)) * r.bin_height / static_cast<T>(r.grid_height);
      const T sx = r.x + static_cast<T>(column) * r.bin_width +
                   (static_cast<T>(j) + T(0.5)) * r.bin_width / static_cast<T>(r.grid_width);
      const Corners<T> k(sy, sx, height, width);
      for (int64_t c = 0; c < channels; ++c) {
        const T* plane = map + c * height * width;
        T v[4];
        for (int q = 0; q < 4; ++q) v[q] = k.weight[q] * plane[k.at[q]];
        T& out = y[c * step];
        if (!p.max) out += v[0] + v[1] + v[2] + v[3];
        else out = std::max({first ? v[0] : out, v[0], v[1], v[2], v[3]});
      }
    }
  if (!p.max)
    for (int64_t c = 0; c < channels; ++c) y[c * step] /= samples;
}

constexpr int64_t channel_block = 16;

template <class T>
void align_as(RunContext& c, const T* map, const T* rois, T* y) {
  const Prepared& p = c.prepared<Prepared>();
  const View& x = c.in(0);
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t count = c.in(1).dim(0), bins = p.height * p.width;
  const int64_t blocks = (channels + channel_block - 1) / channel_block;
  const auto* batches = c.in(2).as<const int64_t>();
  for (int64_t i = 0; i < count; ++i)
    c.require(batches[i] >= 0 && batches[i] < x.dim(0), "batch index ", batches[i], " is outside [0, ", x.dim(0), ")");
  if (height * width == 0) return std::fill(y, y + c.out(0).count(), T{0});
  c.parallel(count * blocks, [&](int64_t tile) {
    const int64_t roi = tile / blocks, first = tile % blocks * channel_block;
    const int64_t n = std::min(channel_block, channels - first);
    const Region<T> region(c, p, rois + roi * 4);
    const T* planes = map + (batches[roi] * channels + first) * height * width;
    T* out = y + (roi * channels + first) * bins;
    for (int64_t bin = 0; bin < bins; ++bin) {
      c.check_interrupt();
      align_bin(p, region, bin / p.width, bin % p.width, planes, n, height, width, out + bin, bins);
    }
  });
}

// Scratch: whole operands in f32, for narrow types.
size_t scratch(const ScratchContext& c) {
  if (c.in(0).dtype == DType::f64) return 0;
  return f32_copy_bytes(c.in(0)) + f32_copy_bytes(c.in(1)) + f32_copy_bytes(c.out(0));
}

template <class F32, class F64>
void staged(RunContext& c, F32&& f32, F64&& f64) {
  const View &x = c.in(0), &rois = c.in(1), &y = c.out(0);
  if (y.count() == 0) return;
  if (x.dtype == DType::f64) return f64(x.as<const double>(), rois.as<const double>(), y.as<double>());
  char* memory = c.scratch<char>();
  auto *a = reinterpret_cast<float*>(memory), *b = reinterpret_cast<float*>(memory + f32_copy_bytes(x));
  auto* out = target<float>(y, 0, reinterpret_cast<float*>(memory + f32_copy_bytes(x) + f32_copy_bytes(rois)));
  f32(as_f32(x, a), as_f32(rois, b), out);
  write<float>(y, 0, y.count(), out);
}

void run_align(RunContext& c) {
  staged(c, [&](auto... p) { align_as<float>(c, p...); }, [&](auto... p) { align_as<double>(c, p...); });
}

// ---- MaxRoiPool: rois (count, 5): batch index, x1, y1, x2, y2

void infer_max(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(0, 1);
  const std::vector<int64_t>& size = c.attributes().integers("pooled_shape");
  c.require(size.size() == 2 && size[0] >= 1 && size[1] >= 1, "pooled_shape must be two positive sizes");
  c.require(!c.ranked(0) || c.rank(0) == 4, "X must be (batch, channels, height, width); found ", c.input(0));
  c.require(!c.ranked(1) || (c.rank(1) == 2 && (!c.dims(1)[1].known() || c.dims(1)[1].size == 5)),
            "rois must be (count, 5); found ", c.input(1));
  const Dim count = c.ranked(1) ? c.dims(1)[0] : Dim(), channels = c.ranked(0) ? c.dims(0)[1] : Dim();
  c.output(0, c.dtype(0), {count, channels, size[0], size[1]});
}

std::shared_ptr<const void> prepare_max(const PrepareContext& c) {
  const std::vector<int64_t>& size = c.attributes().integers("pooled_shape");
  const double scale = c.attributes().real("spatial_scale", 1);
  return std::make_shared<Prepared>(Prepared{size[0], size[1], 0, scale, false, true});
}

template <class T>
void pool_plane(const Prepared& p, const int64_t (&box)[4], const T* plane, int64_t height, int64_t width, T* y) {
  const double rows = static_cast<double>(std::max<int64_t>(box[3] - box[1] + 1, 1)) / static_cast<double>(p.height);
  const double columns = static_cast<double>(std::max<int64_t>(box[2] - box[0] + 1, 1)) / static_cast<double>(p.width);
  auto edge = [](double v, int64_t start, int64_t size) {
    return std::clamp<int64_t>(static_cast<int64_t>(v) + start, 0, size);
  };
  for (int64_t i = 0; i < p.height; ++i)
    for (int64_t j = 0; j < p.width; ++j) {
      const int64_t top = edge(std::floor(static_cast<double>(i) * rows), box[1], height);
      const int64_t bottom = edge(std::ceil(static_cast<double>(i + 1) * rows), box[1], height);
      const int64_t left = edge(std::floor(static_cast<double>(j) * columns), box[0], width);
      const int64_t right = edge(std::ceil(static_cast<double>(j + 1) * columns), box[0], width);
      T best = top < bottom && left < right ? -std::numeric_limits<T>::infinity() : T{0};
      for (int64_t a = top; a < bottom; ++a)
        for (int64_t b = left; b < right; ++b) best = std::max(best, plane[a * width + b]);
      y[i * p.width + j] = best;
    }
}

template <class T>
void max_as(RunContext& c, const T* map, const T* rois, T* y) {
  const Prepared& p = c.prepared<Prepared>();
  const View& x = c.in(0);
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), count = c.in(1).dim(0);
  for (int64_t i = 0; i < count; ++i) {
    const T batch = rois[i * 5];
    c.require(batch >= 0 && batch < static_cast<T>(x.dim(0)), "batch index ", static_cast<double>(batch),
              " is outside [0, ", x.dim(0), ")");
    for (int j = 1; j < 5; ++j) c.require(std::fabs(rois[i * 5 + j] * p.scale) < 1e9, "region ", i, " is not usable");
  }
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / (p.height * p.width));
  c.parallel_ranges(count * channels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const T* roi = rois + t / channels * 5;
      int64_t box[4];
      for (int j = 0; j < 4; ++j) box[j] = static_cast<int64_t>(std::round(roi[j + 1] * static_cast<T>(p.scale)));
      const T* plane = map + (static_cast<int64_t>(roi[0]) * channels + t % channels) * height * width;
      pool_plane(p, box, plane, height, width, y + t * p.height * p.width);
    }
  });
}

void run_max(RunContext& c) {
  staged(c, [&](auto... p) { max_as<float>(c, p...); }, [&](auto... p) { max_as<double>(c, p...); });
}

}  // namespace

OUTPOST_DEFINE_OP(RoiAlign, .name = "RoiAlign", .since = 22, .first = 10, .min_inputs = 3, .max_inputs = 3,
                  .doc = "Regions sampled to one size", .infer = infer_align, .run = run_align,
                  .upgrade = upgrade_align, .prepare = prepare_align, .scratch = scratch, .cases = R"(
  output_height=2 output_width=3 | f32[2,3,6,7] f32[2,4]={0,0,4,5,1,2,6,5.5} i64[2]={1,0}
  output_height=2 output_width=2 sampling_ratio=2 mode="max" | f32[1,3,6,7] f32[1,4]={1,1,5,4} i64[1]={0}
  coordinate_transformation_mode="output_half_pixel" | f32[1,2,5,5] f32[1,4]={1,1,3.5,4} i64[1]={0}
)");
OUTPOST_DEFINE_OP(MaxRoiPool, .name = "MaxRoiPool", .since = 22, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Largest value of each bin of regions", .infer = infer_max, .run = run_max,
                  .prepare = prepare_max, .scratch = scratch, .cases = R"(
  pooled_shape=[2,2] | f32[2,3,6,7] f32[2,5]={0,0,0,4,5,1,1,2,6,5}
  pooled_shape=[3,1] spatial_scale=0.5 | f32[1,3,6,7] f32[1,5]={0,1,1,9,9}
)");

}  // namespace outpost
