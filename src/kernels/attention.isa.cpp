// Attention by blocks of keys with a running maximum and sum (Milakov & Gimelshein 2018; Dao et al. 2022,
// "FlashAttention"): scores of a few query rows with key_block keys stay in L1, and are weights by the time they meet
// the values.
//
// A tile packs each block of keys and values once and passes all its rows over it; few rows (decoding) read them in
// place instead, so that memory is the bound. Where one query a head shares keys with others, the heads of a group are
// the rows. Two products of 128 x 128 x 64 (a head of BERT) run at about 80 % of the multiply-add peak, the softmax
// included.
#include "kernels/attention_parts.h"
#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

constexpr int64_t direct_rows = 4;   // up to here packing does not pay
constexpr int64_t tile_rows = 192;   // above, sums would leave L2
constexpr int64_t tile_count = 8;    // wanted of a small problem, as far as tiles keep
constexpr int64_t least_rows = 48;   // these many rows, which repay the packing

// How the work is cut, and scratch laid out; from sizes alone.
struct Cut {
  int64_t heads, queries, group;  // folded: heads that share keys are the rows
  int64_t rows, blocks, sum_stride, key_count;
  bool folded, direct;
  int64_t q_count, s_count, o_count, k_count, v_count;

  explicit Cut(const Attention& a) {
    group = a.kv_heads > 0 ? a.heads / a.kv_heads : 1;
    folded = a.queries == 1 && group > 1;
    heads = folded ? a.kv_heads : a.heads;
    queries = folded ? group : a.queries;
    rows = least(queries, tile_rows);
    const int64_t planes = most(1, a.batch * heads);
    if (planes < tile_count && rows > least_rows) {
      const int64_t parts = least((tile_count + planes - 1) / planes, (queries + least_rows - 1) / least_rows);
      rows = least(rows, whole_steps((queries + parts - 1) / parts, block_rows));
    }
    rows = most(rows, 1);
    blocks = (queries + rows - 1) / rows;
    direct = queries <= direct_rows;
    key_count = least(most(a.keys, 1), key_block);
    sum_stride = whole_steps(most(a.value_size, 1), panel) + (direct ? 4 * lanes : 0);
    const int64_t whole_rows = whole_steps(rows, block_rows);
    const int64_t size = whole_steps(most(a.head_size, 1), lanes);
    q_count = direct ? direct_rows * size : whole_steps(size, size_block) / size_block * block_rows * query_stride;
    s_count = most(block_rows, direct_rows) * score_stride;
    o_count = whole_rows * sum_stride;
    k_count = direct ? 0 : whole_steps(key_count, panel) * most(a.head_size, 1);
    v_count = direct ? 0 : key_count * sum_stride;
  }
  int64_t state_count() const { return 2 * (whole_steps(rows, block_rows) + lanes); }
  size_t bytes() const { return size_t(q_count + s_count + o_count + k_count + v_count + state_count()) * 4 + 64; }
};

// e^x for x <= 0 or NaN. One multiplier suffices: its error, 2^-26 |x|, is weighed by e^x. Below 2^-126: 0.
inline F32 exp_weight(F32 x) {
  const F32 scaled = x * 0x1.715476p+0f;
  const F32 shifted = scaled + 0x1.8p23f;
  const F32 whole = shifted - 0x1.8p23f;
  const F32 f = x * 0x1.715476p+0f - whole;  // 2^f on [-1/2, 1/2]: relative error 2^-28.9 before rounding
  F32 p = f * 0x1.41fbbcp-13f + 0x1.5f3e52p-10f;
  p = p * f + 0x1.3b2d4cp-7f;
  p = p * f + 0x1.c6aee8p-5f;
  p = p * f + 0x1.ebfbdcp-3f;
  p = p * f + 0x1.62e430p-1f;
  p = p * f + 1.0f;
  const F32 y = p * as_float((as_int(shifted) << 23) + 0x3f800000);
  return select(scaled < -126.0f, F32{}, y);
}

