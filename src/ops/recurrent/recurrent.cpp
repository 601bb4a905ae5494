// The shape rule, weight packing and the walk over time.
#include "ops/recurrent/recurrent.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/carve.h"
#include "tensor/convert.h"

namespace outpost::recurrent {
namespace {

using kernels::Gemm;

// Inputs by position. GRU and RNN end with the state.
enum Input { x_input, w_input, r_input, b_input, lengths_input, h_input, cell_input, peephole_input };

int64_t direction_count(const Attributes& a) { return a.string("direction", "forward") == "bidirectional" ? 2 : 1; }

struct Extents {
  int64_t steps, batch, input, hidden, gates, directions, chunk;
  int64_t width() const { return gates * hidden; }
};

// About 256 rows a chunk: enough for a full-speed product, few enough for the gates to stay in cache.
Extents extents(const Recurrent& def, const View& x) {
  Extents e{x.dim(def.batch_first ? 1 : 0), x.dim(def.batch_first ? 0 : 1), x.dim(2), def.hidden, def.gates, def.directions, 0};
  e.chunk = std::max<int64_t>(1, std::min(e.steps, 256 / std::max<int64_t>(1, e.batch)));
  return e;
}

Gemm input_product(const Extents& e, DType dtype, DType weights) {
  Gemm g;
  g.m = e.chunk * e.batch, g.n = e.width(), g.k = e.input;
  g.a_row_stride = e.input;
  g.b_row_stride = 1, g.b_column_stride = e.input;
  g.c_row_stride = e.width();
  g.a_type = float_type(dtype), g.b_type = float_type(weights);
  g.c_type = dtype == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  return g;
}

Gemm state_product(const Extents& e, int64_t rows, DType weights) {
  Gemm g;
  g.m = e.batch, g.n = rows, g.k = e.hidden;
  g.a_row_stride = e.hidden;
  g.b_row_stride = 1, g.b_column_stride = e.hidden;
  g.c_row_stride = e.width();
  g.b_type = float_type(weights);
  g.a_type = g.c_type = weights == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  return g;
}

// Everything one direction needs.
template <class T>
struct Walk {
  void* x;      // (chunk, batch, input) in X's type, when batch comes first
  T *gates, *extra, *h, *cell, *bias, *recurrent_bias, *peephole;
  void *w, *r[most_parts];  // packed here when not constant
};

template <class T>
Walk<T> lay_out(Carve& carve, const Recurrent& def, const Extents& e, DType dtype) {
  Walk<T> walk;
  walk.x = def.batch_first && e.batch > 1 ? carve.take_bytes(bytes_for(dtype, e.chunk * e.batch * e.input)) : nullptr;
  walk.gates = carve.take<T>(e.chunk * e.batch * e.width());
  walk.extra = carve.take<T>(e.batch * e.width());
  walk.h = carve.take<T>(e.batch * e.hidden);
  walk.cell = carve.take<T>(e.batch * e.hidden);
  walk.bias = carve.take<T>(e.width());
  walk.recurrent_bias = carve.take<T>(e.width());
  walk.peephole = carve.take<T>(3 * e.hidden);
  const auto& k = kernels::kernels();
  walk.w = def.packed_w.empty() ? carve.take_bytes(k.gemm_pack_b_bytes(input_product(e, dtype, dtype))) : nullptr;
  for (size_t p = 0; p < def.parts.size(); ++p)
    walk.r[p] = def.packed_r.empty() ? carve.take_bytes(k.gemm_pack_b_bytes(state_product(e, def.parts[p], dtype))) : nullptr;
  return walk;
}

size_t product_scratch(const Recurrent& def, const Extents& e, DType dtype, int threads) {
  static const char packed = 0;  // the products run on packed weights
  Gemm g = input_product(e, dtype, dtype);
  g.packed_b = &packed;
  size_t bytes = multiply_scratch_bytes(g, threads);
  g.m = e.batch;  // the last chunk is shorter
  bytes = std::max(bytes, multiply_scratch_bytes(g, threads));
  for (int64_t part : def.parts) {
    g = state_product(e, part, dtype);
    g.packed_b = &packed;
    bytes = std::max(bytes, multiply_scratch_bytes(g, threads));
  }
  return bytes;
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

// Elements [first, first + n) of a view as T; zeros when it is absent.
template <class T>
void read(const View* v, int64_t first, int64_t n, T* to) {
  if (!v) std::fill_n(to, n, T(0));
  else load(v->dtype, v->data, first, n, type_of<T>, to);
}

const View* optional(const RunContext& c, int i) { return c.has(i) ? &c.in(i) : nullptr; }

template <class T>
class Direction {
 public:
  Direction(RunContext& c, const Recurrent& def, const Extents& e, int64_t d, const Walk<T>& walk, void* products)
      : c_(c), def_(def), e_(e), d_(d), walk_(walk), products_(products), dtype_(c.in(x_input).dtype),
        lengths_(c.has(lengths_input) ? c.in(lengths_input).as<int32_t>() : nullptr), backwards_(def.reverse || d == 1) {}

  void run(void (*step)(const Step<T>&), bool (*early_bias)(const Recurrent&, int)) {
    start(early_bias);
    const int64_t chunks = (e_.steps + e_.chunk - 1) / e_.chunk;
    for (int64_t i = 0; i < chunks; ++i) {
      c_.check_interrupt();
      const int64_t first = (backwards_ ? chunks - 1 - i : i) * e_.chunk, count = std::min(e_.chunk, e_.steps - first);
      multiply_input(first, count);
      for (int64_t s = 0; s < count; ++s) {
        const int64_t local = backwards_ ? count - 1 - s : s;
        step({c_, def_, &def_.squashes[static_cast<size_t>(d_ * def_.squash_count)], e_.batch, e_.hidden, lengths_, first + local,
              walk_.gates + local * e_.batch * e_.width(), walk_.h, walk_.cell, walk_.extra, c_.has(peephole_input) ? walk_.peephole : nullptr,
              c_.has(b_input) ? walk_.recurrent_bias : nullptr, state_products_, products_});
        write_step(first + local);
      }
    }
    write_state(1, walk_.h);
    if (def_.gates == 4) write_state(2, walk_.cell);
  }

 private:
  int64_t state_row(int64_t b) const { return def_.batch_first ? b * e_.directions + d_ : d_ * e_.batch + b; }

  void start(bool (*early_bias)(const Recurrent&, int)) {
    const auto& k = kernels::kernels();
    for (int64_t b = 0; b < e_.batch; ++b) {
      read(optional(c_, h_input), state_row(b) * e_.hidden, e_.hidden, walk_.h + b * e_.hidden);
      if (def_.gates == 4) read(optional(c_, cell_input), state_row(b) * e_.hidden, e_.hidden, walk_.cell + b * e_.hidden);
    }
    read(optional(c_, b_input), d_ * 2 * e_.width(), e_.width(), walk_.bias);
    read(optional(c_, b_input), (d_ * 2 + 1) * e_.width(), e_.width(), walk_.recurrent_bias);
    for (int gate = 0; gate < def_.gates; ++gate)
      if (early_bias(def_, gate))
        for (int64_t i = gate * e_.hidden; i < (gate + 1) * e_.hidden; ++i) walk_.bias[i] += walk_.recurrent_bias[i];
    if (c_.has(peephole_input)) read(&c_.in(peephole_input), d_ * 3 * e_.hidden, 3 * e_.hidden, walk_.peephole);

    const View &w = c_.in(w_input), &r = c_.in(r_input);
    const auto at = [](const View& v, int64_t element) {  // null when only the packed form is left
      return v.data ? static_cast<const std::byte*>(v.data) + bytes_for(v.dtype, element) : nullptr;
    };
    input_product_ = input_product(e_, dtype_, w.dtype);
    input_product_.epilogue.column_bias = walk_.bias;
    input_product_.b = at(w, d_ * e_.width() * e_.input);
    if (walk_.w) k.gemm_pack_b(input_product_, walk_.w);
    input_product_.packed_b = walk_.w ? walk_.w : def_.packed_w[static_cast<size_t>(d_)].get();
    int64_t row = d_ * e_.width();
    for (size_t p = 0; p < def_.parts.size(); ++p) {
      Gemm& g = state_products_[p] = state_product(e_, def_.parts[p], r.dtype);
      g.b = at(r, row * e_.hidden);
      if (walk_.r[p]) k.gemm_pack_b(g, walk_.r[p]);
      g.packed_b = walk_.r[p] ? walk_.r[p] : def_.packed_r[static_cast<size_t>(d_) * def_.parts.size() + p].get();
      row += def_.parts[p];
    }
  }

  void multiply_input(int64_t first, int64_t count) {
    const View& x = c_.in(x_input);
    const size_t row_bytes = bytes_for(dtype_, e_.input);
    const auto* from = static_cast<const std::byte*>(x.data);
    if (walk_.x) {
      for (int64_t t = 0; t < count; ++t)
        for (int64_t b = 0; b < e_.batch; ++b)
          std::memcpy(static_cast<std::byte*>(walk_.x) + static_cast<size_t>(t * e_.batch + b) * row_bytes,
                      from + static_cast<size_t>(b * e_.steps + first + t) * row_bytes, row_bytes);
      input_product_.a = walk_.x;
    } else {
      input_product_.a = from + static_cast<size_t>(first * e_.batch) * row_bytes;
    }
    input_product_.m = count * e_.batch;
    input_product_.c = walk_.gates;
    multiply(c_, input_product_, products_);
  }

  void write_step(int64_t t) {
    if (!c_.wants(0)) return;
    View& y = c_.out(0);
    for (int64_t b = 0; b < e_.batch; ++b) {
      const int64_t at = (def_.batch_first ? (b * e_.steps + t) * e_.directions + d_ : (t * e_.directions + d_) * e_.batch + b) * e_.hidden;
      if (lengths_ && t >= lengths_[b]) std::memset(static_cast<std::byte*>(y.data) + bytes_for(y.dtype, at), 0, bytes_for(y.dtype, e_.hidden));
      else store(type_of<T>, walk_.h + b * e_.hidden, e_.hidden, y.dtype, y.data, at);
    }
  }

  void write_state(int output, const T* state) {
    if (!c_.wants(output)) return;
    View& y = c_.out(output);
    for (int64_t b = 0; b < e_.batch; ++b) store(type_of<T>, state + b * e_.hidden, e_.hidden, y.dtype, y.data, state_row(b) * e_.hidden);
  }

  RunContext& c_;
  const Recurrent& def_;
  const Extents& e_;
  const int64_t d_;
  const Walk<T>& walk_;
  void* products_;
  const DType dtype_;
  const int32_t* lengths_;
  const bool backwards_;
  Gemm input_product_, state_products_[most_parts];
};

}  // namespace

std::shared_ptr<Recurrent> prepare(const PrepareContext& c, int gates, std::initializer_list<Squash::Kind> squashes) {
  auto def = std::make_shared<Recurrent>();
  const Attributes& a = c.attributes();
  def->gates = gates;
  def->squash_count = static_cast<int>(squashes.size());
  def->directions = direction_count(a);
  def->reverse = a.string("direction", "forward") == "reverse";
  def->batch_first = a.integer("layout", 0) != 0;
  def->clip = a.real("clip", 0);
  def->input_forget = a.integer("input_forget", 0) != 0;
  def->linear_before_reset = a.integer("linear_before_reset", 0) != 0;
  def->squashes = parse_squashes(c.node, squashes, static_cast<int>(def->directions));
  const Type& r = c.node.input(r_input)->type;
  def->hidden = a.integer("hidden_size", r.ranked && r.rank() == 3 && r.dims[2].known() ? r.dims[2].size : 0);
  if (def->hidden <= 0) fail(ErrorCode::unsupported, c.node.label(), ": hidden_size is not given and R's shape is not known");
  return def;
}

void pack_weights(const PrepareContext& c, Recurrent& def) {
  const Tensor *w = c.constant(w_input), *r = c.constant(r_input);
  for (int64_t d = 0; d < def.directions; ++d) {
    Extents e{1, 1, 0, def.hidden, def.gates, def.directions, 1};
    if (w) {
      e.input = w->shape()[2];
      Gemm g = input_product(e, w->dtype(), w->dtype());
      if (w->raw()) g.b = static_cast<const std::byte*>(w->raw()) + bytes_for(w->dtype(), d * e.width() * e.input);
      def.packed_w.push_back(pack_right(c, text("w", d), g));
    }
    int64_t row = d * e.width();
    for (int64_t part : def.parts) {
      if (!r) break;
      Gemm g = state_product(e, part, r->dtype());
      if (r->raw()) g.b = static_cast<const std::byte*>(r->raw()) + bytes_for(r->dtype(), row * e.hidden);
      def.packed_r.push_back(pack_right(c, text("r", def.packed_r.size()), g));
      row += part;
    }
  }
  c.consumed(w_input);
  c.consumed(r_input);
}

void set_parts(Recurrent& def, std::initializer_list<int> groups) {
  constexpr int64_t l1_bytes = 32 << 10, panel = 32;
  const bool cut = def.hidden % panel == 0 && def.hidden * def.hidden * 4 > l1_bytes;
  for (int gates : groups)
    for (int i = 0; i < (cut ? gates : 1); ++i) def.parts.push_back((cut ? 1 : gates) * def.hidden);
  def.cut = cut;
}

bool usual_cell(const Recurrent& def, const Squash* s) {
  bool usual = s[0].kind == Squash::Kind::sigmoid && s[1].kind == Squash::Kind::tanh;
  if (def.squash_count == 3) usual = usual && s[2].kind == Squash::Kind::tanh;
  return usual && !(def.clip > 0) && !def.input_forget;
}

template <class T>
void Step<T>::product(int gate, int gates, const T* a, T* out, const T* residual, int64_t stride) const {
  const auto one = [&](int part, int64_t offset) {
    Gemm g = right[part];
    g.a = a;
    g.c = out + offset;
    g.c_row_stride = stride;
    g.epilogue.residual = residual ? residual + offset : nullptr;
    g.epilogue.residual_row_stride = stride;
    multiply(context, g, gemm_scratch);
  };
  if (!def.cut) return one(gate == 0 ? 0 : 1, 0);
  const auto at = [&](int64_t i) {
    const int64_t j = time % 2 ? gates - 1 - i : i;
    one(gate + static_cast<int>(j), j * hidden);
  };
  // One row leaves a product nothing to divide but its gates.
  constexpr double worth = 256e3;
  if (batch < 8 && 2.0 * double(batch * gates * hidden) * double(hidden) > worth) return context.parallel(gates, at);
  for (int i = 0; i < gates; ++i) at(i);
}

template <class T>
void Step<T>::rows(FunctionRef<void(int64_t, int64_t)> body) const {
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, hidden));
  for (int64_t first = 0; first < batch;) {
    if (lengths && time >= lengths[first]) {
      ++first;
      continue;
    }
    int64_t last = first + 1;
    while (last < batch && (!lengths || time < lengths[last])) ++last;
    context.parallel_ranges(last - first, grain, [&](int64_t a, int64_t b) { body(first + a, first + b); });
    first = last;
  }
}

