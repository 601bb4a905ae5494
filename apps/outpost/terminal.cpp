// See terminal.h.
#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>


namespace outpost::cli {
namespace {

constexpr double patience_seconds = 1;

std::string with_unit(double v, double base, const char* const* units, const char* suffix) {
  int unit = 0;
  while (std::abs(v) >= base && unit < 4) v /= base, ++unit;
  char out[48];
  std::snprintf(out, sizeof out, "%.*f %s%s", unit == 0 || std::abs(v) >= 100 ? 0 : std::abs(v) >= 10 ? 1 : 2, v, units[unit], suffix);
  std::string s = out;
  if (s.ends_with(' ')) s.pop_back();
  return s;
}

// Columns a terminal needs: UTF-8 continuation bytes take none.
size_t columns_of(const std::string& s) {
  return static_cast<size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool is_number(const std::string& s) { return !s.empty() && (std::isdigit(static_cast<unsigned char>(s[0])) || (s[0] == '-' && s.size() > 1)); }

}  // namespace

bool is_terminal(int descriptor) {
  const char* term = std::getenv("TERM");
  return isatty(descriptor) && term && std::string_view(term) != "dumb";
}

int terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string human_bytes(double bytes) {
  static const char* const units[] = {"", "k", "M", "G", "T"};
  return with_unit(bytes, 1000, units, "B");
}

std::string human_count(double count) {
  static const char* const units[] = {"", "k", "M", "G", "T"};
  return with_unit(count, 1000, units, "");
}

std::string human_ms(double ms) {
  char out[32];
  if (ms < 1) std::snprintf(out, sizeof out, "%.1f µs", ms * 1000);
  else std::snprintf(out, sizeof out, ms < 100 ? "%.2f ms" : "%.0f ms", ms);
  return out;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Progress(std::string what) : what_(std::move(what)), started_(seconds_now()) {}

Progress::~Progress() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

void Progress::update(double fraction) {
  if (!is_terminal(STDERR_FILENO) || seconds_now() - started_ < patience_seconds) return;
  constexpr int width = 30;
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  std::fprintf(stderr, "\r\033[K%s %s %3.0f %%", what_.c_str(), bar.c_str(), fraction * 100);
  std::fflush(stderr);
  shown_ = true;
}

std::string table(const std::vector<std::vector<std::string>>& rows, int indent) {
  std::vector<size_t> widths;
  std::vector<char> numbers;
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t c = 0; c < rows[r].size(); ++c) {
      if (c == widths.size()) widths.push_back(0), numbers.push_back(1);
      widths[c] = std::max(widths[c], columns_of(rows[r][c]));
      if (r > 0 && !rows[r][c].empty() && !is_number(rows[r][c])) numbers[c] = 0;
    }
  std::string out;
  for (const auto& row : rows) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - columns_of(row[c]), ' ');
      line += numbers[c] ? space + row[c] : row[c] + space;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace outpost::cli
