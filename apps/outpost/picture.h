// Pictures and bar charts in a terminal. On a terminal: two pixels a character in full colour; elsewhere plain text.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "image.h"

namespace outpost::cli {

// Whether standard output takes colours (a terminal, and NO_COLOR is not set).
bool takes_colour();
// Lines of a picture at most `columns` wide.
std::vector<std::string> picture_lines(const Image& image, int columns);
// Pictures side by side, each with a caption.
std::string gallery(const std::vector<std::pair<std::string, Image>>& pictures);
// "triangle  ███████████ 98.2 %", one line an entry; values are parts of 1.
std::string bars(const std::vector<std::pair<std::string, double>>& entries);

}  // namespace outpost::cli