template <class T>
void Step<T>::clip(T* x, int64_t n) const {
  if (!(def.clip > 0)) return;
  const T limit = static_cast<T>(def.clip);
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

template struct Step<float>;
template struct Step<double>;

template <class T>
void run(RunContext& c, void (*step)(const Step<T>&), bool (*early_bias)(const Recurrent&, int)) {
  const auto& def = c.prepared<Recurrent>();
  const Extents e = extents(def, c.in(x_input));
  if (c.has(lengths_input))
    for (int64_t b = 0; b < e.batch; ++b) {
      const int32_t length = c.in(lengths_input).as<int32_t>()[b];
      c.require(length >= 0 && length <= e.steps, "sequence_lens[", b, "] is ", length, "; expected 0..", e.steps);
    }
  Carve carve(c.scratch());
  void* products = carve.take_bytes(product_scratch(def, e, c.in(x_input).dtype, c.threads()));
  const Walk<T> walks[2] = {lay_out<T>(carve, def, e, c.in(x_input).dtype),
                            e.directions == 2 ? lay_out<T>(carve, def, e, c.in(x_input).dtype) : Walk<T>{}};
  auto walk = [&](int64_t d) { Direction<T>(c, def, e, d, walks[d], products).run(step, early_bias); };
  // Two directions are two threads' work, unless one step alone is enough for all of them.
  if (e.directions == 2 && e.batch * e.width() * e.hidden < 1 << 20) c.parallel(2, walk);
  else
    for (int64_t d = 0; d < e.directions; ++d) walk(d);
}
template void run<float>(RunContext&, void (*)(const Step<float>&), bool (*)(const Recurrent&, int));
template void run<double>(RunContext&, void (*)(const Step<double>&), bool (*)(const Recurrent&, int));

size_t scratch(const ScratchContext& c) {
  const auto& def = *static_cast<const Recurrent*>(c.prepared);
  const DType dtype = c.in(x_input).dtype;
  const Extents e = extents(def, c.in(x_input));
  Carve carve;
  carve.take_bytes(product_scratch(def, e, dtype, c.threads));
  for (int64_t d = 0; d < e.directions; ++d) {
    if (dtype == DType::f64) lay_out<double>(carve, def, e, dtype);
    else lay_out<float>(carve, def, e, dtype);
  }
  return carve.bytes();
}

void infer(InferContext& c, int gates, int max_inputs) {
  c.require_inputs(3, max_inputs);
  c.require_dtype(x_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i : {w_input, r_input, b_input, h_input, cell_input, peephole_input}) c.require_same_dtype(x_input, i);
  c.require_dtype(lengths_input, {DType::i32});
  const auto direction = c.attributes().string("direction", "forward");
  c.require(direction == "forward" || direction == "reverse" || direction == "bidirectional", "direction is '", direction,
            "'; expected forward, reverse or bidirectional");
  const int64_t layout = c.attributes().integer("layout", 0);
  c.require(layout == 0 || layout == 1, "layout is ", layout, "; expected 0 or 1");
  const int64_t directions = direction_count(c.attributes());
  const std::initializer_list<Squash::Kind> any3{{}, {}, {}}, any2{{}, {}}, any1{{}};
  parse_squashes(c.node(), gates == 4 ? any3 : gates == 3 ? any2 : any1, static_cast<int>(directions));

  Dim steps, batch, input, hidden;
  auto check = [&](int i, const char* what, const Dims& expected) {
    if (!c.has(i) || !c.ranked(i)) return;
    c.require(c.rank(i) == static_cast<int>(expected.size()), what, " has rank ", c.rank(i), "; expected ", static_cast<int>(expected.size()));
    int axis = 0;
    for (Dim e : expected) {
      Dim d = c.dims(i)[static_cast<size_t>(axis)];
      c.require(!d.known() || !e.known() || d.size == e.size, what, " has ", d.size, " on axis ", axis, "; expected ", e.size);
      ++axis;
    }
  };
  check(x_input, "X", {{}, {}, {}});
  if (c.ranked(x_input)) {
    steps = c.dims(x_input)[layout ? 1 : 0];
    batch = c.dims(x_input)[layout ? 0 : 1];
    input = c.dims(x_input)[2];
  }
  check(r_input, "R", {{}, {}, {}});
  if (c.attributes().has("hidden_size")) hidden = c.attributes().integer("hidden_size", 0);
  else if (c.ranked(r_input)) hidden = c.dims(r_input)[2];
  c.require(!hidden.known() || (hidden.size > 0 && hidden.size < 1 << 28), "hidden_size is ", hidden.size, "; expected a positive number");
  const Dim width = Dim(gates) * hidden, d(directions);
  check(w_input, "W", {d, width, input});
  check(r_input, "R", {d, width, hidden});
  check(b_input, "B", {d, Dim(2) * width});
  check(lengths_input, "sequence_lens", {batch});
  const Dims state = layout ? Dims{batch, d, hidden} : Dims{d, batch, hidden};
  check(h_input, "initial_h", state);
  check(cell_input, "initial_c", state);
  check(peephole_input, "P", {d, Dim(3) * hidden});

  const DType dtype = c.dtype(x_input);
  c.output(0, dtype, layout ? Dims{batch, steps, d, hidden} : Dims{steps, d, batch, hidden});
  for (int i = 1; i < c.outputs(); ++i) c.output(i, dtype, state);
}

Cost cost(const CostContext& c, int gates) {
  const Type &x = *c.in(x_input), &w = *c.in(w_input), &r = *c.in(r_input);
  const double rows = x.is_static() && x.dims[2].size > 0 ? c.count(x) / double(x.dims[2].size) : 0;
  return {2 * rows * (c.count(w) + c.count(r)), 4 * (c.count(x) + c.count(w) + c.count(r) + (c.out(0) ? c.count(*c.out(0)) : 0))};
}

// Opset 1 asked whether Y is wanted; now that is whether the output is named.
void upgrade(UpgradeContext& c) { c.node.attributes.erase("output_sequence"); }

}  // namespace outpost::recurrent
