// The passes of a reduction, per compute type. f32 goes to the kernels; f64 and integers to plain loops.
#include "ops/reduction.h"

#include <algorithm>
#include <cstring>

#include "ops/staging.h"

namespace outpost {
namespace {

using kernels::kernels;
using Op = kernels::Reduce;
enum class Step : uint8_t { sum, sum_absolute, sum_square, prod, max, min, log_sum_exp };

constexpr int64_t block = 1024;     // elements of one staged run
constexpr int64_t grain = 1 << 14;  // elements one thread takes at least

Step first_step(Reduction r) {
  switch (r) {
    case Reduction::l1: return Step::sum_absolute;
    case Reduction::l2:
    case Reduction::sum_square: return Step::sum_square;
    case Reduction::prod: return Step::prod;
    case Reduction::max: return Step::max;
    case Reduction::min: return Step::min;
    case Reduction::log_sum_exp: return Step::log_sum_exp;
    default: return Step::sum;
  }
}

// How partial results combine.
Step later_step(Step s) { return s == Step::sum_absolute || s == Step::sum_square ? Step::sum : s; }

// ---- f32: one step over a panel

Op kernel_op(Step s) {
  switch (s) {
    case Step::sum_absolute: return Op::sum_absolute;
    case Step::sum_square: return Op::sum_square;
    case Step::prod: return Op::prod;
    case Step::max: return Op::max;
    case Step::min: return Op::min;
    default: return Op::sum;
  }
}

// log(sum(exp(x))) = m + log(sum(exp(x - m))) with m the largest; m stays out where it is not finite.
float safe_shift(float m) { return std::isfinite(m) ? m : 0; }

void log_sum_exp_rows(const float* x, int64_t rows, int64_t columns, float* y) {
  const kernels::Kernels& k = kernels::kernels();
  float buffer[block];
  for (int64_t i = 0; i < rows; ++i, x += columns) {
    float m;
    k.reduce_rows[int(Op::max)](x, 1, columns, columns, &m);
    m = safe_shift(m);
    float total = 0;
    for (int64_t j = 0; j < columns; j += block) {
      const int64_t n = std::min(block, columns - j);
      float part;
      k.binary[int(kernels::Binary::subtract)](x + j, 1, &m, 0, buffer, n);
      k.unary[int(kernels::Unary::exp)](buffer, buffer, n, 0, 0);
      k.reduce_rows[int(Op::sum)](buffer, 1, n, n, &part);
      total += part;
    }
    y[i] = m + std::log(total);
  }
}

// At most `block` columns.
void log_sum_exp_columns(const float* x, int64_t rows, int64_t columns, int64_t stride, float* y) {
  const kernels::Kernels& k = kernels::kernels();
  float m[block], total[block] = {}, buffer[block];
  k.reduce_columns[int(Op::max)](x, rows, columns, stride, m);
  for (int64_t j = 0; j < columns; ++j) m[j] = safe_shift(m[j]);
  for (int64_t i = 0; i < rows; ++i) {
    k.binary[int(kernels::Binary::subtract)](x + i * stride, 1, m, 1, buffer, columns);
    k.unary[int(kernels::Unary::exp)](buffer, buffer, columns, 0, 0);
    k.binary[int(kernels::Binary::add)](total, 1, buffer, 1, total, columns);
  }
  for (int64_t j = 0; j < columns; ++j) y[j] = m[j] + std::log(total[j]);
}

void reduce_rows(Step s, const float* x, int64_t rows, int64_t columns, float* y) {
  if (s == Step::log_sum_exp) log_sum_exp_rows(x, rows, columns, y);
  else kernels::kernels().reduce_rows[int(kernel_op(s))](x, rows, columns, columns, y);
}

void reduce_columns(Step s, const float* x, int64_t rows, int64_t columns, int64_t stride, float* y) {
  if (s == Step::log_sum_exp) log_sum_exp_columns(x, rows, columns, stride, y);
  else kernels::kernels().reduce_columns[int(kernel_op(s))](x, rows, columns, stride, y);
}

// ---- f64 and integers: columns, of which rows are the case of one

template <class T>
T sum_of(T a, T b) {
  if constexpr (std::is_same_v<T, int64_t>) return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else return a + b;
}
template <class T>
T product_of(T a, T b) {
  if constexpr (std::is_same_v<T, int64_t>) return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else return a * b;
}
template <class T>
T absolute(T v) {
  if constexpr (std::is_unsigned_v<T>) return v;
  else if constexpr (std::is_same_v<T, int64_t>) return v < 0 ? static_cast<T>(-static_cast<uint64_t>(v)) : v;
  else return std::fabs(v);
}

// f(accumulated, x); NaN wins in max and min.
template <class T, class F>
void with_step(Step s, F&& f) {
  switch (s) {
    case Step::sum_absolute: return f([](T a, T v) { return sum_of(a, absolute(v)); });
    case Step::sum_square: return f([](T a, T v) { return sum_of(a, product_of(v, v)); });
    case Step::prod: return f([](T a, T v) { return product_of(a, v); });
    case Step::max: return f([](T a, T v) { return v > a || v != v ? v : a; });
    case Step::min: return f([](T a, T v) { return v < a || v != v ? v : a; });
    default: return f([](T a, T v) { return sum_of(a, v); });
  }
}

template <class T>
T neutral(Step s) {
  using Limits = std::numeric_limits<T>;
  if (s == Step::prod) return 1;
  if (s == Step::max) return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  if (s == Step::min) return Limits::has_infinity ? Limits::infinity() : Limits::max();
  return 0;
}

template <class T>
void reduce_columns(Step s, const T* x, int64_t rows, int64_t columns, int64_t stride, T* y) {
  if (s == Step::log_sum_exp) {
    if constexpr (std::is_same_v<T, double>) {
      for (int64_t j = 0; j < columns; ++j) {
        double m = -std::numeric_limits<double>::infinity(), total = 0;
        for (int64_t i = 0; i < rows; ++i) m = std::max(m, x[i * stride + j]);
        if (!std::isfinite(m)) m = 0;
        for (int64_t i = 0; i < rows; ++i) total += std::exp(x[i * stride + j] - m);
        y[j] = m + std::log(total);
      }
    }
    return;
  }
  std::fill(y, y + columns, neutral<T>(s));
  with_step<T>(s, [&](auto step) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) y[j] = step(y[j], x[i * stride + j]);
  });
}