// What is added to scores j .. j + n of a line of the mask; -infinity: not seen.
inline F32 bias_vector(const AttentionBias& m, int64_t at, int64_t n) {
  if (m.kind == AttentionBias::boolean) {
    const uint8_t* p = static_cast<const uint8_t*>(m.data) + at;
    if (m.column == 0) return broadcast(*p ? 0.0f : -infinity);
    typedef uint8_t Bytes __attribute__((vector_size(lanes)));
    Bytes bytes = {};
    if (n >= lanes) __builtin_memcpy(&bytes, p, sizeof bytes);
    else
      for (int i = 0; i < n; ++i) bytes[i] = p[i];
    return select(__builtin_convertvector(bytes, I32) != 0, F32{}, broadcast(-infinity));
  }
  const FloatType type = m.kind == AttentionBias::f16 ? FloatType::f16 : m.kind == AttentionBias::bf16 ? FloatType::bf16
                                                                                                       : FloatType::f32;
  F32 y;
  with_rows({m.data, type}, at, [&](auto row) {
    y = m.column == 0 ? broadcast(row.part(1)[0]) : up_to(row, n);
  });
  return y;
}

template <class Combine>
inline F32 fold(F32* v, Combine combine) {  // lane r: over the lanes of v[r]
  transpose_square(v);
  F32 y = v[0];
  for (int i = 1; i < lanes; ++i) y = combine(y, v[i]);
  return y;
}

class Tile {
 public:
  Tile(const Attention& a, const Cut& cut, float* memory, int64_t index) : a_(a), cut_(cut) {
    q_ = memory, s_ = q_ + cut.q_count, o_ = s_ + cut.s_count, k_ = o_ + cut.o_count, v_ = k_ + cut.k_count;
    peak_ = v_ + cut.v_count, total_ = peak_ + cut.state_count() / 2;
    first_row_ = index % cut.blocks * cut.rows;
    head_ = index / cut.blocks % cut.heads;
    batch_ = index / cut.blocks / cut.heads;
    rows_ = least(cut.rows, cut.queries - first_row_);
    kv_head_ = cut.folded ? head_ : head_ / cut.group;
    first_head_ = cut.folded ? head_ * cut.group : head_;
    offset_ = a.offsets ? a.offsets[batch_] : a.offset;
    valid_ = a.valid_keys ? most(0, least(a.valid_keys[batch_], a.keys)) : a.keys;
    for (const AttentionBias& m : a.bias)
      if (m.kind != AttentionBias::none) valid_ = least(valid_, most(0, m.columns));
  }

  void run() {
    for (int64_t r = 0; r < rows_; ++r) {
      peak_[r] = a_.sinks ? a_.sinks[cut_.folded ? first_head_ + first_row_ + r : head_] : a_.zero_sink ? 0 : -infinity;
      total_[r] = a_.sinks || a_.zero_sink ? 1 : 0;
    }
    fresh_ = true;
    // Keys that no row may see are not even read.
    const Range keys = seen(0, rows_);
    for (int64_t at = keys.begin; at < keys.end; at += key_block, fresh_ = false)
      add_block(at, least(key_block, keys.end - at));
    finish();
  }

 private:
  struct Range {
    int64_t begin, end;
  };
  int64_t position(int64_t row) const { return offset_ + (cut_.folded ? 0 : first_row_ + row); }

  // Keys that some of the rows [first, last) may see.
  Range seen(int64_t first, int64_t last) const {
    Range keys{0, valid_};
    if (a_.left >= 0) keys.begin = most(0, least(position(first) - a_.left, a_.keys));
    if (a_.right >= 0) keys.end = most(0, least(position(last - 1) + a_.right + 1, valid_));
    return keys;
  }

  // Where row r of the tile lies in a side of which heads and rows are `head` and `row` apart.
  int64_t row_offset(int64_t batch, int64_t head, int64_t row, int64_t r) const {
    const int64_t line = first_row_ + r;
    return batch_ * batch + (cut_.folded ? (first_head_ + line) * head : first_head_ * head + line * row);
  }

  void add_block(int64_t first, int64_t count) {
    if (!cut_.direct) {
      with_rows(a_.k, batch_ * a_.k.batch + kv_head_ * a_.k.head + first * a_.k.row,
                [&](auto rows) { pack_keys(rows, a_.k.row, count, a_.head_size, k_); });
      with_rows(a_.v, batch_ * a_.v.batch + kv_head_ * a_.v.head + first * a_.v.row,
                [&](auto rows) { pack_values(rows, a_.v.row, count, a_.value_size, v_); });
      packed_keys_ = count;
    }
    const int64_t step = cut_.direct ? rows_ : block_rows;
    for (int64_t r = 0; r < rows_; r += step) {
      const int rows = int(least(step, rows_ - r));
      const Range keys = seen(r, r + rows);
      const int64_t used = least(count, keys.end - first);
      if (used <= 0 || keys.begin >= first + count) {
        if (fresh_) clear(r, rows);
        continue;
      }
      copy_queries(r, rows);
      if (cut_.direct) few_rows(rows, first, used);
      else block_of_rows(r, rows, first, used);
    }
  }

