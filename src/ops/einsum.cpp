// Einsum: any number of operands, contracted two at a time (the pair with the smallest result first) as batched matrix
// products on strided operands. A label's axis of size 1 broadcasts: it is dropped; a repeated label is a diagonal: its
// strides add up. Operands whose axes do not merge into (batch, rows, columns) are copied into that order.
// Narrow floats compute in f32, narrow integers in i32 (which wraps to the same bits). Source: ONNX Einsum-28.
#include <algorithm>
#include <bit>

#include "ops/carve.h"
#include "ops/einsum_equation.h"
#include "ops/product.h"
#include "ops/reduction.h"
#include "ops/staging.h"

namespace outpost {
namespace {

constexpr int most_operands = 64, most_axes = 32;
using LabelSet = uint64_t;

LabelSet bit(int label) { return LabelSet{1} << label; }

struct Prepared {
  Equation equation;
  std::vector<int> ranks;  // that `resolved` is for
  Equation resolved;
};

// ---- shape rule

Dim merged(const InferContext& c, int label, Dim a, Dim b) {
  if (a.known() && a.size == 1) return b;
  if (b.known() && b.size == 1) return a;
  const int shown = label < Equation::first_dotted ? label : Equation::dots;
  c.require(!a.known() || !b.known() || a.size == b.size, "label '", to_text({shown}), "' has sizes ", a.size, " and ",
            b.size);
  return a.known() ? a : b.known() ? b : a == b ? a : Dim();
}

void infer(InferContext& c) {
  for (int i = 0; i < c.inputs(); ++i) c.require_same_dtype(0, i);
  c.require(c.dtype(0) != DType::string && c.dtype(0) != DType::boolean, "input 0 is ", c.dtype(0),
            "; expected numbers");
  const Equation e = Equation::parse(c.node(), c.attributes().string("equation", ""));
  c.require(static_cast<int>(e.inputs.size()) == c.inputs(), "the equation has ", e.inputs.size(), " terms for ",
            c.inputs(), " inputs");
  c.require(c.inputs() <= most_operands, "has ", c.inputs(), " inputs; at most ", most_operands, " are supported");
  std::vector<int> ranks;
  for (int i = 0; i < c.inputs(); ++i) {
    if (!c.ranked(i)) return c.output(0, c.dtype(0));
    ranks.push_back(c.rank(i));
  }
  const Equation r = e.with_ranks(c.node(), ranks);
  Dim size[Equation::most_labels];
  LabelSet seen = 0;
  for (int i = 0; i < c.inputs(); ++i)
    for (size_t j = 0; j < r.inputs[static_cast<size_t>(i)].size(); ++j) {
      const int label = r.inputs[static_cast<size_t>(i)][j];
      size[label] = seen & bit(label) ? merged(c, label, size[label], c.dims(i)[j]) : c.dims(i)[j];
      seen |= bit(label);
    }
  Dims out;
  for (int label : r.output) out.push_back(size[label]);
  c.output(0, c.dtype(0), std::move(out));
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->equation = Equation::parse(c.node, c.attributes().string("equation", ""));
  for (const Value* v : c.node.inputs()) p->ranks.push_back(v->type.ranked ? v->type.rank() : -1);
  if (std::count(p->ranks.begin(), p->ranks.end(), -1) == 0) p->resolved = p->equation.with_ranks(c.node, p->ranks);
  return p;
}

// ---- contraction

// An operand: labels with their strides, in no particular order; axes of size 1 are left out.
struct Term {
  const void* data = nullptr;
  LabelSet labels = 0;
  int64_t stride[Equation::most_labels];  // of labels that are present
};

// An ordered list of labels.
struct Order {
  int count = 0;
  int8_t label[Equation::most_labels] = {};
  void add(int l) { label[count++] = static_cast<int8_t>(l); }
};

class Contraction {
 public:
  // `run` is null while memory is only measured.
  Contraction(const Equation& e, DType dtype, const RunContext* run, Carve& carve, int threads)
      : equation_(e), dtype_(dtype), run_(run), carve_(carve), threads_(threads) {}

