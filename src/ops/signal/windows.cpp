// HannWindow, HammingWindow, BlackmanWindow (ONNX 17): cosine sums, periodic (over size) or symmetric (over size - 1).
#include <cmath>

#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr double two_pi = 6.283185307179586476925286766559;

void infer(InferContext& c) {
  c.require_inputs(1, 1);
  c.require_dtype(0, {DType::i32, DType::i64});
  const auto dtype = static_cast<DType>(c.attributes().integer("output_datatype", 1));
  c.require(dtype >= DType::f32 && dtype <= DType::bf16 && dtype != DType::string && dtype != DType::boolean && dtype != DType::complex64 && dtype != DType::complex128,
            "output_datatype ", c.attributes().integer("output_datatype", 1), " is not a number type");
  std::vector<int64_t> size;
  if (!c.integers(0, size)) return c.output(0, dtype, {Dim()});
  c.require(size.size() == 1 && size[0] >= 0, "size is not one number, 0 or more");
  c.output(0, dtype, {size[0]});
}

// a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n).
void run(RunContext& c, double a0, double a1, double a2) {
  c.require(c.in(0).count() == 1, "size is not one number");
  int64_t size;
  load(c.in(0).dtype, c.in(0).data, 0, 1, DType::i64, &size);
  c.require(size >= 0, "size is ", size);
  if (!c.out(0).defined()) c.allocate(0, {size});
  View& y = c.out(0);
  const int64_t over = c.attributes().integer("periodic", 1) != 0 ? size : size - 1;
  c.parallel_ranges(size, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double t = over > 0 ? two_pi * static_cast<double>(i) / static_cast<double>(over) : two_pi / 2;  // one symmetric sample: the peak
      const double value = a0 - a1 * std::cos(t) + a2 * std::cos(2 * t);
      store(DType::f64, &value, 1, y.dtype, y.data, i);
    }
  });
}

void run_hann(RunContext& c) { run(c, 0.5, 0.5, 0); }
void run_hamming(RunContext& c) { run(c, 25.0 / 46, 21.0 / 46, 0); }
void run_blackman(RunContext& c) { run(c, 0.42, 0.5, 0.08); }

constexpr std::string_view why = "made from a size alone";
constexpr std::string_view cases = " | i64[]={10}\nperiodic=0 output_datatype=11 | i32[]={7}\n | i64[]={0}";

}  // namespace

OUTPOST_DEFINE_OP(HannWindow, .name = "HannWindow", .since = 17, .first = 17, .doc = "Hann window", .infer = infer, .run = run_hann,
                  .no_gradient = why, .cases = cases);
OUTPOST_DEFINE_OP(HammingWindow, .name = "HammingWindow", .since = 17, .first = 17, .doc = "Hamming window", .infer = infer,
                  .run = run_hamming, .no_gradient = why, .cases = cases);
OUTPOST_DEFINE_OP(BlackmanWindow, .name = "BlackmanWindow", .since = 17, .first = 17, .doc = "Blackman window", .infer = infer,
                  .run = run_blackman, .no_gradient = why, .cases = cases);

}  // namespace outpost