template <class T>
void reduce_rows(Step s, const T* x, int64_t rows, int64_t columns, T* y) {
  for (int64_t i = 0; i < rows; ++i) reduce_columns<T>(s, x + i * columns, columns, 1, 1, y + i);
}

// ---- one pass (outer, length, inner) -> (outer, inner)

template <class T>
struct Pass {
  Step step;
  int64_t outer, length, inner;
  const View* source;  // the tensor, for a first pass over a narrow type; else null and x is read
  const T* x;
  T* y;
  T* stage;  // this thread's 3 * block elements

  // Rows of a narrow type, by blocks: partial results meet in pairs.
  void narrow_row(int64_t row) const {
    T pair[2];
    for (int64_t at = 0; at < length; at += block) {
      const int64_t n = std::min(block, length - at);
      read<T>(*source, row * length + at, n, stage);
      reduce_rows(step, stage, 1, n, pair + (at > 0));
      if (at > 0) reduce_columns(later_step(step), pair, 2, 1, 1, pair);
    }
    y[row] = pair[0];
  }

  // Columns [column, column + n) of one outer index; the first row passes through the step too.
  void narrow_columns(int64_t o, int64_t column, int64_t n) const {
    T* pair = stage + block;
    for (int64_t i = 0; i < length; ++i) {
      read<T>(*source, (o * length + i) * inner + column, n, stage);
      reduce_columns(step, stage, 1, n, n, pair + (i > 0 ? n : 0));
      if (i > 0) reduce_columns(later_step(step), pair, 2, n, n, stage), std::copy(stage, stage + n, pair);
    }
    std::copy(pair, pair + n, y + o * inner + column);
  }
};

