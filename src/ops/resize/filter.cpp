// Linear and cubic resampling, separably: rows are mixed along every resized axis but the last, positions along the last.
// The last two axes are done together, row by row, so images need no tensor in between. Integers are rounded to nearest
// even and saturated.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/carve.h"
#include "ops/resize/resample.h"
#include "tensor/convert.h"

namespace outpost::resize {
namespace {

// An axis's tables in memory.
template <class T>
struct Table {
  const int32_t* index;
  const T* weights;  // (taps, out)
  const bool* outside;
  int64_t taps, in, out;
};

template <class T>
void mix_rows(const T* const* rows, const T* weights, int64_t count, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += weights[k] * rows[k][i];
    y[i] = sum;
  }
}
void mix_rows(const float* const* rows, const float* weights, int64_t count, float* y, int64_t n) {
  kernels::kernels().mix_rows(rows, weights, count, y, n);
}

template <class T>
void mix_columns(const T* x, const Table<T>& t, int64_t inner, T* y) {
  if constexpr (std::is_same_v<T, float>) return kernels::kernels().mix_columns(x, t.index, t.weights, t.taps, inner, t.out, y);
  for (int64_t o = 0; o < t.out; ++o)
    for (int64_t c = 0; c < inner; ++c) {
      T sum = 0;
      for (int64_t k = 0; k < t.taps; ++k) sum += t.weights[k * t.out + o] * x[t.index[k * t.out + o] * inner + c];
      y[o * inner + c] = sum;
    }
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

// Linear and cubic, in T.
template <class T>
class Filter {
 public:
  Filter(RunContext& c, const Sampling& s, const Axis* axes) : c_(c), s_(s), axes_(axes), rank_(c.in(0).rank()) {
    for (int i = 0; i < rank_; ++i)
      if (changes(axes[i])) resized_[count_++] = i;
  }

  void run() {
    const View& x = c_.in(0);
    if (count_ == 0) return static_cast<void>(std::memcpy(c_.out(0).data, x.data, x.bytes()));
    Carve measure;
    lay_out(measure);
    Carve carve(c_.temporary(measure.bytes()));
    lay_out(carve);
    for (int i = 0; i < count_; ++i) fill_table(i);
    const void* from = x.data;
    DType dtype = x.dtype;
    Shape shape = x.shape();
    for (int i = 0; i + 2 < count_; ++i) {
      pass(i, from, dtype, shape, buffers_[i % 2]);
      from = buffers_[i % 2];
      dtype = type_of<T>;
      shape[resized_[i]] = axes_[resized_[i]].out;
    }
    finish(from, dtype, shape);
  }

 private:
  struct PerThread {
    T *loaded, *row, *line;  // (taps, row), (row) mixed, (mid, out, inner) of the last axis
    const T** rows;
    T* weights;
  };

  int64_t row_length() const {  // of what is mixed along the last axis but one, or of one slice along the last
    const int last = resized_[count_ - 1], before = count_ > 1 ? resized_[count_ - 2] : last - 1;
    int64_t n = 1;
    for (int i = before + 1; i < rank_; ++i) n *= axes_[i].in;
    return n;
  }
  int64_t line_length() const {
    const int last = resized_[count_ - 1];
    return row_length() / std::max<int64_t>(1, axes_[last].in) * axes_[last].out;
  }

  int64_t largest_pass() const {  // elements after any of the passes before the last two axes
    int64_t most = 0;
    for (int i = 0; i + 2 < count_; ++i) {
      Shape shape;
      for (int axis = 0; axis < rank_; ++axis) shape.push_back(axis <= resized_[i] ? axes_[axis].out : axes_[axis].in);
      most = std::max(most, checked_count(shape));
    }
    return most;
  }

  void lay_out(Carve& carve) {
    int64_t widest = 1;  // taps
    for (int i = 0; i < count_; ++i) {
      const Axis& a = axes_[resized_[i]];
      Table<T>& t = tables_[i];
      t.taps = tap_count(s_, a), t.in = a.in, t.out = a.out;
      widest = std::max(widest, t.taps);
      t.index = carve.take<int32_t>(t.taps * t.out);
      t.weights = carve.take<T>(t.taps * t.out);
      t.outside = carve.take<bool>(t.out);
      exacts_[i] = carve.take<double>(t.taps * t.out);
    }
    for (int i = 0; i < 2; ++i) buffers_[i] = count_ > 2 + i ? carve.take<T>(largest_pass()) : nullptr;
    const bool converts = c_.in(0).dtype != type_of<T>;
    int64_t first_row = 1;  // only the first pass meets another type
    for (int i = resized_[0] + 1; i < rank_; ++i) first_row *= axes_[i].in;
    for (int i = 0; i < std::min(c_.threads(), max_threads); ++i) {
      PerThread& p = threads_[i];
      p.loaded = converts ? carve.take<T>(tables_[0].taps * first_row) : nullptr;
      p.row = carve.take<T>(row_length());
      p.line = converts ? carve.take<T>(line_length()) : nullptr;
      p.rows = carve.take<const T*>(widest);
      p.weights = carve.take<T>(widest);
    }
  }

  void fill_table(int i) {
    Table<T>& t = tables_[i];
    fill(s_, axes_[resized_[i]], t.taps, const_cast<int32_t*>(t.index), exacts_[i], const_cast<bool*>(t.outside));
    for (int64_t k = 0; k < t.taps * t.out; ++k) const_cast<T*>(t.weights)[k] = static_cast<T>(exacts_[i][k]);
  }

  // One output row along axis i: the taps' rows of `length`, mixed into `to`.
  void mix(int i, const void* from, DType dtype, int64_t slice, int64_t o, int64_t length, PerThread& p, T* to) const {
    const Table<T>& t = tables_[i];
    if (t.outside[o]) return static_cast<void>(std::fill_n(to, length, static_cast<T>(s_.extrapolation)));
    for (int64_t k = 0; k < t.taps; ++k) {
      const int64_t at = (slice * t.in + t.index[k * t.out + o]) * length;
      p.weights[k] = t.weights[k * t.out + o];
      if (dtype == type_of<T>) {
        p.rows[k] = static_cast<const T*>(from) + at;
      } else {
        load(dtype, from, at, length, type_of<T>, p.loaded + k * length);
        p.rows[k] = p.loaded + k * length;
      }
    }
    mix_rows(p.rows, p.weights, t.taps, to, length);
  }

  // A whole axis at once, for the third from last resized axis and those before it.
  void pass(int i, const void* from, DType dtype, const Shape& shape, T* to) {
    const Table<T>& t = tables_[i];
    const int64_t length = shape.count(resized_[i] + 1, rank_), rows = shape.count(0, resized_[i]) * t.out;
    c_.parallel_ranges(rows, grain(length * t.taps), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) mix(i, from, dtype, r / t.out, r % t.out, length, threads_[RunContext::worker()], to + r * length);
    });
  }