  void add(const Shape& shape, const Equation::Labels& labels, const void* data) {
    Term& t = terms_[count_++];
    t.data = data;
    int64_t stride = 1;
    for (int i = shape.rank() - 1; i >= 0; stride *= shape[i], --i) {
      const int l = labels[static_cast<size_t>(i)];
      if (!(known_ & bit(l))) size_[l] = 1, known_ |= bit(l);
      if (shape[i] == 1) continue;
      size_[l] = shape[i];
      t.stride[l] = t.labels & bit(l) ? t.stride[l] + stride : stride;
      t.labels |= bit(l);
    }
  }

  // Writes the result, of the output's shape, to y.
  void finish(void* y) {
    LabelSet out = 0;
    Order order;
    for (int l : equation_.output)
      if (size_[l] != 1) out |= bit(l), order.add(l);
    while (count_ > 1) {
      auto [i, j] = cheapest_pair(out);
      LabelSet keep = out;
      for (int t = 0; t < count_; ++t)
        if (t != i && t != j) keep |= terms_[t].labels;
      void* target = count_ == 2 && y_order(terms_[i], terms_[j], keep, order) ? y : nullptr;
      const bool done = target != nullptr;
      terms_[i] = contract(terms_[i], terms_[j], keep, order, target);
      terms_[j] = terms_[--count_];
      if (done) return;
    }
    write_result(terms_[0], order, y);
  }

 private:
  int64_t volume(const Order& o) const {
    Shape s;
    for (int i = 0; i < o.count; ++i) s.push_back(size_[o.label[i]]);
    return checked_count(s);
  }

  std::pair<int, int> cheapest_pair(LabelSet out) const {
    if (count_ == 2 || count_ > 16) return {0, 1};
    std::pair<int, int> best{0, 1};
    double least = -1;
    for (int i = 0; i < count_; ++i)
      for (int j = i + 1; j < count_; ++j) {
        LabelSet keep = out;
        for (int t = 0; t < count_; ++t)
          if (t != i && t != j) keep |= terms_[t].labels;
        double n = 1;
        for (LabelSet s = (terms_[i].labels | terms_[j].labels) & keep; s; s &= s - 1)
          n *= static_cast<double>(size_[std::countr_zero(s)]);
        if (least < 0 || n < least) least = n, best = {i, j};
      }
    return best;
  }

  // Labels of `set`: those of `first` in its order, then the others by falling stride in t.
  Order ordered(LabelSet set, const Order& first, const Term& t) const {
    Order o;
    for (int i = 0; i < first.count; ++i)
      if (set & bit(first.label[i])) o.add(first.label[i]), set &= ~bit(first.label[i]);
    const int start = o.count;
    for (; set; set &= set - 1) o.add(std::countr_zero(set));
    std::stable_sort(o.label + start, o.label + o.count, [&](int a, int b) { return t.stride[a] > t.stride[b]; });
    return o;
  }

  // Do these axes of t merge into one? Then its stride.
  bool merges(const Term& t, const Order& o, int64_t& stride) const {
    stride = o.count > 0 ? t.stride[o.label[o.count - 1]] : 0;
    for (int i = 0; i + 1 < o.count; ++i)
      if (t.stride[o.label[i]] != t.stride[o.label[i + 1]] * size_[o.label[i + 1]]) return false;
    return true;
  }

  int bytes() const { return bits(dtype_) / 8; }

