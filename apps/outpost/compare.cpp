// Everything numeric is compared as f64, complex numbers by the magnitude of their difference; 64-bit integers are
// tried for equality first, since f64 cannot tell neighbours above 2^53 apart.
#include "compare.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "base/text.h"
#include "tensor/convert.h"

namespace outpost::cli {
namespace {

std::string_view kind_name(Datum::Kind kind) {
  constexpr std::string_view names[] = {"nothing", "a tensor", "a sequence", "a map"};
  return names[static_cast<int>(kind)];
}

struct Tally {
  int64_t wrong = 0, worst_index = 0;
  double worst = -1, largest = 0;
  std::string worst_pair;

  void add(int64_t index, double error, bool within, const std::string& pair) {
    if (std::isfinite(error)) largest = std::max(largest, error);
    if (within) return;
    ++wrong;
    double rank = std::isfinite(error) ? error : INFINITY;
    if (rank > worst) worst = rank, worst_index = index, worst_pair = pair;
  }
};

std::string position(int64_t index, const Shape& shape) {
  Shape at = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    at[axis] = index % shape[axis];
    index /= shape[axis];
  }
  return to_string(at);
}

// Error of one pair of reals; negative when they are the same special value.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return -1;
  return std::abs(a - b);
}

void compare_reals(const Tensor& found, const Tensor& expected, const Tolerance& tolerance, Tally& tally) {
  constexpr int64_t tile = 1024;
  double a[tile], b[tile];
  const bool wide = found.dtype() == DType::i64 || found.dtype() == DType::u64;
  for (int64_t first = 0; first < found.count(); first += tile) {
    int64_t count = std::min(tile, found.count() - first);
    load(found.dtype(), found.raw(), first, count, DType::f64, a);
    load(expected.dtype(), expected.raw(), first, count, DType::f64, b);
    for (int64_t i = 0; i < count; ++i) {
      if (wide && static_cast<const uint64_t*>(found.raw())[first + i] == static_cast<const uint64_t*>(expected.raw())[first + i]) continue;
      double error = distance(a[i], b[i]);
      if (error < 0 && !wide) continue;
      bool within = error <= tolerance.absolute + tolerance.relative * std::abs(b[i]);
      if (std::isinf(b[i])) within = false;
      tally.add(first + i, std::abs(error), within, within ? "" : text(a[i], ", expected ", b[i]));
    }
  }
}

template <class T>
void compare_complex(const Tensor& found, const Tensor& expected, const Tolerance& tolerance, Tally& tally) {
  auto* a = static_cast<const std::complex<T>*>(found.raw());
  auto* b = static_cast<const std::complex<T>*>(expected.raw());
  for (int64_t i = 0; i < found.count(); ++i) {
    if (distance(a[i].real(), b[i].real()) < 0 && distance(a[i].imag(), b[i].imag()) < 0) continue;
    double error = std::abs(std::complex<double>(a[i]) - std::complex<double>(b[i]));
    bool within = error <= tolerance.absolute + tolerance.relative * std::abs(std::complex<double>(b[i]));
    tally.add(i, error, within, text(a[i].real(), "+", a[i].imag(), "i, expected ", b[i].real(), "+", b[i].imag(), "i"));
  }
}

void compare_strings(const Tensor& found, const Tensor& expected, Tally& tally) {
  auto a = found.values<std::string>(), b = expected.values<std::string>();
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) tally.add(static_cast<int64_t>(i), INFINITY, false, text("'", a[i], "', expected '", b[i], "'"));
}

Comparison compare_tensors(const Tensor& given, const Tensor& expected, Tolerance tolerance) {
  if (given.dtype() != expected.dtype()) return {text("dtype is ", given.dtype(), ", expected ", expected.dtype()), 0};
  if (!(given.shape() == expected.shape())) return {text("shape is ", given.shape(), ", expected ", expected.shape()), 0};
  if (!tolerance.values) return {};
  Tensor found = given.to_contiguous();
  if (found.dtype() == DType::bf16) tolerance.relative = std::max(tolerance.relative, 0x1p-6);
  Tally tally;
  switch (found.dtype()) {
    case DType::string: compare_strings(found, expected, tally); break;
    case DType::complex64: compare_complex<float>(found, expected, tolerance, tally); break;
    case DType::complex128: compare_complex<double>(found, expected, tolerance, tally); break;
    default: compare_reals(found, expected, tolerance, tally);
  }
  if (tally.wrong == 0) return {{}, tally.largest};
  return {text(tally.wrong, " of ", found.count(), " elements differ, largest error ", tally.largest, "; at ",
               position(tally.worst_index, found.shape()), ": ", tally.worst_pair), tally.largest};
}

}  // namespace

Comparison compare(const Datum& found, const Datum& expected, const Tolerance& tolerance) {
  if (found.kind() != expected.kind())
    return {text(kind_name(found.kind()), " found, ", kind_name(expected.kind()), " expected"), 0};
  if (found.kind() == Datum::Kind::none) return {};
  if (found.kind() == Datum::Kind::tensor) return compare_tensors(found.tensor(), expected.tensor(), tolerance);
  if (found.items().size() != expected.items().size())
    return {text(found.items().size(), " elements, expected ", expected.items().size()), 0};
  Comparison all;
  if (found.kind() == Datum::Kind::map) all = compare_tensors(found.keys(), expected.keys(), tolerance);
  for (size_t i = 0; i < found.items().size() && all.problem.empty(); ++i) {
    auto one = compare(found.items()[i], expected.items()[i], tolerance);
    all.largest_error = std::max(all.largest_error, one.largest_error);
    if (!one.problem.empty()) all.problem = text("element ", i, ": ", one.problem);
  }
  return all;
}

}  // namespace outpost::cli
