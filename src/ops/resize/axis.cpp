// Coordinates and filters of ONNX Resize 19. Antialiasing stretches the filter by 1 / scale (as PIL does); positions
// beyond the edge read the edge, or weigh nothing when exclude_outside is set.
#include "ops/resize/axis.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace outpost::resize {
namespace {

template <class E>
struct Name {
  std::string_view name;
  E value;
};

template <class E, size_t n>
bool look_up(const Name<E> (&names)[n], std::string_view name, E& value) {
  auto at = std::find_if(std::begin(names), std::end(names), [&](const Name<E>& e) { return e.name == name; });
  if (at == std::end(names)) return false;
  value = at->value;
  return true;
}

double source(const Sampling& s, const Axis& a, int64_t o) {
  const double x = static_cast<double>(o), in = static_cast<double>(a.in), width = a.scale * in;
  switch (s.coordinates) {
    case Coordinates::half_pixel: return (x + 0.5) / a.scale - 0.5;
    case Coordinates::half_pixel_symmetric: return in / 2 * (1 - static_cast<double>(a.out) / width) + (x + 0.5) / a.scale - 0.5;
    case Coordinates::pytorch_half_pixel: return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
    case Coordinates::align_corners: return width == 1 || a.out <= 1 ? 0 : x * (in - 1) / (width - 1);
    case Coordinates::asymmetric: return x / a.scale;
    case Coordinates::tf_half_pixel_for_nn: return (x + 0.5) / a.scale;
    case Coordinates::tf_crop_and_resize:
      return a.begin * (in - 1) + (a.out > 1 ? x * (a.end - a.begin) * (in - 1) / (width - 1) : (a.end - a.begin) * (in - 1) / 2);
  }
  return x;
}

int64_t nearest(Rounding rounding, double scale, double x) {
  const double low = std::floor(x), part = x - low;
  if (rounding == Rounding::by_scale) rounding = scale < 1 ? Rounding::ceil : Rounding::floor;
  switch (rounding) {
    case Rounding::prefer_floor: return static_cast<int64_t>(part > 0.5 ? low + 1 : low);
    case Rounding::prefer_ceil: return static_cast<int64_t>(part >= 0.5 ? low + 1 : low);
    case Rounding::by_scale:
    case Rounding::floor: return static_cast<int64_t>(low);
    case Rounding::ceil: return static_cast<int64_t>(std::ceil(x));
  }
  return static_cast<int64_t>(low);
}

double filter(const Sampling& s, double distance) {
  const double x = std::fabs(distance), a = s.cubic;
  if (s.mode == Mode::linear) return std::max(0.0, 1 - x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

double stretch(const Sampling& s, const Axis& a) { return s.antialias ? std::min(a.scale, 1.0) : 1; }

// Positions before floor(x), counted from it (negative or 0).
int64_t first_tap(const Sampling& s, const Axis& a) {
  const double support = s.mode == Mode::linear ? 1 : 2;
  return static_cast<int64_t>(std::floor(-support / stretch(s, a))) + 1;
}

}  // namespace

bool parse(std::string_view name, Mode& mode) {
  static constexpr Name<Mode> names[] = {{"nearest", Mode::nearest}, {"linear", Mode::linear}, {"bilinear", Mode::linear}, {"cubic", Mode::cubic}};
  return look_up(names, name, mode);
}

bool parse(std::string_view name, Coordinates& coordinates) {
  static constexpr Name<Coordinates> names[] = {{"half_pixel", Coordinates::half_pixel},
                                                {"half_pixel_symmetric", Coordinates::half_pixel_symmetric},
                                                {"pytorch_half_pixel", Coordinates::pytorch_half_pixel},
                                                {"align_corners", Coordinates::align_corners},
                                                {"asymmetric", Coordinates::asymmetric},
                                                {"tf_half_pixel_for_nn", Coordinates::tf_half_pixel_for_nn},
                                                {"tf_crop_and_resize", Coordinates::tf_crop_and_resize}};
  return look_up(names, name, coordinates);
}

bool parse(std::string_view name, Rounding& rounding) {
  static constexpr Name<Rounding> names[] = {{"round_prefer_floor", Rounding::prefer_floor},
                                             {"round_prefer_ceil", Rounding::prefer_ceil},
                                             {"floor", Rounding::floor},
                                             {"ceil", Rounding::ceil},
                                             {"by_scale", Rounding::by_scale}};
  return look_up(names, name, rounding);
}

int64_t tap_count(const Sampling& s, const Axis& a) { return s.mode == Mode::nearest ? 1 : 2 - 2 * first_tap(s, a); }

void fill(const Sampling& s, const Axis& a, int64_t taps, int32_t* index, double* weights, bool* outside) {
  const double reach = 4.0 * static_cast<double>(a.in) + 64, last = static_cast<double>(a.in - 1);
  for (int64_t o = 0; o < a.out; ++o) {
    double x = source(s, a, o);
    outside[o] = s.coordinates == Coordinates::tf_crop_and_resize && !(x >= 0 && x <= last);
    x = x == x ? std::clamp(x, -reach, reach) : 0;  // far outside is as good as outside
    if (s.mode == Mode::nearest) {
      index[o] = static_cast<int32_t>(std::clamp<int64_t>(nearest(s.rounding, a.scale, x), 0, a.in - 1));
      continue;
    }
    const int64_t first = static_cast<int64_t>(std::floor(x)) + first_tap(s, a);
    double sum = 0, inside = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const double w = filter(s, (static_cast<double>(first + t) - x) * stretch(s, a));
      weights[t * a.out + o] = w;
      index[t * a.out + o] = static_cast<int32_t>(std::clamp<int64_t>(first + t, 0, a.in - 1));
      sum += w;
      if (first + t >= 0 && first + t < a.in) inside += w;
    }
    if (!s.antialias && !s.exclude_outside) continue;  // they sum to one
    const double total = s.exclude_outside ? inside : sum;
    for (int64_t t = 0; t < taps; ++t) {
      double& w = weights[t * a.out + o];
      if (s.exclude_outside && (first + t < 0 || first + t >= a.in)) w = 0;
      else if (total != 0) w /= total;
    }
  }
}

}  // namespace outpost::resize
