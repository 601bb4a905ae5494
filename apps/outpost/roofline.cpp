// Left: work by memory traffic, both logarithmic. The roof is what the machine can do; a disc is a step, its area the
// step's share of the time, its colour the operator's. Far below the roof and large: there is time to win. The slowest
// carry their rank. Right: the slowest steps, ranked, with their share of the time and of what the roof allows.
#include "roofline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "canvas.h"
#include "terminal.h"

namespace outpost::cli {
namespace {

constexpr int width = 1360, height = 760;
constexpr double left = 70, right = 740, top = 70, bottom = 610;  // of the roofline
constexpr Rgb paper{250, 250, 252}, ink{30, 32, 40}, faint{222, 224, 230}, grey{120, 124, 136}, roof{200, 40, 60};
constexpr size_t ranked = 22;

std::string printed(const char* format, double v) {
  char out[32];
  std::snprintf(out, sizeof out, format, v);
  return out;
}

std::string of_ms(double ms) { return ms < 1 ? printed("%.0f us", ms * 1000) : printed("%.2f ms", ms); }

class Plot {
 public:
  Plot(Canvas& canvas, const Profile& profile) : c_(canvas), p_(profile), order_(by_time(profile.steps)), operators_(by_operator(profile.steps)) {
    for (const ProfiledStep& s : p_.steps)
      if (on_chart(s)) {
        least_y_ = std::min(least_y_, 0.7 * speed(s));
        least_x_ = std::min(least_x_, 0.7 * s.flops / s.bytes);
        most_x_ = std::max(most_x_, 1.5 * s.flops / s.bytes);
        most_y_ = std::max(most_y_, 1.3 * speed(s));
      }
    most_x_ = std::max(most_x_, 4 * p_.peaks.gflops / p_.peaks.gigabytes_second);
    most_y_ = std::max(most_y_, 2 * p_.peaks.gflops);
    least_y_ = std::max(least_y_, most_y_ / 1e5);
  }

  void draw() {
    c_.text(left, 16, 2, p_.model.substr(0, 60), ink);
    c_.text(left, 40, 1, text(of_ms(p_.total_ms), ", ", p_.steps.size(), " steps, ", p_.threads, p_.threads == 1 ? " thread" : " threads", "; this machine: ",
                              printed("%.0f", p_.peaks.gflops), " GFLOP/s f32, ", printed("%.0f", p_.peaks.gigabytes_second), " GB/s"), grey);
    axes();
    steps();
    line_of_roof();
    legend();
    bars();
  }

 private:
  static double speed_of(double flops, double ms) { return flops / std::max(1e-9, ms) / 1e6; }
  double speed(const ProfiledStep& s) const { return speed_of(s.flops, s.ms); }
  static bool on_chart(const ProfiledStep& s) { return s.flops > 0 && s.bytes > 0 && s.ms > 0; }
  double x_of(double intensity) const { return left + (right - left) * std::clamp(std::log(intensity / least_x_) / std::log(most_x_ / least_x_), 0.0, 1.0); }
  double y_of(double gflops) const { return bottom - (bottom - top) * std::clamp(std::log(gflops / least_y_) / std::log(most_y_ / least_y_), 0.0, 1.0); }
  Rgb colour(const ProfiledStep& s) const {
    const auto at = std::find_if(operators_.begin(), operators_.end(), [&](const OperatorSum& o) { return o.op == s.op; });
    return colour_of(static_cast<int>(at - operators_.begin()));
  }

  void axes() {
    for (double v = std::pow(10, std::ceil(std::log10(least_x_))); v <= most_x_; v *= 10) {
      c_.line(x_of(v), top, x_of(v), bottom, 1, faint);
      c_.text(x_of(v), bottom + 8, 1, printed("%g", v), grey, 0.5);
    }
    for (double v = std::pow(10, std::ceil(std::log10(least_y_))); v <= most_y_; v *= 10) {
      c_.line(left, y_of(v), right, y_of(v), 1, faint);
      c_.text(left - 8, y_of(v) - 4, 1, printed("%g", v), grey, 1);
    }
    c_.line(left, bottom, right, bottom, 2, grey);
    c_.line(left, top, left, bottom, 2, grey);
    c_.text((left + right) / 2, bottom + 24, 1, "flops a byte", ink, 0.5);
    c_.text(left, top - 14, 1, "GFLOP/s", ink, 0.5);
  }