  void clear(int64_t r, int64_t rows) {
    for (int64_t i = 0; i < rows * cut_.sum_stride; ++i) o_[r * cut_.sum_stride + i] = 0;
  }

  // Scaled queries; a direct row lies in one piece, others in pieces of size_block columns.
  void copy_queries(int64_t r, int rows) {
    const int64_t size = whole_steps(most(a_.head_size, 1), lanes);
    for (int i = 0; i < rows; ++i)
      with_rows(a_.q, row_offset(a_.q.batch, a_.q.head, a_.q.row, r + i), [&](auto row) {
        for (int64_t c = 0; c < a_.head_size; c += lanes) {
          float* to = cut_.direct ? q_ + i * size + c
                                  : q_ + (c / size_block * block_rows + i) * query_stride + c % size_block;
          store(to, up_to(row.at(c), a_.head_size - c) * a_.scale);
        }
      });
  }

  void block_of_rows(int64_t r, int rows, int64_t first, int64_t count) {
    const RowKernels run = kernels_for(rows);
    for (int64_t key = 0; key < count; key += panel)
      for (int64_t c = 0; c < a_.head_size || c == 0; c += size_block)
        run.scores[count - key > lanes](q_ + c / size_block * block_rows * query_stride,
                                        k_ + key * a_.head_size + c * panel, least(size_block, a_.head_size - c),
                                        s_ + key, c > 0);
    float shrink[block_rows + lanes];
    soften(r, rows, first, count, shrink);
    for (int64_t c = 0; c < a_.value_size; c += panel)
      run.values[a_.value_size - c > lanes](s_, v_ + c * packed_keys_, count, o_ + r * cut_.sum_stride + c,
                                            cut_.sum_stride, fresh_ ? nullptr : shrink);
  }

  template <int rows>
  void few_rows(int64_t first, int64_t count) {
    with_rows(a_.k, batch_ * a_.k.batch + kv_head_ * a_.k.head + first * a_.k.row, [&](auto keys) {
      row_scores<rows>(q_, whole_steps(most(a_.head_size, 1), lanes), keys, a_.k.row, count, a_.head_size, s_);
    });
    float shrink[block_rows + lanes];
    soften(0, rows, first, count, shrink);
    with_rows(a_.v, batch_ * a_.v.batch + kv_head_ * a_.v.head + first * a_.v.row, [&](auto values) {
      row_values<rows>(s_, values, a_.v.row, count, a_.value_size, o_, cut_.sum_stride, fresh_ ? nullptr : shrink);
    });
  }
  void few_rows(int rows, int64_t first, int64_t count) {
    if (rows == 1) few_rows<1>(first, count);
    else if (rows == 2) few_rows<2>(first, count);
    else if (rows == 3) few_rows<3>(first, count);
    else few_rows<4>(first, count);
  }

  // Scores to weights relative to the running peaks; shrink[i] brings row i's earlier sums to the new peak.
  void soften(int64_t r, int rows, int64_t first, int64_t count, float* shrink) {
    F32 lines[lanes];
    for (int i = 0; i < lanes; ++i) lines[i] = i < rows ? line_peak(r, i, first, count) : broadcast(-infinity);
    const F32 before = load_part(peak_ + r, rows);
    // NaN is never the larger: it reaches the sum, and with it the whole row, through the weights.
    const F32 now = max_second(fold(lines, [](F32 a, F32 b) { return max_second(a, b); }), before);
    const F32 origin = select(now == -infinity, F32{}, now);
    const F32 factor = exp_weight(before - origin);
    float origins[lanes];
    store(origins, origin);
    for (int i = 0; i < lanes; ++i) lines[i] = i < rows ? line_weights(i, count, origins[i]) : F32{};
    const F32 sum = fold(lines, [](F32 a, F32 b) { return a + b; });
    store_part(total_ + r, load_part(total_ + r, rows) * factor + sum, rows);
    store_part(peak_ + r, now, rows);
    store(shrink, factor);
  }

