// One drawing, two formats: pixels (PNG) or text (SVG), by the file's ending. Coordinates are pixels from the top left.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "draw.h"

namespace outpost::cli {

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void rectangle(double left, double top, double right, double bottom, Rgb colour) = 0;
  virtual void line(double x0, double y0, double x1, double y1, double thickness, Rgb colour) = 0;
  virtual void disc(double x, double y, double radius, Rgb colour) = 0;
  // `x`, `y`: the left end (0), middle (0.5) or right end (1) of the words, at the top of the letters. `size` 1, 2, …: 6 x 8
  // pixels a letter, as draw_text's. ASCII.
  virtual void text(double x, double y, int size, std::string_view words, Rgb colour, double anchor = 0) = 0;
  virtual void save(const std::string& path) const = 0;
};

// For a path that ends in .png or .svg; Throws Error(invalid_argument) for others.
std::unique_ptr<Canvas> make_canvas(const std::string& path, int width, int height, Rgb background);

}  // namespace outpost::cli