  // A contiguous copy with the axes of `parts`, in that order.
  Term copied(const Term& t, std::initializer_list<const Order*> parts, void* target = nullptr) {
    int64_t shape[Equation::most_labels], strides[Equation::most_labels];
    int rank = 0;
    Order all;
    for (const Order* part : parts)
      for (int i = 0; i < part->count; ++i) all.add(part->label[i]);
    for (int i = 0; i < all.count; ++i) {
      const int l = all.label[i];
      const bool joins = rank > 0 && strides[rank - 1] == t.stride[l] * size_[l];
      if (joins) shape[rank - 1] *= size_[l], strides[rank - 1] = t.stride[l];
      else shape[rank] = size_[l], strides[rank++] = t.stride[l];
    }
    if (rank > most_axes)
      fail(ErrorCode::unsupported, "Einsum: an operand with more than ", most_axes, " separate axes");
    const int64_t n = volume(all);
    void* memory = target ? target : carve_.take_bytes(static_cast<size_t>(n) * static_cast<size_t>(bytes()));
    if (run_ && n > 0) kernels::kernels().gather_strided(bytes(), rank, shape, strides, t.data, memory);
    return contiguous(memory, all);
  }

  Term contiguous(const void* data, const Order& o) const {
    Term t;
    t.data = data;
    int64_t stride = 1;
    for (int i = o.count - 1; i >= 0; stride *= size_[o.label[i]], --i) {
      t.labels |= bit(o.label[i]);
      t.stride[o.label[i]] = stride;
    }
    return t;
  }

  // t without the labels that are neither in `other` nor kept: their axes are summed.
  Term without(const Term& t, LabelSet needed) {
    const LabelSet gone = t.labels & ~needed;
    if (!gone) return t;
    const Order none, stay = ordered(t.labels & needed, none, t), leave = ordered(gone, none, t);
    const Term whole = copied(t, {&stay, &leave});
    const Shape shape{volume(stay), volume(leave)}, line{volume(stay)};
    void* sums = carve_.take_bytes(static_cast<size_t>(line[0]) * static_cast<size_t>(bytes()));
    void* scratch = carve_.take_bytes(reduction_scratch_bytes(Reduction::sum, dtype_, shape, 2, threads_));
    if (run_) {
      const View x{const_cast<void*>(whole.data), &shape, dtype_}, y{sums, &line, dtype_};
      run_reduction(*run_, Reduction::sum, x, 2, y, scratch);
    }
    return contiguous(sums, stay);
  }

  // Would (batch, m, n) of this contraction be the output as it is?
  bool y_order(const Term& a, const Term& b, LabelSet keep, const Order& out) const {
    Order all = ordered(a.labels & b.labels & keep, out, a);
    const Order m = ordered(a.labels & ~b.labels & keep, out, a), n = ordered(b.labels & ~a.labels & keep, out, b);
    for (const Order& part : {m, n})
      for (int i = 0; i < part.count; ++i) all.add(part.label[i]);
    return all.count == out.count && std::equal(all.label, all.label + all.count, out.label);
  }

  Term contract(const Term& a_in, const Term& b_in, LabelSet keep, const Order& out, void* y) {
    const Term a = without(a_in, keep | b_in.labels), b = without(b_in, keep | a_in.labels);
    const Order none;
    const Order batch = ordered(a.labels & b.labels & keep, out, a), m = ordered(a.labels & ~b.labels, out, a);
    const Order n = ordered(b.labels & ~a.labels, out, b), k = ordered(a.labels & b.labels & ~keep, none, a);
    Product p;
    p.dtype = dtype_;
    p.m = volume(m), p.n = volume(n), p.k = volume(k), p.batches = volume(batch);
    Term left = a, right = b;
    if (!merges(a, m, p.a_row) || !merges(a, k, p.a_column)) {
      left = copied(a, {&batch, &m, &k});
      merges(left, m, p.a_row), merges(left, k, p.a_column);
    }
    if (!merges(b, k, p.b_row) || !merges(b, n, p.b_column)) {
      right = copied(b, {&batch, &k, &n});
      merges(right, k, p.b_row), merges(right, n, p.b_column);
    }
    for (int i = 0; i < batch.count; ++i) {
      const int l = batch.label[i];
      p.batch[i] = size_[l], p.a_batch[i] = left.stride[l], p.b_batch[i] = right.stride[l];
    }
    p.batch_rank = batch.count;
    Order all = batch;
    for (int i = 0; i < m.count; ++i) all.add(m.label[i]);
    for (int i = 0; i < n.count; ++i) all.add(n.label[i]);
    if (!y) y = carve_.take_bytes(static_cast<size_t>(p.batches * p.m * p.n) * static_cast<size_t>(bytes()));
    void* scratch = carve_.take_bytes(product_scratch_bytes(p, threads_));
    p.a = left.data, p.b = right.data, p.y = y;
    if (run_) run_product(*run_, p, scratch);
    return contiguous(y, all);
  }

