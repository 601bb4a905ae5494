// Drawing by pixels; everything is clipped to the picture.
#include "draw.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "font_table.h"

namespace outpost::cli {

Rgb colour_of(int label) {
  // Hues a golden angle apart, at full strength.
  const double hue = std::fmod(0.58 + label * 0.61803398875, 1.0) * 6;
  auto channel = [&](double shift) {
    const double h = std::fmod(hue + shift, 6.0), v = std::clamp(std::abs(h - 3) - 1, 0.0, 1.0);
    return static_cast<uint8_t>(std::lround(40 + 200 * v));
  };
  return {channel(0), channel(4), channel(2)};
}

void fill_rectangle(Image& image, int left, int top, int right, int bottom, Rgb colour) {
  for (int y = std::max(0, top); y < std::min(image.height, bottom); ++y)
    for (int x = std::max(0, left); x < std::min(image.width, right); ++x) std::copy(colour.begin(), colour.end(), image.at(x, y));
}

void draw_rectangle(Image& image, int left, int top, int right, int bottom, int thickness, Rgb colour) {
  fill_rectangle(image, left, top, right, top + thickness, colour);
  fill_rectangle(image, left, bottom - thickness, right, bottom, colour);
  fill_rectangle(image, left, top, left + thickness, bottom, colour);
  fill_rectangle(image, right - thickness, top, right, bottom, colour);
}

void draw_disc(Image& image, double x, double y, double radius, Rgb colour) { draw_line(image, x, y, x, y, 2 * radius, colour); }

// Every pixel within half the thickness of the segment.
void draw_line(Image& image, double x0, double y0, double x1, double y1, double thickness, Rgb colour) {
  const double reach = thickness / 2, dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
  const int left = std::max(0, static_cast<int>(std::floor(std::min(x0, x1) - reach))), top = std::max(0, static_cast<int>(std::floor(std::min(y0, y1) - reach)));
  const int right = std::min(image.width - 1, static_cast<int>(std::ceil(std::max(x0, x1) + reach)));
  const int bottom = std::min(image.height - 1, static_cast<int>(std::ceil(std::max(y0, y1) + reach)));
  for (int y = top; y <= bottom; ++y)
    for (int x = left; x <= right; ++x) {
      const double t = square > 0 ? std::clamp(((x - x0) * dx + (y - y0) * dy) / square, 0.0, 1.0) : 0;
      if (std::hypot(x - x0 - t * dx, y - y0 - t * dy) <= reach) std::copy(colour.begin(), colour.end(), image.at(x, y));
    }
}

void draw_text(Image& image, int left, int top, int size, std::string_view text, Rgb colour) {
  for (const char c : text) {
    const uint8_t* columns = font[c >= 32 && c <= 126 ? c - 32 : '?' - 32];
    for (int x = 0; x < 5; ++x)
      for (int y = 0; y < 7; ++y)
        if (columns[x] >> y & 1) fill_rectangle(image, left + x * size, top + y * size, left + (x + 1) * size, top + (y + 1) * size, colour);
    left += 6 * size;
  }
}

void draw_detections(Image& image, const std::vector<Detection>& detections, const std::vector<std::string>& labels) {
  const int size = std::max(1, std::min(image.width, image.height) / 320), thickness = size + 1;
  for (auto d = detections.rbegin(); d != detections.rend(); ++d) {  // the surest on top
    const Rgb colour = colour_of(d->label);
    const int left = static_cast<int>(d->left), top = static_cast<int>(d->top);
    draw_rectangle(image, left, top, static_cast<int>(std::ceil(d->right)), static_cast<int>(std::ceil(d->bottom)), thickness, colour);
    for (const Point& p : d->points) draw_disc(image, p.x, p.y, thickness + 1, {255, 255, 0});
    char score[16];
    std::snprintf(score, sizeof score, " %.2f", static_cast<double>(d->score));
    const std::string words = (d->label < static_cast<int>(labels.size()) ? labels[static_cast<size_t>(d->label)] : std::to_string(d->label)) + score;
    const int height = 9 * size, width = (6 * static_cast<int>(words.size()) + 2) * size;
    const int x = std::clamp(left, 0, std::max(0, image.width - width)), y = top >= height ? top - height : top;
    fill_rectangle(image, x, y, x + width, y + height, colour);
    draw_text(image, x + size, y + size, size, words, {0, 0, 0});
  }
}

}  // namespace outpost::cli
