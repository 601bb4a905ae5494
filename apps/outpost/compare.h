// Is a result what was expected? The rules of ONNX's own test runner: same kind, dtype and shape; numbers within
// |a - b| <= atol + rtol * |b|, NaN equal to NaN and infinities to themselves; strings equal; sequences and optionals
// element by element. bfloat16 is compared with rtol of at least 2^-6, two of its units in the last place.
#pragma once
#include <string>

#include "outpost/tensor.h"

namespace outpost::cli {

struct Tolerance {
  double relative = 1e-3, absolute = 1e-5;
  bool values = true;  // false: kind, dtype and shape only (for random results)
};

struct Comparison {
  std::string problem;       // empty: equal
  double largest_error = 0;  // max |a - b| over finite elements
};

Comparison compare(const Datum& found, const Datum& expected, const Tolerance& tolerance);

}  // namespace outpost::cli