template <class T>
void run_pass(const RunContext& c, Pass<T> pass, void* stages) {
  auto with_stage = [&] {
    Pass<T> mine = pass;
    mine.stage = static_cast<T*>(stages) + RunContext::worker() * 3 * block;
    return mine;
  };
  if (pass.inner == 1) {
    c.parallel_ranges(pass.outer, std::max<int64_t>(1, grain / pass.length), [&](int64_t begin, int64_t end) {
      const T* rows = pass.x + begin * pass.length;
      if (!pass.source) return reduce_rows(pass.step, rows, end - begin, pass.length, pass.y + begin);
      const Pass<T> mine = with_stage();
      for (int64_t row = begin; row < end; ++row) mine.narrow_row(row);
    });
    return;
  }
  const int64_t width = std::min(pass.inner, block), panels = (pass.inner + width - 1) / width;
  const int64_t each = std::max<int64_t>(1, grain / (pass.length * width));
  c.parallel_ranges(pass.outer * panels, each, [&](int64_t begin, int64_t end) {
    const Pass<T> mine = with_stage();
    for (int64_t t = begin; t < end; ++t) {
      const int64_t o = t / panels, column = t % panels * width, n = std::min(width, pass.inner - column);
      if (pass.source) mine.narrow_columns(o, column, n);
      else
        reduce_columns(pass.step, pass.x + o * pass.length * pass.inner + column, pass.length, n, pass.inner,
                       pass.y + o * pass.inner + column);
    }
  });
}

// ---- the groups

struct Groups {
  int count = 0;
  int64_t size[Shape::max_rank + 1];
  bool reduced[Shape::max_rank + 1];
  int64_t kept = 1, gone = 1;

  Groups(const Shape& x, AxisSet axes) {
    for (int i = 0; i < x.rank(); ++i) {
      const bool r = axes >> i & 1;
      (r ? gone : kept) *= x[i];
      if (x[i] == 1) continue;
      if (count > 0 && reduced[count - 1] == r) size[count - 1] *= x[i];
      else size[count] = x[i], reduced[count++] = r;
    }
    // A long whole-tensor sum is cut in rows, so that threads have something to take.
    if (count == 1 && reduced[0] && size[0] >= 1 << 17)
      for (int64_t rows = 64; rows > 1; rows /= 2)
        if (size[0] % rows == 0) {
          size[1] = size[0] / rows, size[0] = rows, reduced[1] = true, count = 2;
          break;
        }
  }
  int last_reduced() const {
    for (int i = count - 1; i >= 0; --i)
      if (reduced[i]) return i;
    return -1;
  }
  void remove(int at) {
    for (int i = at; i + 1 < count; ++i) size[i] = size[i + 1], reduced[i] = reduced[i + 1];
    --count;
  }
  int64_t product(int first, int last) const {
    int64_t p = 1;
    for (int i = first; i < last; ++i) p *= size[i];
    return p;
  }
};

template <class T>
void finish(Reduction r, T* y, int64_t n, int64_t reduced) {
  if (r == Reduction::mean) {
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (std::is_integral_v<T>) y[i] = reduced == 0 ? T{0} : static_cast<T>(y[i] / static_cast<T>(reduced));
      else y[i] /= static_cast<T>(reduced);
    }
  }
  if constexpr (!std::is_integral_v<T>) {
    if (r == Reduction::l2)
      for (int64_t i = 0; i < n; ++i) y[i] = std::sqrt(y[i]);
    if (r == Reduction::log_sum)
      for (int64_t i = 0; i < n; ++i) y[i] = std::log(y[i]);
  }
}

// What an empty set of values gives, in the storage type's own range.
template <class T>
T empty_value(Reduction r, DType storage) {
  if constexpr (!std::is_integral_v<T>) {
    if (r == Reduction::log_sum || r == Reduction::log_sum_exp) return -std::numeric_limits<T>::infinity();
    if (r == Reduction::mean) return std::numeric_limits<T>::quiet_NaN();
  }
  if (r == Reduction::prod) return 1;
  if (r != Reduction::max && r != Reduction::min) return 0;
  const bool low = r == Reduction::max;
  if constexpr (std::is_integral_v<T>) {
    if (storage == DType::boolean) return low ? 0 : 1;
    const int width = bits(storage);
    if constexpr (std::is_unsigned_v<T>) return low ? 0 : static_cast<T>(~uint64_t{0} >> (64 - width));
    else return low ? static_cast<T>(~uint64_t{0} << (width - 1)) : static_cast<T>(~uint64_t{0} >> (65 - width));
  } else {
    return low ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
  }
}

