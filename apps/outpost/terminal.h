// The terminal: sizes, progress, columns, numbers for people.
#pragma once
#include <string>
#include <vector>

namespace outpost::cli {

bool is_terminal(int descriptor);
int terminal_width();
std::string human_bytes(double bytes);   // "12.3 MB"
std::string human_count(double count);   // "4.09 G"
std::string human_ms(double milliseconds);

// A line that shows how far something is, once it has taken a second, on a terminal only.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  void update(double fraction);

 private:
  std::string what_;
  double started_;
  bool shown_ = false;
};
double seconds_now();  // of a steady clock

// Rows of cells as aligned columns; a column whose cells are numbers is aligned to the right.
std::string table(const std::vector<std::vector<std::string>>& rows, int indent = 2);

}  // namespace outpost::cli
