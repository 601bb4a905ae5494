// Filling in what was not said, and the arithmetic.
#include "preprocess.h"

#include <algorithm>

#include "base/text.h"
#include "tensor/convert.h"

namespace outpost::cli {
namespace {

template <class T>
void take(std::optional<T>& mine, const std::optional<T>& other) {
  if (!mine) mine = other;
}

// Axes of the picture in the input's shape: {channels, height, width}; -1 where the shape has none.
struct Axes {
  int channels, height, width;
};

Axes axes_of(const TypeInfo& type, Layout layout) {
  const int rank = static_cast<int>(type.shape.size()), first = rank - 3;
  if (rank == 2) return {-1, 0, 1};
  return layout == Layout::nchw ? Axes{first, first + 1, first + 2} : Axes{first + 2, first, first + 1};
}

Layout guess_layout(const TypeInfo& type) {
  const size_t rank = type.shape.size();
  if (rank < 3) return Layout::nchw;
  auto few = [](int64_t n) { return n == 1 || n == 3; };
  return few(type.shape[rank - 1].size) && !few(type.shape[rank - 3].size) ? Layout::nhwc : Layout::nchw;
}

int side(const TypeInfo& type, int axis, const std::optional<int>& asked, const ValueInfo& input, const char* what) {
  const int64_t fixed = type.shape[static_cast<size_t>(axis)].size;
  if (fixed > 0 && asked && *asked != fixed)
    fail(ErrorCode::invalid_argument, "input '", input.name, "' is ", to_string(type), "; its ", what, " cannot be ", *asked);
  if (fixed > 0) return static_cast<int>(std::min<int64_t>(fixed, most_pixels));
  if (asked) return *asked;
  fail(ErrorCode::invalid_argument, "input '", input.name, "' is ", to_string(type), " and leaves its ", what, " open; give --size HEIGHTxWIDTH");
}

}  // namespace

void ImageSpec::complete_with(const ImageSpec& o) {
  take(height, o.height), take(width, o.width), take(layout, o.layout), take(color, o.color), take(fit, o.fit), take(pad, o.pad);
  take(cover, o.cover), take(scale, o.scale), take(mean, o.mean), take(std, o.std);
}

void OutputSpec::complete_with(const OutputSpec& o) {
  take(detector, o.detector), take(labels, o.labels), take(score, o.score), take(iou, o.iou);
}

ImageSpec preset(const std::string& name) {
  ImageSpec s;
  s.scale = 1 / 255.0;
  s.mean = {0, 0, 0};
  s.std = {1, 1, 1};
  if (name == "unit") return s;
  if (name == "raw") s.scale = 1;
  else if (name == "signed") s.mean = {0.5f, 0.5f, 0.5f}, s.std = {0.5f, 0.5f, 0.5f};
  else if (name == "imagenet") s.mean = {0.485f, 0.456f, 0.406f}, s.std = {0.229f, 0.224f, 0.225f}, s.fit = Fit::crop, s.cover = 256.0 / 224.0;
  else fail(ErrorCode::not_found, "there is no preprocessing '", name, "'; there are imagenet, unit, signed, raw");
  return s;
}

bool looks_like_image(const TypeInfo& type) {
  const size_t rank = type.shape.size();
  if (type.kind != TypeInfo::Kind::tensor || (rank != 3 && rank != 4)) return false;
  if (type.dtype != DType::f32 && type.dtype != DType::f16 && type.dtype != DType::bf16 && type.dtype != DType::f64 && type.dtype != DType::u8) return false;
  const Axes a = axes_of(type, guess_layout(type));
  const int64_t channels = type.shape[static_cast<size_t>(a.channels)].size;
  auto wide = [&](int axis) { return type.shape[static_cast<size_t>(axis)].size < 0 || type.shape[static_cast<size_t>(axis)].size >= 8; };
  return (channels == 1 || channels == 3 || channels < 0) && wide(a.height) && wide(a.width);
}

ImageInput to_input(const Image& image, const ValueInfo& input, ImageSpec spec) {
  const TypeInfo& type = input.type;
  const size_t rank = type.shape.size();
  if (type.kind != TypeInfo::Kind::tensor || !type.ranked || rank < 2 || rank > 4 || type.dtype == DType::string)
    fail(ErrorCode::invalid_argument, "input '", input.name, "' is ", to_string(type), "; a picture needs a tensor of rank 2 to 4");
  const bool integers = type.dtype == DType::u8;
  const Layout layout = spec.layout.value_or(guess_layout(type));
  const Axes axes = axes_of(type, layout);
  int64_t channels = axes.channels < 0 ? 1 : type.shape[static_cast<size_t>(axes.channels)].size;
  if (channels < 0) channels = spec.color == Color::gray ? 1 : 3;
  if (channels != 1 && channels != 3)
    fail(ErrorCode::invalid_argument, "input '", input.name, "' is ", to_string(type), ": ", channels, " channels; a picture has 1 or 3 (--layout nchw|nhwc)");
  const int height = side(type, axes.height, spec.height, input, "height"), width = side(type, axes.width, spec.width, input, "width");
  check_image_size(width, height, "the model's picture");
  Fitted fitted = fit(image, width, height, spec.fit.value_or(Fit::stretch), static_cast<uint8_t>(std::clamp(spec.pad.value_or(114), 0, 255)),
                      spec.cover.value_or(1));
  Shape shape;
  for (size_t d = 0; d < rank; ++d) shape.push_back(std::max<int64_t>(1, type.shape[d].size));
  shape[axes.height] = height;
  shape[axes.width] = width;
  if (axes.channels >= 0) shape[axes.channels] = channels;
  if (shape.count() != channels * height * width) fail(ErrorCode::invalid_argument, "input '", input.name, "' is ", to_string(type), "; one picture does not fill it");

  const double scale = spec.scale.value_or(integers ? 1 : 1 / 255.0);
  const std::array<float, 3> mean = spec.mean.value_or(std::array<float, 3>{0, 0, 0}), deviation = spec.std.value_or(std::array<float, 3>{1, 1, 1});
  const Color color = channels == 1 ? Color::gray : spec.color.value_or(Color::rgb);
  std::vector<float> values(static_cast<size_t>(shape.count()));
  const size_t plane = static_cast<size_t>(height) * static_cast<size_t>(width);
  for (size_t p = 0; p < plane; ++p) {
    const uint8_t* rgb = fitted.image.rgb.data() + 3 * p;
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
      const double v = color == Color::gray ? 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] : rgb[color == Color::bgr ? 2 - c : c];
      values[layout == Layout::nchw ? c * plane + p : p * static_cast<size_t>(channels) + c] = static_cast<float>((v * scale - mean[c]) / deviation[c]);
    }
  }
  Tensor tensor(type.dtype, shape);
  convert(DType::f32, values.data(), type.dtype, tensor.raw(), tensor.count());
  return {std::move(tensor), fitted.placement, std::move(fitted.image)};
}

}  // namespace outpost::cli