template <class T>
struct Memory {
  size_t half = 0, result = 0, stages = 0;  // two intermediates of half | a result | stages
  Memory(const Groups& g, bool direct, int threads) {
    const int last = g.last_reduced();
    const int64_t first_pass = last >= 0 && g.gone > 0 ? g.product(0, g.count) / g.size[last] : 0;
    half = slice_bytes(static_cast<size_t>(first_pass) * sizeof(T));
    if (!direct) result = slice_bytes(static_cast<size_t>(g.kept) * sizeof(T));
    if (!direct) stages = static_cast<size_t>(threads) * 3 * block * sizeof(T);
  }
};

template <class T>
void run_as(const RunContext& c, Reduction r, const View& x, AxisSet axes, const View& y, char* scratch) {
  Groups g(x.shape(), axes);
  if (g.kept == 0) return;
  const bool direct = x.dtype == dtype_of<T>();
  const Memory<T> memory(g, direct, c.threads());
  T* halves[2] = {reinterpret_cast<T*>(scratch), reinterpret_cast<T*>(scratch + memory.half)};
  T* result = direct ? y.as<T>() : reinterpret_cast<T*>(scratch + 2 * memory.half);
  void* stages = scratch + 2 * memory.half + memory.result;
  if (g.gone == 0) {
    std::fill(result, result + g.kept, empty_value<T>(r, x.dtype));
  } else {
    Step step = first_step(r);
    const T* from = direct ? x.as<const T>() : nullptr;
    for (int turn = 0;; ++turn) {
      const int at = g.last_reduced();
      Pass<T> pass{step, 1, 1, g.kept, from ? nullptr : &x, from, result, nullptr};
      if (at >= 0) {
        pass.outer = g.product(0, at), pass.length = g.size[at], pass.inner = g.product(at + 1, g.count);
        g.remove(at);
      }
      const bool last = g.last_reduced() < 0;
      if (!last) pass.y = halves[turn & 1];
      run_pass<T>(c, pass, stages);
      if (last) break;
      from = pass.y;
      step = later_step(step);
    }
    finish(r, result, g.kept, g.gone);
  }
  if (!direct) convert(dtype_of<T>(), result, y.dtype, y.data, g.kept);
}

}  // namespace

DType reduction_type(Reduction r, DType storage) noexcept {
  const DType t = compute_type(storage);
  const bool real = r == Reduction::l2 || r == Reduction::log_sum || r == Reduction::log_sum_exp;
  return real && t != DType::f32 ? DType::f64 : t;
}

size_t reduction_scratch_bytes(Reduction r, DType dtype, const Shape& x, AxisSet axes, int threads) {
  const Groups g(x, axes);
  if (g.kept == 0) return 0;
  const DType t = reduction_type(r, dtype);
  if (t == DType::f32) {
    const Memory<float> m(g, dtype == t, threads);
    return 2 * m.half + m.result + m.stages;
  }
  const Memory<double> m(g, dtype == t, threads);
  return 2 * m.half + m.result + m.stages;
}

void run_reduction(const RunContext& c, Reduction r, const View& x, AxisSet axes, const View& y, void* scratch) {
  char* memory = static_cast<char*>(scratch);
  switch (reduction_type(r, x.dtype)) {
    case DType::f32: return run_as<float>(c, r, x, axes, y, memory);
    case DType::f64: return run_as<double>(c, r, x, axes, y, memory);
    case DType::u64: return run_as<uint64_t>(c, r, x, axes, y, memory);
    default: return run_as<int64_t>(c, r, x, axes, y, memory);
  }
}

}  // namespace outpost