  void finish(const void* from, DType dtype, const Shape& shape) {
    const Table<T>& t = tables_[count_ - 1];
    const int last = resized_[count_ - 1], before = count_ > 1 ? resized_[count_ - 2] : -1;
    const int64_t inner = shape.count(last + 1, rank_), length = row_length(), line = line_length();
    const int64_t slices = length > 0 ? length / (t.in * inner) : 0;
    const int64_t outs = before >= 0 ? tables_[count_ - 2].out : 1, rows = shape.count(0, before >= 0 ? before : last) * outs;
    View& y = c_.out(0);
    c_.parallel_ranges(rows, grain(line * t.taps), [&](int64_t begin, int64_t end) {
      PerThread& p = threads_[RunContext::worker()];
      for (int64_t r = begin; r < end; ++r) {
        const T* row = p.row;
        if (before >= 0) mix(count_ - 2, from, dtype, r / outs, r % outs, length, p, p.row);
        else if (dtype == type_of<T>) row = static_cast<const T*>(from) + r * length;
        else load(dtype, from, r * length, length, type_of<T>, p.row);
        T* to = y.dtype == type_of<T> ? y.as<T>() + r * line : p.line;
        if (before >= 0 && tables_[count_ - 2].outside[r % outs]) std::fill_n(to, line, static_cast<T>(s_.extrapolation));
        else
          for (int64_t m = 0; m < slices; ++m) last_axis(row + m * t.in * inner, inner, to + m * t.out * inner);
        if (y.dtype != type_of<T>) put(p.line, line, y, r * line);
      }
    });
  }

  void last_axis(const T* x, int64_t inner, T* y) const {
    const Table<T>& t = tables_[count_ - 1];
    mix_columns(x, t, inner, y);
    if (s_.coordinates != Coordinates::tf_crop_and_resize) return;
    for (int64_t o = 0; o < t.out; ++o)
      if (t.outside[o]) std::fill_n(y + o * inner, inner, static_cast<T>(s_.extrapolation));
  }

  static void put(T* values, int64_t n, View& y, int64_t at) {
    if (const DType kind = compute_type(y.dtype); kind == DType::i64 || kind == DType::u64) {
      const int width = kind == DType::i64 ? bits(y.dtype) - 1 : bits(y.dtype);
      const double limit = std::ldexp(1.0, width), high = width <= 32 ? limit - 1 : std::nextafter(limit, 0);
      const T least = static_cast<T>(kind == DType::i64 ? -limit : 0), most = static_cast<T>(high);
      for (int64_t i = 0; i < n; ++i) values[i] = std::clamp(std::nearbyint(values[i]), least, most);
    }
    store(type_of<T>, values, n, y.dtype, y.data, at);
  }

  static int64_t grain(int64_t work) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, work)); }

  static constexpr int max_threads = 256;
  RunContext& c_;
  const Sampling& s_;
  const Axis* axes_;
  const int rank_;
  int count_ = 0, resized_[Shape::max_rank];
  Table<T> tables_[Shape::max_rank];
  double* exacts_[Shape::max_rank];
  T* buffers_[2];
  PerThread threads_[max_threads];
};

}  // namespace

void run_filter(RunContext& c, const Sampling& sampling, const Axis* axes) {
  const DType dtype = c.in(0).dtype, kind = compute_type(dtype);
  const bool wide = kind == DType::f64 || (kind != DType::f32 && bits(dtype) >= 32);
  if (wide) Filter<double>(c, sampling, axes).run();
  else Filter<float>(c, sampling, axes).run();
}

}  // namespace outpost::resize
