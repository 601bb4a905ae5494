#include "canvas.h"

#include <cmath>

#include "base/text.h"
#include "base/write_file.h"

namespace outpost::cli {
namespace {

class Pixels final : public Canvas {
 public:
  Pixels(int width, int height, Rgb background) : image_(width, height) { fill_rectangle(image_, 0, 0, width, height, background); }
  void rectangle(double left, double top, double right, double bottom, Rgb colour) override {
    fill_rectangle(image_, at(left), at(top), at(right), at(bottom), colour);
  }
  void line(double x0, double y0, double x1, double y1, double thickness, Rgb colour) override {
    draw_line(image_, x0, y0, x1, y1, thickness, colour);
  }
  void disc(double x, double y, double radius, Rgb colour) override { draw_disc(image_, x, y, radius, colour); }
  void text(double x, double y, int size, std::string_view words, Rgb colour, double anchor) override {
    draw_text(image_, at(x - anchor * 6 * size * static_cast<double>(words.size())), at(y), size, words, colour);
  }
  void save(const std::string& path) const override { save_png(path, image_); }

 private:
  static int at(double v) { return static_cast<int>(std::lround(v)); }
  Image image_;
};

std::string hex(Rgb c) {
  char out[8];
  std::snprintf(out, sizeof out, "#%02x%02x%02x", c[0], c[1], c[2]);
  return out;
}

std::string number(double v) {
  char out[24];
  std::snprintf(out, sizeof out, "%.1f", v);
  return out;
}

class Svg final : public Canvas {
 public:
  Svg(int width, int height, Rgb background) {
    body_ = outpost::text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height, "\" viewBox=\"0 0 ", width, " ", height,
                          "\" font-family=\"monospace\">\n");
    rectangle(0, 0, width, height, background);
  }
  void rectangle(double left, double top, double right, double bottom, Rgb colour) override {
    body_ += outpost::text("<rect x=\"", number(left), "\" y=\"", number(top), "\" width=\"", number(right - left), "\" height=\"", number(bottom - top),
                           "\" fill=\"", hex(colour), "\"/>\n");
  }
  void line(double x0, double y0, double x1, double y1, double thickness, Rgb colour) override {
    body_ += outpost::text("<line x1=\"", number(x0), "\" y1=\"", number(y0), "\" x2=\"", number(x1), "\" y2=\"", number(y1), "\" stroke=\"", hex(colour),
                           "\" stroke-width=\"", number(thickness), "\" stroke-linecap=\"round\"/>\n");
  }
  void disc(double x, double y, double radius, Rgb colour) override {
    body_ += outpost::text("<circle cx=\"", number(x), "\" cy=\"", number(y), "\" r=\"", number(radius), "\" fill=\"", hex(colour), "\"/>\n");
  }
  void text(double x, double y, int size, std::string_view words, Rgb colour, double anchor) override {
    std::string safe;
    for (const char c : words) {
      if (c == '&') safe += "&amp;";
      else if (c == '<') safe += "&lt;";
      else if (c == '>') safe += "&gt;";
      else safe += c >= 32 && c <= 126 ? c : '?';
    }
    body_ += outpost::text("<text x=\"", number(x), "\" y=\"", number(y + 7 * size), "\" font-size=\"", number(10.0 * size), "\" fill=\"", hex(colour),
                           "\" text-anchor=\"", anchor < 0.25 ? "start" : anchor < 0.75 ? "middle" : "end", "\" xml:space=\"preserve\">", safe, "</text>\n");
  }
  void save(const std::string& path) const override { write_file(path, body_ + "</svg>\n"); }

 private:
  std::string body_;
};

}  // namespace

std::unique_ptr<Canvas> make_canvas(const std::string& path, int width, int height, Rgb background) {
  if (path.ends_with(".png")) return std::make_unique<Pixels>(width, height, background);
  if (path.ends_with(".svg")) return std::make_unique<Svg>(width, height, background);
  fail(ErrorCode::invalid_argument, "'", path, "': a plot is written as .png or .svg");
}

}  // namespace outpost::cli