  // Caps and masks one line of scores; returns its largest, lane by lane.
  F32 line_peak(int64_t r, int i, int64_t first, int64_t count) const {
    float* s = s_ + i * score_stride;
    if (a_.softcap > 0) {
      const float inverse = 1 / a_.softcap;
      for (int64_t j = 0; j < count; j += lanes) store(s + j, tanh(load(s + j) * inverse) * a_.softcap);
    }
    for (const AttentionBias& m : a_.bias) {
      if (m.kind == AttentionBias::none) continue;
      const int64_t at = row_offset(m.batch, m.head, m.row, r + i) + first * m.column;
      for (int64_t j = 0; j < count; j += lanes) {
        const F32 bias = bias_vector(m, at + j * m.column, count - j);
        store(s + j, select(bias == -infinity, bias, load(s + j) + bias));
      }
    }
    const Range keys = seen(r + i, r + i + 1);
    const int64_t end = most(0, least(keys.end - first, count)), whole = whole_steps(count, lanes);
    for (int64_t j = 0; j < keys.begin - first && j < whole; ++j) s[j] = -infinity;
    for (int64_t j = end; j < whole; ++j) s[j] = -infinity;
    F32 a = broadcast(-infinity), b = a;
    int64_t j = 0;
    for (; j + 2 * lanes <= whole; j += 2 * lanes) {
      a = max_second(load(s + j), a);
      b = max_second(load(s + j + lanes), b);
    }
    if (j < whole) a = max_second(load(s + j), a);
    return max_second(a, b);
  }

  F32 line_weights(int i, int64_t count, float origin) const {
    float* s = s_ + i * score_stride;
    const int64_t whole = whole_steps(count, lanes);
    F32 a = {}, b = {};
    int64_t j = 0;
    for (; j + 2 * lanes <= whole; j += 2 * lanes) {
      const F32 x = exp_weight(load(s + j) - origin), y = exp_weight(load(s + j + lanes) - origin);
      store(s + j, x), store(s + j + lanes, y);
      a += x, b += y;
    }
    if (j < whole) {
      const F32 x = exp_weight(load(s + j) - origin);
      store(s + j, x);
      a += x;
    }
    return a + b;
  }

  void finish() {
    if (fresh_) clear(0, rows_);
    for (int64_t r = 0; r < rows_; ++r) {
      const float* sums = o_ + r * cut_.sum_stride;
      const float inverse = total_[r] == 0 ? 0 : 1 / total_[r];
      const int64_t to = row_offset(a_.y.batch, a_.y.head, a_.y.row, r);
      for (int64_t c = 0; c < a_.value_size; c += lanes) write(to + c, load(sums + c) * inverse, a_.value_size - c);
    }
  }

  void write(int64_t at, F32 x, int64_t n) const {
    if (a_.y.type == FloatType::f32) {
      float* y = static_cast<float*>(const_cast<void*>(a_.y.data)) + at;
      if (n >= lanes) store(y, x);
      else store_part(y, x, n);
      return;
    }
    uint16_t* y = static_cast<uint16_t*>(const_cast<void*>(a_.y.data)) + at;
    const Half h = a_.y.type == FloatType::f16 ? to_f16(x) : to_bf16(x);
    if (n >= lanes) store_half(y, h);
    else store_half_part(y, h, n);
  }

  const Attention& a_;
  const Cut& cut_;
  float *q_, *s_, *o_, *k_, *v_, *peak_, *total_;
  int64_t batch_, head_, kv_head_, first_head_, first_row_, rows_, offset_, valid_;
  int64_t packed_keys_ = 0;  // rows of a panel of values
  bool fresh_ = true;
};

int64_t tiles(const Attention& a) {
  const Cut cut(a);
  return a.batch * cut.heads * cut.blocks;
}

size_t scratch_bytes(const Attention& a) { return Cut(a).bytes(); }

void attention(const Attention& a, int64_t begin, int64_t end, void* scratch) {
  const Cut cut(a);
  for (int64_t i = begin; i < end; ++i) Tile(a, cut, static_cast<float*>(scratch), i).run();
}

}  // namespace

void OUTPOST_ISA::fill_attention(Kernels& table) {
  table.attention_tiles = tiles;
  table.attention_scratch_bytes = scratch_bytes;
  table.attention = attention;
}

}  // namespace outpost::kernels
