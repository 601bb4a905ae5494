// One tile: a block of queries of one head against all keys it may see, block by block. In f64, and where the scores
// are wanted too; all else is the kernel's (attend_kernel.h).
#include "ops/attention/attend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernels.h"
#include "ops/attention/attend_kernel.h"
#include "ops/carve.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using kernels::Gemm;
using kernels::Unary;

constexpr double infinity = std::numeric_limits<double>::infinity();

// How the work is cut; from sizes alone.
struct Cut {
  int64_t heads, queries, group;   // one query a head: the heads that share keys become rows of one product
  int64_t q_row, q_head, rows, columns, blocks;
  bool folded;
  explicit Cut(const Attend& a) {
    group = a.kv_heads > 0 ? a.heads / a.kv_heads : 1;
    folded = a.queries == 1 && group > 1;
    heads = folded ? a.kv_heads : a.heads;
    queries = folded ? group : a.queries;
    q_row = folded ? a.q.head : a.q.row;
    q_head = folded ? a.q.head * group : a.q.head;
    rows = std::min<int64_t>(queries, 64);
    columns = std::min<int64_t>(a.keys, rows >= 16 ? 512 : 2048);
    if (a.scores) {  // whole rows are wanted
      columns = a.keys;
      if (columns > 4096) rows = std::min<int64_t>(rows, 16);
    }
    blocks = rows > 0 ? (queries + rows - 1) / rows : 0;
  }
};

Gemm score_product(const Attend& a, const Cut& cut) {
  Gemm g;
  g.m = cut.rows, g.n = cut.columns, g.k = a.head_size;
  g.a_row_stride = cut.q_row;
  g.b_row_stride = 1, g.b_column_stride = a.k.row;
  g.c_row_stride = cut.columns;
  g.a_type = float_type(a.q.dtype), g.b_type = float_type(a.k.dtype);
  g.c_type = a.q.dtype == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  g.alpha = a.scale;
  return g;
}

Gemm value_product(const Attend& a, const Cut& cut) {
  Gemm g;
  g.m = cut.rows, g.n = a.value_size, g.k = cut.columns;
  g.a_row_stride = cut.columns;
  g.b_row_stride = a.v.row;
  g.c_row_stride = a.value_size;
  g.a_type = g.c_type = a.q.dtype == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  g.b_type = float_type(a.v.dtype);
  return g;
}

template <class T>
struct Room {
  T *scores, *sums, *line;  // (rows, columns), (rows, value_size), one line of mask
  T *peak, *total;          // per row: running maximum and sum
  bool* open;               // per row: some key is not masked out
  void* product;
};

template <class T>
Room<T> lay_out(Carve& carve, const Attend& a, const Cut& cut) {
  const auto& k = kernels::kernels();
  Room<T> room;
  room.scores = carve.take<T>(cut.rows * cut.columns);
  room.sums = carve.take<T>(cut.rows * a.value_size);
  room.line = carve.take<T>(cut.columns);
  room.peak = carve.take<T>(cut.rows);
  room.total = carve.take<T>(cut.rows);
  room.open = carve.take<bool>(cut.rows);
  Gemm s = score_product(a, cut), v = value_product(a, cut);
  size_t bytes = std::max(k.gemm_scratch_bytes(s), k.gemm_scratch_bytes(v));
  s.m = v.m = 1;  // the last blocks are smaller, and may be cut otherwise
  bytes = std::max({bytes, k.gemm_scratch_bytes(s), k.gemm_scratch_bytes(v)});
  room.product = carve.take_bytes(bytes);
  return room;
}

float largest(const float* x, int64_t n) {
  float y;
  kernels::kernels().reduce_rows[int(kernels::Reduce::max)](x, 1, n, n, &y);
  return y;
}
double largest(const double* x, int64_t n) {
  double y = -infinity;
  for (int64_t i = 0; i < n; ++i) y = x[i] > y || x[i] != x[i] ? x[i] : y;
  return y;
}

