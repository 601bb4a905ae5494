// What quantising one layer costs and gains, measured on a value that it was seen to read.
#pragma once
#include <string>
#include <vector>

#include "outpost/session.h"
#include "passes/quantise.h"

namespace outpost::cli {

enum class Scheme { static_int8, dynamic_int8, int4 };

struct LayerMeasure {
  double error = 0;     // |difference| / |output| in the root mean square
  double float_ms = 0, quantised_ms = 0;
  double speedup() const { return quantised_ms > 0 ? float_ms / quantised_ms : 1; }
};

// `x` is what the layer read; `ranges` must hold its input and output for static int8.
LayerMeasure measure_layer(const QuantisableLayer& layer, const Tensor& x, Scheme scheme, const Ranges& ranges, int64_t block);

// Root mean square of a - b by that of a; 0 where both are 0.
double relative_error(const Tensor& a, const Tensor& b);
// The least time of a run, of interleaved runs of both.
std::pair<double, double> time_both(Binding& a, Binding& b, double seconds);

}  // namespace outpost::cli
