// See calibrate.h. The MSE search follows the uniform model of rounding error: within the range step^2 / 12 a value, and
// the square of what is cut off beyond it, over the histogram.
#include "passes/calibrate.h"

#include <algorithm>
#include <cmath>

namespace outpost {

CodeScale scale_for(ValueRange r) noexcept {
  const double low = std::min(0.0, double(r.low)), high = std::max(0.0, double(r.high));
  CodeScale s;
  s.scale = static_cast<float>((high - low) / 255);
  if (!(s.scale >= 1e-30f) || !std::isfinite(s.scale)) return {1, 0};
  s.zero = static_cast<uint8_t>(std::clamp(std::nearbyint(-low / s.scale), 0.0, 255.0));
  return s;
}

// The histogram's reach doubles until `magnitude` lies inside; pairs of bins join around the middle.
void RangeObserver::widen(float magnitude) {
  if (histogram_.empty()) {
    histogram_.assign(bins, 0);
    reach_ = std::max(magnitude * 1.001f, 1e-20f);
  }
  while (magnitude >= reach_) {
    std::vector<int64_t> wider(bins, 0);
    for (int i = 0; i < bins; ++i) wider[static_cast<size_t>(bins / 4 + i / 2)] += histogram_[static_cast<size_t>(i)];
    histogram_ = std::move(wider);
    reach_ *= 2;
  }
}

int64_t RangeObserver::add(const Tensor& values) {
  const float* x = values.data<float>();
  const int64_t n = values.count();
  float low = low_, high = high_;
  int64_t odd = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) {
      ++odd;
      continue;
    }
    low = std::min(low, x[i]), high = std::max(high, x[i]);
  }
  if (odd == n) return odd;
  low_ = low, high_ = high;
  widen(std::max(-low, high));
  const double scale = bins / 2 / double(reach_);
  for (int64_t i = 0; i < n; ++i)
    if (std::isfinite(x[i])) ++histogram_[static_cast<size_t>(std::clamp(int(std::floor(x[i] * scale)) + bins / 2, 0, bins - 1))];
  count_ += n - odd;
  return odd;
}

double RangeObserver::clipping_error(double low, double high) const {
  const double width = reach_ / (bins / 2), step = (high - low) / 255;
  double error = 0;
  for (int i = 0; i < bins; ++i) {
    const int64_t n = histogram_[static_cast<size_t>(i)];
    if (n == 0) continue;
    const double x = (i - bins / 2 + 0.5) * width;
    const double beyond = x < low ? low - x : x > high ? x - high : 0;
    error += double(n) * (beyond * beyond + step * step / 12);
  }
  return error;
}

ValueRange RangeObserver::range(RangeMethod method, double percentile) const {
  const ValueRange all{low_, high_};
  if (method == RangeMethod::minmax || count_ == 0) return all;
  const double width = reach_ / (bins / 2);
  if (method == RangeMethod::percentile) {
    const auto spare = static_cast<int64_t>(double(count_) * (1 - percentile / 100));
    int64_t left = 0, right = 0;
    int first = 0, last = bins - 1;
    while (first < bins / 2 && left + histogram_[static_cast<size_t>(first)] <= spare / 2) left += histogram_[static_cast<size_t>(first++)];
    while (last >= bins / 2 && right + histogram_[static_cast<size_t>(last)] <= spare / 2) right += histogram_[static_cast<size_t>(last--)];
    return {std::max(low_, static_cast<float>((first - bins / 2) * width)), std::min(high_, static_cast<float>((last + 1 - bins / 2) * width))};
  }
  ValueRange best = all;
  double least = clipping_error(low_, high_);
  for (int i = 1; i <= 80; ++i) {
    const double share = 1 - i * 0.0115;  // down to 8 % of what was seen
    const double error = clipping_error(low_ * share, high_ * share);
    if (error < least) least = error, best = {static_cast<float>(low_ * share), static_cast<float>(high_ * share)};
  }
  return best;
}

}  // namespace outpost