  void write_result(const Term& t, const Order& out, void* y) {
    LabelSet keep = 0;
    for (int i = 0; i < out.count; ++i) keep |= bit(out.label[i]);
    copied(without(t, keep), {&out}, y);
  }

  const Equation& equation_;
  const DType dtype_;
  const RunContext* run_;
  Carve& carve_;
  const int threads_;
  int count_ = 0;
  Term terms_[most_operands];
  int64_t size_[Equation::most_labels];
  LabelSet known_ = 0;
};

// ---- running

DType working_type(DType t) {
  switch (t) {
    case DType::f16:
    case DType::bf16: return DType::f32;
    case DType::u8:
    case DType::i8:
    case DType::u16:
    case DType::i16: return DType::i32;
    default: return t;
  }
}

// inputs: View by index. `y` is null while measuring.
template <class Input>
void contract_all(const Prepared& p, const Node& node, int inputs, Input&& input, const View& y, const RunContext* run,
                  Carve& carve, int threads) {
  std::vector<int> ranks;
  const Equation* e = &p.resolved;
  Equation resolved;
  if (p.resolved.inputs.empty()) {
    for (int i = 0; i < inputs; ++i) ranks.push_back(input(i).rank());
    resolved = p.equation.with_ranks(node, ranks);
    e = &resolved;
  }
  const DType working = working_type(y.dtype);
  Contraction contraction(*e, working, run, carve, threads);
  const auto element = static_cast<size_t>(bits(working) / 8);
  for (int i = 0; i < inputs; ++i) {
    const View& x = input(i);
    const void* data = x.data;
    if (working != x.dtype) {
      void* copy = carve.take_bytes(static_cast<size_t>(x.count()) * element);
      if (run) convert(x.dtype, x.data, working, copy, x.count());
      data = copy;
    }
    contraction.add(x.shape(), e->inputs[static_cast<size_t>(i)], data);
  }
  void* result = y.data;
  if (working != y.dtype) result = carve.take_bytes(static_cast<size_t>(y.count()) * element);
  // While measuring nothing is written, but the result must look placed.
  contraction.finish(run ? result : &carve);
  if (run && working != y.dtype) convert(working, result, y.dtype, y.data, y.count());
}

size_t scratch(const ScratchContext& c) {
  Carve carve;
  if (c.out(0).count() > 0)
    contract_all(*static_cast<const Prepared*>(c.prepared), c.node, static_cast<int>(c.inputs.size()),
                 [&](int i) -> const View& { return c.in(i); }, c.out(0), nullptr, carve, c.threads);
  return carve.bytes();
}

void run(RunContext& c) {
  if (c.out(0).count() == 0) return;
  Carve carve(c.scratch());
  auto input = [&](int i) -> const View& { return c.in(i); };
  contract_all(c.prepared<Prepared>(), c.node(), c.inputs(), input, c.out(0), &c, carve, c.threads());
}

// Every label's size once: an upper bound that is exact for two operands.
Cost cost(const CostContext& c) {
  double bytes = 0;
  for (const Type* t : c.inputs) bytes += c.count(*t);
  bytes = (bytes + c.count(*c.out(0))) * bits(c.out(0)->dtype) / 8;
  std::vector<int> ranks;
  for (const Type* t : c.inputs) {
    if (!t->is_static()) return {0, bytes};
    ranks.push_back(t->rank());
  }
  const Equation e = Equation::parse(c.node, c.node.attributes.string("equation", "")).with_ranks(c.node, ranks);
  double size[Equation::most_labels];
  std::fill(size, size + Equation::most_labels, 1.0);
  for (size_t i = 0; i < e.inputs.size(); ++i)
    for (size_t j = 0; j < e.inputs[i].size(); ++j) {
      double& s = size[e.inputs[i][j]];
      s = std::max(s, static_cast<double>(c.inputs[i]->dims[j].size));
    }
  double flops = 2;
  for (double s : size) flops *= s;
  return {flops, bytes};
}

// With all operands but one fixed the equation is linear: its adjoint puts dY in the operand's place, and labels that
// only the operand has are repeated.
void gradient(GradientContext& c) {
  if (!c.grad()) return;
  const Equation e = Equation::parse(c.node, c.attributes().string("equation", ""));
  for (size_t i = 0; i < e.inputs.size(); ++i) {
    if (!c.wants(static_cast<int>(i))) continue;
    const Equation::Labels& term = e.inputs[i];
    std::vector<Value*> inputs{c.grad()};
    std::string left = to_text(e.output);
    Equation::Labels available = e.output;
    for (size_t j = 0; j < e.inputs.size(); ++j) {
      if (j == i) continue;
      inputs.push_back(c.in(static_cast<int>(j)));
      left += "," + to_text(e.inputs[j]);
      available.insert(available.end(), e.inputs[j].begin(), e.inputs[j].end());
    }
    Equation::Labels found;
    std::vector<int64_t> missing;
    for (size_t a = 0; a < term.size(); ++a) {
      const bool repeated = std::count(term.begin(), term.end(), term[a]) > 1;
      const bool known = std::count(available.begin(), available.end(), term[a]) > 0;
      if (repeated || (!known && term[a] == Equation::dots))
        fail(ErrorCode::unsupported, c.node.label(), ": no gradient for a diagonal or a summed ellipsis");
      if (known) found.push_back(term[a]);
      else missing.push_back(static_cast<int64_t>(a));
    }
    Value* x = c.in(static_cast<int>(i));
    const bool dotted = std::count(term.begin(), term.end(), Equation::dots) > 0;
    if (!missing.empty() && dotted)
      fail(ErrorCode::unsupported, c.node.label(), ": no gradient for labels summed beside an ellipsis");
    Value* g = c.emit("Einsum", inputs, {{"equation", left + "->" + to_text(found)}});
    if (!missing.empty()) g = c.emit("Unsqueeze", {g, c.integers(missing)});
    if (!missing.empty()) g = c.emit("Expand", {g, c.emit("Shape", {x})});
    c.set(static_cast<int>(i), c.sum_to(g, x));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(Einsum, .name = "Einsum", .since = 28, .first = 12, .max_inputs = -1,
                  .doc = "Sums of products over labelled axes", .infer = infer, .run = run, .gradient = gradient,
                  .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  equation="ij,jk->ik" | f32[3,4] f32[4,5]
  equation="bij,bjk" | f32[2,3,4] f32[2,4,5]
  equation="...ij,...kj->...ik" | f32[2,1,3,4] f32[5,6,4]
  equation="ij->ji" | f32[3,4]
  equation="ij->i" | f32[3,4]
  equation="ij,jk,kl->il" | f32[3,4] f32[4,5] f32[5,2]
  equation="bhid,bhjd->bhij" | f32[2,3,4,5] f32[2,3,6,5]
  equation="bhwc,hkc->bhwk" | f32[2,3,4,5] f32[3,6,5]
  equation="i,i->" | f32[4] f32[4]
  equation="i,j" | f32[4] f32[3]
)");

}  // namespace outpost