// x = exp(x - peak); returns the sum.
float exp_minus(float* x, int64_t n, float peak) {
  const auto& k = kernels::kernels();
  float y;
  k.multiply_add(x, 1, -peak, x, n);
  k.unary[int(Unary::exp)](x, x, n, 0, 0);
  k.reduce_rows[int(kernels::Reduce::sum)](x, 1, n, n, &y);
  return y;
}
double exp_minus(double* x, int64_t n, double peak) {
  double y = 0;
  for (int64_t i = 0; i < n; ++i) y += x[i] = std::exp(x[i] - peak);
  return y;
}

void scale(float* x, int64_t n, float by) { kernels::kernels().multiply_add(x, by, 0, x, n); }
void scale(double* x, int64_t n, double by) {
  for (int64_t i = 0; i < n; ++i) x[i] *= by;
}

void cap(float* x, int64_t n, double limit) {
  const auto& k = kernels::kernels();
  scale(x, n, static_cast<float>(1 / limit));
  k.unary[int(Unary::tanh)](x, x, n, 0, 0);
  scale(x, n, static_cast<float>(limit));
}
void cap(double* x, int64_t n, double limit) {
  for (int64_t i = 0; i < n; ++i) x[i] = limit * std::tanh(x[i] / limit);
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

const std::byte* element(const void* data, DType dtype, int64_t index) {
  return static_cast<const std::byte*>(data) + bytes_for(dtype, index);
}

template <class T>
class Tile {
 public:
  Tile(const Attend& a, const Cut& cut, const Room<T>& room, int64_t index) : a_(a), cut_(cut), room_(room) {
    const int64_t block = index % cut.blocks;
    head_ = index / cut.blocks % cut.heads;
    batch_ = index / cut.blocks / cut.heads;
    first_row_ = block * cut.rows;
    rows_ = std::min(cut.rows, cut.queries - first_row_);
    offset_ = a.offsets ? a.offsets[batch_] : a.offset;
    valid_ = a.valid_keys ? std::clamp<int64_t>(a.valid_keys[batch_], 0, a.keys) : a.keys;
  }

  void run() {
    start();
    // Keys that no row may see are not even multiplied, unless their scores are asked for.
    int64_t first = 0, last = valid_;
    if (a_.left >= 0) first = std::clamp<int64_t>(position(0) - a_.left, 0, a_.keys);
    if (a_.right >= 0) last = std::clamp<int64_t>(position(rows_ - 1) + a_.right + 1, 0, valid_);
    if (a_.scores) first = 0, last = a_.keys;
    for (int64_t at = first; at < last; at += cut_.columns) add_block(at, std::min(cut_.columns, last - at));
    finish();
  }

 private:
  int64_t position(int64_t row) const { return offset_ + (cut_.folded ? 0 : first_row_ + row); }
  int64_t head_of(int64_t row) const { return cut_.folded ? head_ * cut_.group + first_row_ + row : head_; }
  int64_t query_of(int64_t row) const { return cut_.folded ? 0 : first_row_ + row; }
  T* scores(int64_t row) const { return room_.scores + row * cut_.columns; }

  void start() {
    for (int64_t r = 0; r < rows_; ++r) {
      const bool sink = a_.sinks || a_.zero_sink;
      room_.peak[r] = a_.sinks ? static_cast<T>(a_.sinks[head_of(r)]) : a_.zero_sink ? T(0) : static_cast<T>(-infinity);
      room_.total[r] = sink ? 1 : 0;
      room_.open[r] = false;
    }
    std::fill_n(room_.sums, rows_ * a_.value_size, T(0));
  }

  void add_block(int64_t first, int64_t count) {
    const int64_t kv_head = cut_.folded ? head_ : head_ / cut_.group;
    Gemm g = score_product(a_, cut_);
    g.m = rows_, g.n = count;
    g.a = element(a_.q.data, a_.q.dtype, batch_ * a_.q.batch + head_ * cut_.q_head + first_row_ * cut_.q_row);
    g.b = element(a_.k.data, a_.k.dtype, batch_ * a_.k.batch + kv_head * a_.k.head + first * a_.k.row);
    g.c = room_.scores;
    multiply(g);
    if (a_.scores && (a_.scores_mode == 0 || (a_.scores_mode == 1 && !(a_.softcap > 0)))) write_scores();
    if (a_.softcap > 0) {
      for (int64_t r = 0; r < rows_; ++r) cap(scores(r), count, a_.softcap);
      if (a_.scores && a_.scores_mode == 1) write_scores();
    }
    for (int64_t r = 0; r < rows_; ++r) mask_row(r, first, count);
    if (a_.scores && a_.scores_mode == 2) write_scores();
    for (int64_t r = 0; r < rows_; ++r) soften_row(r, count);
    g = value_product(a_, cut_);
    g.m = rows_, g.k = count;
    g.a = room_.scores;
    g.b = element(a_.v.data, a_.v.dtype, batch_ * a_.v.batch + kv_head * a_.v.head + first * a_.v.row);
    g.c = room_.sums;
    g.epilogue.residual = room_.sums;
    g.epilogue.residual_row_stride = a_.value_size;
    multiply(g);
  }

  void multiply(const Gemm& g) const {
    const auto& k = kernels::kernels();
    k.gemm(g, 0, k.gemm_tiles(g), room_.product);
  }

  // Keys [first, first + count): out of the window or padding, then the masks; notes whether any key stays.
  void mask_row(int64_t r, int64_t first, int64_t count) {
    T* s = scores(r);
    const T out = static_cast<T>(-infinity);
    int64_t low = 0, high = std::clamp<int64_t>(valid_ - first, 0, count);
    if (a_.left >= 0) low = std::clamp<int64_t>(position(r) - a_.left - first, 0, count);
    if (a_.right >= 0) high = std::min(high, std::clamp<int64_t>(position(r) + a_.right + 1 - first, 0, count));
    bool plain = true;
    for (const AttentionMask& m : a_.masks) {
      if (!m.data) continue;
      high = std::min(high, std::clamp<int64_t>(m.columns - first, 0, count));
      plain = false;
    }
    low = std::min(low, high);
    std::fill(s, s + low, out);
    std::fill(s + high, s + count, out);
    if (plain) {
      room_.open[r] = room_.open[r] || high > low;
      return;
    }
    add_masks(r, first, low, high);
  }

  void add_masks(int64_t r, int64_t first, int64_t low, int64_t high) {
    T* s = scores(r);
    bool open = false;
    const AttentionMask *one = nullptr, *two = nullptr;
    for (const AttentionMask& m : a_.masks)
      if (m.data) (one ? two : one) = &m;
    const int64_t n = high - low;
    if (n <= 0) return;
    const T* line = mask_line(*one, r, first + low, n, room_.line);
    for (int64_t j = 0; j < n; ++j) {
      open |= line[j] != static_cast<T>(-infinity);
      s[low + j] = line[j] == static_cast<T>(-infinity) && one->dtype == DType::boolean ? line[j] : s[low + j] + line[j];
    }
    if (two) {
      line = mask_line(*two, r, first + low, n, room_.line);
      open = false;
      for (int64_t j = 0; j < n; ++j) {
        s[low + j] += line[j];
        open |= s[low + j] != static_cast<T>(-infinity);
      }
    }
    room_.open[r] = room_.open[r] || open;
  }

  // n values of a mask as additive T: in place when they already are.
  const T* mask_line(const AttentionMask& m, int64_t r, int64_t key, int64_t n, T* line) const {
    const int64_t at = batch_ * m.batch + head_of(r) * m.head + query_of(r) * m.row + key * m.column;
    if (m.dtype == DType::boolean) {
      const auto* b = static_cast<const uint8_t*>(m.data) + at;
      for (int64_t j = 0; j < n; ++j) line[j] = b[j * m.column] ? T(0) : static_cast<T>(-infinity);
      return line;
    }
    if (m.column == 1 && m.dtype == type_of<T>) return static_cast<const T*>(m.data) + at;
    if (m.column == 1) {
      load(m.dtype, m.data, at, n, type_of<T>, line);
    } else {
      load(m.dtype, m.data, at, 1, type_of<T>, line);
      std::fill(line + 1, line + n, line[0]);
    }
    return line;
  }

  // Scores to weights relative to the running peak; earlier sums are brought to the new peak.
  void soften_row(int64_t r, int64_t count) {
    T *s = scores(r), *sums = room_.sums + r * a_.value_size;
    const T peak = largest(s, count), before = room_.peak[r];
    const T now = before > peak ? before : peak;  // NaN wins
    if (now == static_cast<T>(-infinity)) return std::fill_n(s, count, T(0)), void();
    if (before != now && before != static_cast<T>(-infinity)) {
      const T shrink = std::exp(before - now);
      room_.total[r] *= shrink;
      scale(sums, a_.value_size, shrink);
    } else if (before != now) {
      room_.total[r] = 0;
    }
    room_.total[r] += exp_minus(s, count, now);
    room_.peak[r] = now;
  }

  void finish() {
    const T one = 1;
    for (int64_t r = 0; r < rows_; ++r) {
      T* sums = room_.sums + r * a_.value_size;
      const T inverse = room_.total[r] == 0 ? T(0) : one / room_.total[r];
      if (room_.open[r]) scale(sums, a_.value_size, inverse);
      else std::fill_n(sums, a_.value_size, T(0));
      store(type_of<T>, sums, a_.value_size, a_.y.dtype, const_cast<void*>(a_.y.data),
            batch_ * a_.y.batch + head_of(r) * a_.y.head + query_of(r) * a_.y.row);
      if (a_.scores && a_.scores_mode == 3) {
        if (room_.open[r]) scale(scores(r), a_.keys, inverse);
        else std::fill_n(scores(r), a_.keys, T(0));
      }
    }
    if (a_.scores && a_.scores_mode == 3 && a_.keys > 0) write_scores();
  }

  void write_scores() const {
    for (int64_t r = 0; r < rows_; ++r)
      store(type_of<T>, scores(r), a_.keys, a_.scores_dtype, a_.scores,
            ((batch_ * a_.heads + head_of(r)) * a_.queries + query_of(r)) * a_.keys);
  }

  const Attend& a_;
  const Cut& cut_;
  const Room<T>& room_;
  int64_t batch_, head_, first_row_, rows_, offset_, valid_;
};

template <class T>
size_t room_bytes(const Attend& a, const Cut& cut) {
  Carve carve;
  lay_out<T>(carve, a, cut);
  return carve.bytes();
}

template <class T>
void attend_as(const RunContext& c, const Attend& a, void* scratch) {
  const Cut cut(a);
  const size_t bytes = room_bytes<T>(a, cut);
  auto tile = [&](int64_t index) {
    Carve carve(static_cast<std::byte*>(scratch) + bytes * static_cast<size_t>(RunContext::worker()));
    const Room<T> room = lay_out<T>(carve, a, cut);
    Tile<T>(a, cut, room, index).run();
  };
  const int64_t tiles = a.batch * cut.heads * cut.blocks;
  const double flops = 2.0 * double(a.batch * a.heads) * double(a.queries) * double(a.keys) * double(a.head_size + a.value_size);
  if (flops >= 200e3) return c.parallel(tiles, tile);
  for (int64_t i = 0; i < tiles; ++i) tile(i);
}

}  // namespace

