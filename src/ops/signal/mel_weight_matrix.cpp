// MelWeightMatrix (ONNX 17): (dft_length / 2 + 1, mel bins) triangles, evenly spaced on the mel scale
// mel = 2595 log10(1 + f / 700), their corners at whole bins of the spectrum.
#include <cmath>
#include <vector>

#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { bins_input, length_input, rate_input, low_input, high_input };

constexpr int64_t most_bins = 1 << 20;

void infer(InferContext& c) {
  c.require_inputs(5, 5);
  for (int i : {bins_input, length_input, rate_input}) c.require_dtype(i, {DType::i32, DType::i64});
  for (int i : {low_input, high_input}) c.require_dtype(i, {DType::f32, DType::f64, DType::f16, DType::bf16});
  const auto dtype = static_cast<DType>(c.attributes().integer("output_datatype", 1));
  c.require(dtype >= DType::f32 && dtype <= DType::bf16 && dtype != DType::string && dtype != DType::boolean && dtype != DType::complex64 && dtype != DType::complex128,
            "output_datatype ", c.attributes().integer("output_datatype", 1), " is not a number type");
  Dims dims(2);
  std::vector<int64_t> value;
  if (c.integers(length_input, value) && value.size() == 1 && value[0] >= 0) dims[0] = value[0] / 2 + 1;
  if (c.integers(bins_input, value) && value.size() == 1 && value[0] >= 0) dims[1] = value[0];
  c.output(0, dtype, dims);
}

double number(const RunContext& c, int i) {
  c.require(c.in(i).count() == 1, "input ", i, " is not one number");
  double value;
  load(c.in(i).dtype, c.in(i).data, 0, 1, DType::f64, &value);
  return value;
}

double mel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }
double hertz(double mel) { return 700 * (std::pow(10, mel / 2595) - 1); }

void run(RunContext& c) {
  const double bins = number(c, bins_input), length = number(c, length_input), rate = number(c, rate_input), low = number(c, low_input), high = number(c, high_input);
  c.require(bins >= 0 && bins <= most_bins, "num_mel_bins is ", bins, "; expected 0..", most_bins);
  c.require(length >= 0 && length <= 1 << 28, "dft_length is ", length, "; expected 0..", 1 << 28);
  c.require(rate > 0, "sample_rate is ", rate, "; expected a positive number");
  c.require(low >= 0 && high >= low && high <= 1e9, "the edges are ", low, " and ", high, " hertz");
  const auto columns = static_cast<int64_t>(bins), rows = static_cast<int64_t>(length) / 2 + 1;
  if (!c.out(0).defined()) c.allocate(0, {rows, columns});
  View& y = c.out(0);
  const double least = mel(low), step = (mel(high) - least) / (bins + 2);
  auto corner = [&](int64_t i) {
    const double at = std::floor((length + 1) * hertz(least + step * static_cast<double>(i)) / rate);
    c.require(at >= 0 && at < static_cast<double>(rows), "a band of ", high, " hertz reaches bin ", at, " of ", rows);
    return static_cast<int64_t>(at);
  };
  const double zero = 0;
  for (int64_t i = 0; i < rows * columns; ++i) store(DType::f64, &zero, 1, y.dtype, y.data, i);
  for (int64_t band = 0; band < columns; ++band) {
    const int64_t left = corner(band), centre = corner(band + 1), right = corner(band + 2);
    auto put = [&](int64_t row, double value) { store(DType::f64, &value, 1, y.dtype, y.data, row * columns + band); };
    if (centre == left) put(centre, 1);
    else
      for (int64_t j = left; j <= centre; ++j) put(j, static_cast<double>(j - left) / static_cast<double>(centre - left));
    for (int64_t j = centre; j < right; ++j) put(j, static_cast<double>(right - j) / static_cast<double>(right - centre));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(MelWeightMatrix, .name = "MelWeightMatrix", .since = 17, .first = 17, .min_inputs = 5, .max_inputs = 5,
                  .doc = "matrix from spectrum to mel bands", .infer = infer, .run = run, .no_gradient = "made from sizes alone",
                  .cases = R"( | i64[]={8} i64[]={64} i64[]={8192} f32[]={100} f32[]={3000}
 | i64[]={0} i64[]={64} i64[]={8192} f32[]={100} f32[]={3000})");

}  // namespace outpost
