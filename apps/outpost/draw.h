// Boxes, points and words on pictures.
#pragma once
#include <array>
#include <string_view>

#include "detect.h"

namespace outpost::cli {

using Rgb = std::array<uint8_t, 3>;

// A colour for a class: the same in every picture, neighbours well apart.
Rgb colour_of(int label);
void fill_rectangle(Image& image, int left, int top, int right, int bottom, Rgb colour);       // clipped
void draw_rectangle(Image& image, int left, int top, int right, int bottom, int thickness, Rgb colour);
void draw_disc(Image& image, double x, double y, double radius, Rgb colour);
void draw_line(Image& image, double x0, double y0, double x1, double y1, double thickness, Rgb colour);
// 5x7 dots a letter, each `size` pixels wide; 6 * size * length pixels in all. ASCII; other bytes become '?'.
void draw_text(Image& image, int left, int top, int size, std::string_view text, Rgb colour);
void draw_detections(Image& image, const std::vector<Detection>& detections, const std::vector<std::string>& labels);

}  // namespace outpost::cli