size_t attend_scratch_bytes(const Attend& a, int threads) {
  const Cut cut(a);
  // A mask of a rare type is seen at run time only.
  const size_t plain = (a.q.dtype == DType::f64 ? room_bytes<double>(a, cut) : room_bytes<float>(a, cut)) * static_cast<size_t>(threads);
  const std::optional<kernels::Attention> kernel = kernel_form(a);
  return kernel ? std::max(plain, kernel_scratch_bytes(*kernel, threads)) : plain;
}

AttentionMask broadcast_mask(const View& m, int64_t keys) {
  AttentionMask mask{m.data, m.dtype, 0, 0, 0, 1, 0};
  int64_t stride = 1, *strides[] = {&mask.column, &mask.row, &mask.head, &mask.batch};
  for (int i = 0; i < m.rank() && i < 4; ++i) {
    const int64_t dim = m.dim(m.rank() - 1 - i);
    *strides[i] = dim == 1 ? 0 : stride;
    stride *= dim;
  }
  mask.column = m.rank() > 0 ? 1 : 0;
  mask.columns = m.rank() > 0 ? m.dim(m.rank() - 1) : keys;
  return mask;
}

void attend(const RunContext& c, const Attend& a, void* scratch) {
  if (const std::optional<kernels::Attention> kernel = kernel_form(a)) return attend(c, *kernel, scratch);
  if (a.q.dtype == DType::f64) attend_as<double>(c, a, scratch);
  else attend_as<float>(c, a, scratch);
}

}  // namespace outpost
