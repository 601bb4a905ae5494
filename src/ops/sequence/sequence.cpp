// Sequences of tensors: construct, index, insert, erase, measure. A sequence is a Datum: a list of handles, so that
// these operators copy handles; tensors that lie in a run's arena are copied once, when they enter.
//
// Elements of one sequence share a dtype, not a shape: what comes out of a sequence has a shape that only the run knows.
#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

// The dtype of a sequence's elements, undefined when not known.
DType element_dtype(const InferContext& c, int i) {
  const Type& t = c.input(i);
  c.require(t.kind == Type::Kind::sequence || t.kind == Type::Kind::none, "input ", i, " is ", to_string(t), "; expected a sequence");
  return t.element ? t.element->dtype : DType::undefined;
}

Type sequence_of(DType dtype) { return Type::sequence(dtype == DType::undefined ? Type() : Type::tensor(dtype)); }

void infer_construct(InferContext& c) {
  for (int i = 1; i < c.inputs(); ++i) c.require_same_dtype(0, i);
  c.output(0, sequence_of(c.dtype(0)));
}

void run_construct(RunContext& ctx) {
  std::vector<Datum> items;
  for (int i = 0; i < ctx.inputs(); ++i) items.push_back(ctx.datum(i));
  ctx.set_datum(0, Datum::sequence(std::move(items)));
}

void infer_empty(InferContext& c) {
  const int64_t dtype = c.attributes().integer("dtype", static_cast<int64_t>(DType::f32));
  c.require(dtype >= static_cast<int64_t>(DType::f32) && dtype <= static_cast<int64_t>(DType::i2), "dtype is ", dtype, ", which is no element type");
  c.output(0, sequence_of(static_cast<DType>(dtype)));
}

void run_empty(RunContext& ctx) { ctx.set_datum(0, Datum::sequence({})); }

// Input `i` as a position in [0, size + more); from the end when negative; `fallback` when absent.
size_t position(RunContext& ctx, int i, size_t size, int64_t more, int64_t fallback) {
  if (!ctx.has(i)) return static_cast<size_t>(fallback);
  ctx.require(ctx.in(i).count() == 1, "position has ", ctx.in(i).count(), " elements; expected one");
  const int64_t n = static_cast<int64_t>(size), at = Integers(ctx.in(i))[0];
  ctx.require(at >= -n && at < n + more, "position ", at, " is outside a sequence of ", n);
  return static_cast<size_t>(at < 0 ? at + n : at);
}

void infer_at(InferContext& c) {
  const DType dtype = element_dtype(c, 0);
  c.require_dtype(1, {DType::i32, DType::i64});
  if (dtype != DType::undefined) c.output(0, dtype);
}

void run_at(RunContext& ctx) {
  const Datum sequence = ctx.datum(0);
  const auto& items = sequence.items();
  ctx.set_datum(0, items[position(ctx, 1, items.size(), 0, 0)]);
}

void infer_insert(InferContext& c) {
  const DType dtype = element_dtype(c, 0);
  c.require(dtype == DType::undefined || c.dtype(1) == DType::undefined || dtype == c.dtype(1), "a sequence of ", dtype, " cannot hold ", c.dtype(1));
  c.require_dtype(2, {DType::i32, DType::i64});
  c.output(0, sequence_of(c.dtype(1) == DType::undefined ? dtype : c.dtype(1)));
}

void run_insert(RunContext& ctx) {
  std::vector<Datum> items = ctx.datum(0).items();
  const size_t at = position(ctx, 2, items.size(), 1, static_cast<int64_t>(items.size()));
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(at), ctx.datum(1));
  ctx.set_datum(0, Datum::sequence(std::move(items)));
}

void infer_erase(InferContext& c) {
  c.require_dtype(1, {DType::i32, DType::i64});
  c.output(0, sequence_of(element_dtype(c, 0)));
}

void run_erase(RunContext& ctx) {
  std::vector<Datum> items = ctx.datum(0).items();
  ctx.require(!items.empty(), "the sequence is empty");
  const size_t at = position(ctx, 1, items.size(), 0, static_cast<int64_t>(items.size()) - 1);
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  ctx.set_datum(0, Datum::sequence(std::move(items)));
}

void infer_length(InferContext& c) {
  element_dtype(c, 0);
  c.output(0, DType::i64, Dims{});
}

void run_length(RunContext& ctx) { *produce(ctx, 0, {}).as<int64_t>() = static_cast<int64_t>(ctx.datum(0).items().size()); }

}  // namespace

OUTPOST_DEFINE_OP(SequenceConstruct, .name = "SequenceConstruct", .since = 11, .first = 11, .min_inputs = 1, .max_inputs = -1,
                  .doc = "A sequence of the given tensors.", .infer = infer_construct, .run = run_construct);
OUTPOST_DEFINE_OP(SequenceEmpty, .name = "SequenceEmpty", .since = 11, .first = 11, .min_inputs = 0, .max_inputs = 0,
                  .doc = "An empty sequence.", .infer = infer_empty, .run = run_empty);
OUTPOST_DEFINE_OP(SequenceAt, .name = "SequenceAt", .since = 11, .first = 11, .min_inputs = 2, .max_inputs = 2,
                  .doc = "The tensor at a position of a sequence.", .infer = infer_at, .run = run_at);
OUTPOST_DEFINE_OP(SequenceInsert, .name = "SequenceInsert", .since = 11, .first = 11, .min_inputs = 2, .max_inputs = 3,
                  .doc = "A sequence with one more tensor.", .infer = infer_insert, .run = run_insert);
OUTPOST_DEFINE_OP(SequenceErase, .name = "SequenceErase", .since = 11, .first = 11, .min_inputs = 1, .max_inputs = 2,
                  .doc = "A sequence with one tensor less.", .infer = infer_erase, .run = run_erase);
OUTPOST_DEFINE_OP(SequenceLength, .name = "SequenceLength", .since = 11, .first = 11, .doc = "How many tensors a sequence holds.",
                  .infer = infer_length, .run = run_length, .no_gradient = "integer output");

}  // namespace outpost