  void line_of_roof() {
    const double ridge = p_.peaks.gflops / p_.peaks.gigabytes_second, from = std::max(least_x_, least_y_ / p_.peaks.gigabytes_second);
    c_.line(x_of(from), y_of(from * p_.peaks.gigabytes_second), x_of(ridge), y_of(p_.peaks.gflops), 3, roof);
    c_.line(x_of(ridge), y_of(p_.peaks.gflops), right, y_of(p_.peaks.gflops), 3, roof);
    c_.text(right - 4, y_of(p_.peaks.gflops) - 14, 1, "peak of the arithmetic", roof, 1);
    const double middle = std::sqrt(from * ridge);
    c_.text(x_of(middle) - 8, y_of(middle * p_.peaks.gigabytes_second) - 12, 1, "memory", roof, 1);
  }

  void steps() {
    for (size_t i = 0; i < order_.size(); ++i) {  // the largest first, so that none is hidden
      const ProfiledStep& s = *order_[i];
      if (!on_chart(s)) continue;
      const double x = x_of(s.flops / s.bytes), y = y_of(speed(s)), radius = 3 + 40 * std::sqrt(p_.share(s));
      c_.disc(x, y, radius + 1, paper);
      c_.disc(x, y, radius, colour(s));
    }
    for (size_t i = 0; i < std::min<size_t>(8, order_.size()); ++i) {
      const ProfiledStep& s = *order_[i];
      if (on_chart(s)) c_.text(x_of(s.flops / s.bytes), y_of(speed(s)) - 3, 1, std::to_string(i + 1), ink, 0.5);
    }
  }

  void legend() {
    double x = left, y = bottom + 52;
    for (size_t i = 0; i < std::min<size_t>(12, operators_.size()); ++i) {
      const OperatorSum& o = operators_[i];
      c_.disc(x + 5, y + 4, 5, colour_of(static_cast<int>(i)));
      c_.text(x + 16, y, 1, text(o.op.substr(0, 17), printed(" %.1f %%", 100 * o.ms / std::max(1e-12, p_.total_ms))), ink);
      x += 172;
      if (x + 150 > right) x = left, y += 22;
    }
  }

  void bars() {
    constexpr double begin = 1010, end = 1180;
    c_.text(790, top - 14, 1, "slowest steps", ink);
    c_.text(begin, top - 14, 1, "share of the time", ink);
    c_.text(1345, top - 14, 1, "of its limit", ink, 1);
    const double longest = order_.empty() ? 1 : std::max(1e-9, order_[0]->ms);
    for (size_t i = 0; i < std::min(ranked, order_.size()); ++i) {
      const ProfiledStep& s = *order_[i];
      const double y = top + 6 + 29 * static_cast<double>(i), length = (end - begin) * s.ms / longest;
      c_.text(784, y + 4, 1, std::to_string(i + 1), grey, 1);
      c_.text(790, y, 1, s.op.substr(0, 34), ink);
      const std::string name = s.node.size() > 34 ? ".." + s.node.substr(s.node.size() - 32) : s.node;
      c_.text(790, y + 11, 1, name, grey);
      c_.rectangle(begin, y, begin + std::max(1.0, length), y + 18, colour(s));
      c_.text(begin + length + 6, y + 5, 1, text(printed("%.1f %%", 100 * p_.share(s)), " ", of_ms(s.ms)), ink);
      const double part = p_.of_peak(s);
      c_.text(1345, y + 5, 1, part > 0 ? printed("%.0f %%", 100 * part) : "-", part > 0 && part < 0.4 && p_.share(s) > 0.02 ? roof : ink, 1);
    }
  }

  Canvas& c_;
  const Profile& p_;
  std::vector<const ProfiledStep*> order_;
  std::vector<OperatorSum> operators_;
  double least_x_ = 0.05, most_x_ = 100, least_y_ = 1e3, most_y_ = 1;
};

}  // namespace

void save_roofline(const std::string& path, const Profile& profile) {
  const auto canvas = make_canvas(path, width, height, paper);
  Plot(*canvas, profile).draw();
  canvas->save(path);
}

}  // namespace outpost::cli
