// STFT (ONNX 17): Fourier transforms of frames cut from a signal every frame_step samples, each under a window.
#include <algorithm>

#include "ops/carve.h"
#include "ops/op.h"
#include "ops/signal/fft.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { x_input, step_input, window_input, length_input };

struct Frames {
  int64_t step = 0, length = 0, count = 0, bins = 0;
};

// Of known values; fail(…) says what is wrong with them.
template <class Fail>
Frames frames(int64_t signal, int64_t step, int64_t length, bool onesided, Fail fail) {
  if (step < 1) fail("frame_step is ", step, "; expected a positive number");
  if (length < 1 || length > signal) fail("the frame has ", length, " samples; expected 1..", signal);
  return {step, length, (signal - length) / step + 1, onesided ? length / 2 + 1 : length};
}

bool onesided(const Attributes& a) { return a.integer("onesided", 1) != 0; }

void infer(InferContext& c) {
  c.require_inputs(2, 4);
  c.require_dtype(x_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i : {step_input, length_input}) c.require_dtype(i, {DType::i32, DType::i64});
  c.require_same_dtype(x_input, window_input);
  c.require(!c.has(window_input) || !c.ranked(window_input) || c.rank(window_input) == 1, "the window has rank ",
            c.has(window_input) ? c.rank(window_input) : 0, "; expected 1");
  Dims dims{{}, {}, {}, 2};
  Dim signal;
  if (c.ranked(x_input)) {
    const Dims& x = c.dims(x_input);
    c.require(x.size() == 3, "the signal has rank ", x.size(), "; expected 3");
    c.require(!x[2].known() || x[2].size == 1 || x[2].size == 2, "the signal's last axis has ", x[2].size, " values; expected 1 or 2");
    dims[0] = x[0];
    signal = x[1];
  }
  std::vector<int64_t> step, length;
  Dim frame = c.has(window_input) ? (c.ranked(window_input) ? c.dims(window_input)[0] : Dim()) : c.has(length_input) ? Dim() : signal;
  if (c.integers(length_input, length) && length.size() == 1) {
    c.require(!c.has(window_input) || !frame.known() || frame.size == length[0], "frame_length is ", length[0], " and the window has ", frame.size);
    frame = std::max<int64_t>(0, length[0]);
  }
  if (frame.known()) dims[2] = onesided(c.attributes()) ? frame.size / 2 + 1 : frame.size;
  if (signal.known() && frame.known() && c.integers(step_input, step) && step.size() == 1)
    dims[1] = frames(signal.size, step[0], frame.size, true, [&](const auto&... what) { c.fail(what...); }).count;
  c.output(0, c.dtype(x_input), dims);
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

int64_t integer(const View& v) {
  int64_t value;
  load(v.dtype, v.data, 0, 1, DType::i64, &value);
  return value;
}

template <class T>
void run_as(RunContext& c, const Frames& f) {
  const View &x = c.in(x_input), &y = c.out(0);
  const auto fft = c.prepared<FftTables>().get<T>(f.length);
  const int64_t parts = x.dim(2), samples = x.dim(1), n = f.length;
  const bool half = parts == 1 && f.bins == n / 2 + 1;
  Carve measure;
  measure.take<T>(n);
  measure.take<Complex<T>>(2 * n + 2 + fft->scratch_count());
  auto* room = static_cast<std::byte*>(c.temporary(measure.bytes() * static_cast<size_t>(c.threads() + 1)));
  T* window = reinterpret_cast<T*>(room + measure.bytes() * static_cast<size_t>(c.threads()));
  std::fill_n(window, n, T(1));
  if (c.has(window_input)) load(x.dtype, c.in(window_input).data, 0, n, type_of<T>, window);
  c.parallel_ranges(x.dim(0) * f.count, std::max<int64_t>(1, 2048 / n), [&](int64_t begin, int64_t end) {
    Carve carve(room + measure.bytes() * static_cast<size_t>(RunContext::worker()));
    T* real = carve.take<T>(n);
    auto* signal = carve.take<Complex<T>>(2 * n + 2 + fft->scratch_count());
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = (i / f.count * samples + i % f.count * f.step) * parts;
      Complex<T>* result = signal;
      if (half) {
        load(x.dtype, x.data, at, n, type_of<T>, real);
        for (int64_t j = 0; j < n; ++j) real[j] *= window[j];
        fft->transform_real(real, signal, signal + 2 * n + 2);
      } else {
        T* values = reinterpret_cast<T*>(signal + n);
        load(x.dtype, x.data, at, n * parts, type_of<T>, values);
        for (int64_t j = 0; j < n; ++j) signal[j] = {values[j * parts] * window[j], parts == 2 ? values[j * parts + 1] * window[j] : T(0)};
        fft->transform(signal, false, signal + 2 * n + 2);
      }
      store(type_of<T>, result, 2 * f.bins, y.dtype, y.data, i * f.bins * 2);
    }
  });
}

void run(RunContext& c) {
  const View& x = c.in(x_input);
  for (int i : {step_input, length_input}) c.require(!c.has(i) || c.in(i).count() == 1, "input ", i, " is not one number");
  int64_t length = c.has(window_input) ? c.in(window_input).count() : x.dim(1);
  if (c.has(length_input)) {
    const int64_t given = integer(c.in(length_input));
    c.require(!c.has(window_input) || given == length, "frame_length is ", given, " and the window has ", length);
    length = given;
  }
  const Frames f = frames(x.dim(1), integer(c.in(step_input)), length, onesided(c.attributes()), [&](const auto&... what) { c.fail(what...); });
  if (!c.out(0).defined()) c.allocate(0, {x.dim(0), f.count, f.bins, 2});
  if (c.out(0).count() == 0) return;
  if (x.dtype == DType::f64) run_as<double>(c, f);
  else run_as<float>(c, f);
}

std::shared_ptr<const void> prepare(const PrepareContext&) { return std::make_shared<FftTables>(); }

Cost cost(const CostContext& c) { return {20 * c.count(*c.out(0)), 4 * (c.count(*c.in(0)) + c.count(*c.out(0)))}; }

}  // namespace

OUTPOST_DEFINE_OP(STFT, .name = "STFT", .since = 17, .first = 17, .min_inputs = 2, .max_inputs = 4,
                  .doc = "short-time Fourier transform", .infer = infer, .run = run, .cost = cost, .prepare = prepare,
                  .cases = R"( | f32[2,40,1] i64[]={7} f32[16]
onesided=0 | f32[1,30,2] i64[]={5} - i64[]={11}
 | f32[0,30,1] i64[]={5} - i64[]={12})");

}  // namespace outpost
