// Half blocks and shades.
#include "picture.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "resize.h"
#include "terminal.h"

namespace outpost::cli {
namespace {

constexpr int widest_bar = 40;

std::string coloured(const uint8_t* top, const uint8_t* bottom) {
  char out[64];
  std::snprintf(out, sizeof out, "\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm▀", top[0], top[1], top[2], bottom[0], bottom[1], bottom[2]);
  return out;
}

char shade(const uint8_t* top, const uint8_t* bottom) {
  constexpr std::string_view shades = " .:-=+*#%@";
  auto light = [](const uint8_t* p) { return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]; };
  return shades[static_cast<size_t>((light(top) + light(bottom)) / 2 * 9.99 / 255)];
}

}  // namespace

bool takes_colour() {
  const char* refused = std::getenv("NO_COLOR");
  return is_terminal(STDOUT_FILENO) && !(refused && *refused);
}

std::vector<std::string> picture_lines(const Image& image, int columns) {
  const int rows = std::max(1, static_cast<int>(std::lround(static_cast<double>(columns) * image.height / image.width / 2)));
  const Image small = resize(image, columns, rows * 2);
  const bool colour = takes_colour();
  std::vector<std::string> lines;
  for (int y = 0; y < rows; ++y) {
    std::string line;
    for (int x = 0; x < columns; ++x) {
      const uint8_t *top = small.at(x, 2 * y), *bottom = small.at(x, 2 * y + 1);
      if (colour) line += coloured(top, bottom);
      else line += shade(top, bottom);
    }
    lines.push_back(colour ? line + "\033[0m" : line);
  }
  return lines;
}

std::string gallery(const std::vector<std::pair<std::string, Image>>& pictures) {
  const int count = static_cast<int>(pictures.size());
  const int columns = std::clamp((terminal_width() - 2) / std::max(1, count) - 2, 8, 48);
  std::vector<std::vector<std::string>> all;
  size_t rows = 0;
  std::string out = " ";
  for (const auto& [caption, image] : pictures) {
    all.push_back(picture_lines(image, columns));
    rows = std::max(rows, all.back().size());
    std::string cut = caption.substr(0, static_cast<size_t>(columns));
    cut.resize(static_cast<size_t>(columns) + 2, ' ');
    out += " " + cut.substr(0, static_cast<size_t>(columns) + 1);
  }
  out.erase(out.find_last_not_of(' ') + 1);
  out += "\n";
  for (size_t y = 0; y < rows; ++y) {
    out += "  ";
    for (const auto& lines : all) out += (y < lines.size() ? lines[y] : std::string(static_cast<size_t>(columns), ' ')) + "  ";
    out += "\n";
  }
  return out;
}

std::string bars(const std::vector<std::pair<std::string, double>>& entries) {
  size_t widest = 0;
  for (const auto& [name, value] : entries) widest = std::max(widest, name.size());
  const bool colour = takes_colour();
  std::string out;
  for (const auto& [name, value] : entries) {
    const int full = static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0) * widest_bar));
    out += "  " + name + std::string(widest - name.size(), ' ') + "  ";
    for (int i = 0; i < full; ++i) out += colour ? "█" : "#";
    char percent[16];
    std::snprintf(percent, sizeof percent, "%s%.1f %%\n", full ? " " : "", value * 100);
    out += percent;
  }
  return out;
}

}  // namespace outpost::cli
