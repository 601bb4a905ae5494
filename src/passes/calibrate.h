// The range of values that 8-bit codes should span, from what a model was seen to compute.
#pragma once
#include <cstdint>
#include <vector>

#include "outpost/tensor.h"

namespace outpost {

enum class RangeMethod : uint8_t {
  minmax,      // everything seen
  percentile,  // all but the rarest largest magnitudes
  mse,         // the range whose rounding and clipping together lose the least mean square
};

struct ValueRange {
  float low = 0, high = 0;  // low <= 0 <= high
};

// Scale and zero point of u8 codes for a range; zero is a code, so that padding and Relu are exact.
struct CodeScale {
  float scale = 1;
  uint8_t zero = 0;
};
CodeScale scale_for(ValueRange range) noexcept;

// Sees values, in any number of pieces; keeps a histogram whose bins double in width when values outgrow it.
class RangeObserver {
 public:
  // f32 values; what is not finite is not counted. Returns how many were not.
  int64_t add(const Tensor& values);
  bool empty() const noexcept { return count_ == 0; }
  // `percentile`: of 100, for that method.
  ValueRange range(RangeMethod method, double percentile) const;

 private:
  static constexpr int bins = 4096;  // over (-reach, reach)
  void widen(float magnitude);
  double clipping_error(double low, double high) const;

  std::vector<int64_t> histogram_;
  float low_ = 0, high_ = 0, reach_ = 0;
  int64_t count_ = 0;
};

}  // namespace outpost
