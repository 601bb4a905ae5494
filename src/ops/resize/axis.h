// Where each output position of a resized axis reads: input positions and their weights.
#pragma once
#include <cstdint>
#include <string_view>

namespace outpost::resize {

enum class Mode : uint8_t { nearest, linear, cubic };
enum class Coordinates : uint8_t {
  half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric, tf_half_pixel_for_nn, tf_crop_and_resize
};
enum class Rounding : uint8_t { prefer_floor, prefer_ceil, floor, ceil, by_scale };  // by_scale (opset 10): up floor, down ceil

struct Sampling {
  Mode mode = Mode::nearest;
  Coordinates coordinates = Coordinates::half_pixel;
  Rounding rounding = Rounding::prefer_floor;
  bool antialias = false, exclude_outside = false;
  double cubic = -0.75;
  float extrapolation = 0;
};

// false for a name that is not one of ONNX's.
bool parse(std::string_view name, Mode&);
bool parse(std::string_view name, Coordinates&);
bool parse(std::string_view name, Rounding&);

struct Axis {
  int64_t in = 1, out = 1;
  double scale = 1;  // out / in before rounding
  double begin = 0, end = 1;  // region, as parts of the input
};

// Positions read for each output: 1 for nearest, 2 for linear, 4 for cubic, more where antialiasing widens the filter.
// At most 8 in + 8 for the sizes that inference accepts.
int64_t tap_count(const Sampling&, const Axis&);
// Fills index and weights (taps, out), indices within [0, in); weights may be null (nearest). outside[o] is set where
// the output is the extrapolation value. in >= 1.
void fill(const Sampling&, const Axis&, int64_t taps, int32_t* index, double* weights, bool* outside);

}  // namespace outpost::resize
