// Separable resampling: each output row or column is a weighted sum of a few input ones, weights computed once.
#include "resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/text.h"

namespace outpost::cli {
namespace {

struct Taps {
  std::vector<int> first, count;
  std::vector<float> weights;  // `widest` an output position
  int widest = 0;
};

Taps taps(int from, int to) {
  const double scale = static_cast<double>(from) / to, radius = std::max(1.0, scale);
  Taps t;
  t.widest = static_cast<int>(std::ceil(radius)) * 2 + 1;
  t.weights.resize(static_cast<size_t>(to) * static_cast<size_t>(t.widest));
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale - 0.5;
    const int first = std::max(0, static_cast<int>(std::ceil(centre - radius))), last = std::min(from - 1, static_cast<int>(std::floor(centre + radius)));
    float* w = t.weights.data() + static_cast<size_t>(i) * static_cast<size_t>(t.widest);
    float sum = 0;
    for (int j = first; j <= last; ++j) sum += w[j - first] = static_cast<float>(std::max(0.0, 1 - std::abs(j - centre) / radius));
    for (int j = first; j <= last; ++j) w[j - first] /= sum;
    t.first.push_back(first);
    t.count.push_back(last - first + 1);
  }
  return t;
}

}  // namespace

Image resize(const Image& image, int width, int height) {
  check_image_size(width, height, "resized picture");
  if (width == image.width && height == image.height) return image;
  const Taps across = taps(image.width, width), down = taps(image.height, height);
  const size_t row = static_cast<size_t>(width) * 3;
  std::vector<float> lines(static_cast<size_t>(image.height) * row);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x) {
      const float* w = across.weights.data() + static_cast<size_t>(x) * static_cast<size_t>(across.widest);
      const uint8_t* in = image.at(across.first[static_cast<size_t>(x)], y);
      float sum[3] = {};
      for (int k = 0; k < across.count[static_cast<size_t>(x)]; ++k)
        for (int c = 0; c < 3; ++c) sum[c] += w[k] * in[3 * k + c];
      std::memcpy(lines.data() + static_cast<size_t>(y) * row + static_cast<size_t>(x) * 3, sum, sizeof sum);
    }
  Image out(width, height);
  std::vector<float> sums(row);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), 0.f);
    const float* w = down.weights.data() + static_cast<size_t>(y) * static_cast<size_t>(down.widest);
    for (int k = 0; k < down.count[static_cast<size_t>(y)]; ++k) {
      const float* in = lines.data() + static_cast<size_t>(down.first[static_cast<size_t>(y)] + k) * row;
      for (size_t i = 0; i < row; ++i) sums[i] += w[k] * in[i];
    }
    for (size_t i = 0; i < row; ++i) out.at(0, y)[i] = static_cast<uint8_t>(std::clamp(sums[i] + 0.5f, 0.f, 255.f));
  }
  return out;
}

Image crop(const Image& image, int left, int top, int width, int height) {
  if (left < 0 || top < 0 || width < 1 || height < 1 || left > image.width - width || top > image.height - height)
    fail(ErrorCode::invalid_argument, "a crop of ", width, "x", height, " at ", left, ",", top, " from ", image.width, "x", image.height);
  Image out(width, height);
  for (int y = 0; y < height; ++y) std::memcpy(out.at(0, y), image.at(left, top + y), static_cast<size_t>(width) * 3);
  return out;
}

Fitted fit(const Image& image, int width, int height, Fit how, uint8_t pad, double cover) {
  const double sx = static_cast<double>(width) / image.width, sy = static_cast<double>(height) / image.height;
  if (how == Fit::stretch) return {resize(image, width, height), {1 / sx, 1 / sy, 0, 0}};
  if (how == Fit::crop) {
    const double s = std::max(sx, sy) * std::max(1.0, cover);
    const int w = std::max(width, static_cast<int>(std::lround(image.width * s))), h = std::max(height, static_cast<int>(std::lround(image.height * s)));
    const int left = (w - width) / 2, top = (h - height) / 2;
    return {crop(resize(image, w, h), left, top, width, height), {1 / s, 1 / s, left / s, top / s}};
  }
  const double s = std::min(sx, sy);
  const int w = std::clamp(static_cast<int>(std::lround(image.width * s)), 1, width), h = std::clamp(static_cast<int>(std::lround(image.height * s)), 1, height);
  const int left = how == Fit::letterbox ? (width - w) / 2 : 0, top = how == Fit::letterbox ? (height - h) / 2 : 0;
  const Image small = resize(image, w, h);
  Image out(width, height, pad);
  for (int y = 0; y < h; ++y) std::memcpy(out.at(left, top + y), small.at(0, y), static_cast<size_t>(w) * 3);
  return {std::move(out), {1 / s, 1 / s, -left / s, -top / s}};
}

}  // namespace outpost::cli
