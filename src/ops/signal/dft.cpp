// DFT (ONNX 20): discrete Fourier transform along one axis; forward or inverse, of real or complex signals, whole or the
// non-redundant half (RFFT, IRFFT). The last axis holds (re) or (re, im).
#include <algorithm>

#include "ops/carve.h"
#include "ops/op.h"
#include "ops/signal/fft.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { x_input, length_input, axis_input };

constexpr int64_t longest = int64_t{1} << 28;

struct Options {
  bool inverse, onesided;
};
Options options(const Attributes& a) { return {a.integer("inverse", 0) != 0, a.integer("onesided", 0) != 0}; }

// What comes out of `length` points.
int64_t kept(const Options& o, int64_t length) { return o.onesided && !o.inverse ? length / 2 + 1 : length; }
int64_t default_length(const Options& o, int64_t in) { return o.onesided && o.inverse ? 2 * (in - 1) : in; }

void infer(InferContext& c) {
  c.require_inputs(1, 3);
  c.require_dtype(x_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_dtype(length_input, {DType::i32, DType::i64});
  c.require_dtype(axis_input, {DType::i64});
  const Options o = options(c.attributes());
  if (!c.ranked(x_input)) return c.output(0, c.dtype(x_input));
  Dims dims = c.dims(x_input);
  c.require(dims.size() >= 2, "the input has rank ", dims.size(), "; expected at least 2");
  c.require(!dims.back().known() || dims.back().size == 1 || dims.back().size == 2, "the last axis has ", dims.back().size,
            " values; expected 1 (real) or 2 (complex)");
  dims.back() = o.inverse && o.onesided ? 1 : 2;
  std::vector<int64_t> axis{-2}, length;
  if (c.has(axis_input) && (!c.integers(axis_input, axis) || axis.size() != 1)) {
    Dims unknown(dims.size());
    unknown.back() = dims.back();
    return c.output(0, c.dtype(x_input), unknown);
  }
  const int at = c.axis(axis[0], c.rank(x_input));
  c.require(at < c.rank(x_input) - 1, "axis ", axis[0], " is the axis of real and imaginary parts");
  Dim& d = dims[static_cast<size_t>(at)];
  if (c.has(length_input)) {
    if (!c.integers(length_input, length) || length.size() != 1) d = {};
    else {
      c.require(length[0] >= 1 && length[0] <= longest, "dft_length is ", length[0], "; expected 1..", longest);
      d = kept(o, length[0]);
    }
  } else if (d.known()) {
    const int64_t n = default_length(o, d.size);
    c.require(n >= 1 && n <= longest, "the axis has ", d.size, " values, a transform of length ", n, "; expected 1..", longest);
    d = kept(o, n);
  } else if (o.onesided) {
    d = {};
  }
  c.output(0, c.dtype(x_input), dims);
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

int64_t integer(const View& v) {
  int64_t value;
  load(v.dtype, v.data, 0, 1, DType::i64, &value);
  return value;
}

// One signal: `stride` apart in x and y, of which parts(x) values each.
template <class T>
class Signals {
 public:
  Signals(const RunContext& c, const Options& o, const Fft<T>& fft, int axis) : o_(o), fft_(fft), x_(c.in(x_input)), y_(c.out(0)) {
    in_ = x_.dim(axis), out_ = y_.dim(axis);
    inner_ = x_.shape().count(axis + 1, x_.rank() - 1);
    x_parts_ = x_.dim(x_.rank() - 1), y_parts_ = y_.dim(y_.rank() - 1);
  }

  int64_t count(int axis) const { return x_.shape().count(0, axis) * inner_; }

  void run(int64_t index, Complex<T>* signal, Complex<T>* scratch) const {
    const int64_t outer = index / inner_, inner = index % inner_, n = fft_.length();
    const int64_t from = outer * in_ * inner_ + inner, to = outer * out_ * inner_ + inner;
    const bool half = o_.inverse && o_.onesided;
    const int64_t given = std::min(in_, half ? n / 2 + 1 : n);
    for (int64_t j = 0; j < given; ++j) {
      T value[2] = {0, 0};
      load(x_.dtype, x_.data, (from + j * inner_) * x_parts_, x_parts_, type_of<T>, value);
      signal[j] = {value[0], value[1]};
    }
    std::fill(signal + given, signal + n, Complex<T>{0, 0});
    if (!o_.inverse && o_.onesided && x_parts_ == 1) {
      T* real = reinterpret_cast<T*>(signal);  // values first to last, in the room of as many complex ones
      for (int64_t j = 0; j < n; ++j) real[j] = signal[j].re;
      fft_.transform_real(real, signal + n, scratch);
      return write(signal + n, to, 1);
    }
    if (half) mirror(signal, n);
    fft_.transform(signal, o_.inverse, scratch);
    write(signal, to, o_.inverse ? static_cast<T>(1.0 / static_cast<double>(n)) : T(1));
  }

 private:
  // The other half of a real signal's spectrum; what should be real is.
  static void mirror(Complex<T>* s, int64_t n) {
    s[0].im = 0;
    if (n % 2 == 0) s[n / 2].im = 0;
    for (int64_t j = 1; j < (n + 1) / 2; ++j) s[n - j] = {s[j].re, -s[j].im};
  }

  void write(const Complex<T>* s, int64_t to, T scale) const {
    for (int64_t j = 0; j < out_; ++j) {
      const T value[2] = {s[j].re * scale, s[j].im * scale};
      store(type_of<T>, value, y_parts_, y_.dtype, y_.data, (to + j * inner_) * y_parts_);
    }
  }

  const Options& o_;
  const Fft<T>& fft_;
  const View &x_, &y_;
  int64_t in_, out_, inner_, x_parts_, y_parts_;
};

template <class T>
void run_as(RunContext& c, const Options& o, int64_t length, int axis) {
  const auto fft = c.prepared<FftTables>().get<T>(length);
  const Signals<T> signals(c, o, *fft, axis);
  const int64_t each = 2 * length + 2 + fft->scratch_count();  // the signal, room for a real one's spectrum, scratch
  Carve measure;
  measure.take<Complex<T>>(each);
  auto* room = static_cast<std::byte*>(c.temporary(measure.bytes() * static_cast<size_t>(c.threads())));
  c.parallel_ranges(signals.count(axis), std::max<int64_t>(1, 2048 / length), [&](int64_t begin, int64_t end) {
    auto* mine = reinterpret_cast<Complex<T>*>(room + measure.bytes() * static_cast<size_t>(RunContext::worker()));
    for (int64_t i = begin; i < end; ++i) signals.run(i, mine, mine + 2 * length + 2);
  });
}

void run(RunContext& c) {
  const View& x = c.in(x_input);
  const Options o = options(c.attributes());
  c.require(!c.has(axis_input) || c.in(axis_input).count() == 1, "axis is not one number");
  c.require(!c.has(length_input) || c.in(length_input).count() == 1, "dft_length is not one number");
  int64_t axis = c.has(axis_input) ? integer(c.in(axis_input)) : -2;
  c.require(axis >= -x.rank() && axis < x.rank() - 1 && axis != -1, "axis ", axis, " is outside ", -x.rank(), "..", x.rank() - 2, ", or the last");
  if (axis < 0) axis += x.rank();
  const int at = static_cast<int>(axis);
  const int64_t length = c.has(length_input) ? integer(c.in(length_input)) : default_length(o, x.dim(at));
  c.require(length >= 1 && length <= longest, "a transform of length ", length, "; expected 1..", longest);
  if (!c.out(0).defined()) {
    Shape shape = x.shape();
    shape[at] = kept(o, length);
    shape[x.rank() - 1] = o.inverse && o.onesided ? 1 : 2;
    c.allocate(0, shape);
  }
  if (c.out(0).count() == 0) return;
  if (x.dtype == DType::f64) run_as<double>(c, o, length, at);
  else run_as<float>(c, o, length, at);
}

std::shared_ptr<const void> prepare(const PrepareContext&) { return std::make_shared<FftTables>(); }

// Opset 17: the axis was an attribute, 1 unless given.
void upgrade(UpgradeContext& c) {
  if (c.from >= 20) return;
  c.node.set_input(axis_input, c.constant(Tensor::scalar(c.attributes().integer("axis", 1))));
  c.node.attributes.erase("axis");
}

Cost cost(const CostContext& c) { return {20 * c.count(*c.out(0)), 4 * (c.count(*c.in(0)) + c.count(*c.out(0)))}; }

}  // namespace

OUTPOST_DEFINE_OP(DFT, .name = "DFT", .since = 20, .first = 17, .min_inputs = 1, .max_inputs = 3,
                  .doc = "discrete Fourier transform of any length, O(n log n)", .infer = infer, .run = run, .upgrade = upgrade, .cost = cost,
                  .prepare = prepare,
                  .cases = R"( | f32[2,12,1]
onesided=1 | f32[2,30,3,1] - i64[]={1}
inverse=1 | f32[17,2,2] i64[]={34} i64[]={0}
inverse=1 onesided=1 | f32[3,9,2]
onesided=1 | f32[0,9,1])");

}  // namespace outpost
