// Optional, OptionalGetElement, OptionalHasElement: a value that may be nothing. A tensor or a sequence where an optional
// is expected is one that is there.
#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer_optional(InferContext& c) {
  if (c.has(0)) return c.output(0, Type::optional(c.input(0)));
  const Attribute* type = c.attributes().find("type");
  c.require(type && std::holds_alternative<Type>(*type), "an empty optional needs the attribute 'type'");
  const Type& t = std::get<Type>(*type);
  c.output(0, t.kind == Type::Kind::optional ? t : Type::optional(t));
}

void run_optional(RunContext& ctx) { ctx.set_datum(0, ctx.has(0) ? ctx.datum(0) : Datum()); }

void infer_get(InferContext& c) {
  const Type& t = c.input(0);
  if (t.kind != Type::Kind::optional) return c.output(0, t);
  if (t.element && t.element->kind != Type::Kind::none) c.output(0, *t.element);
}

void run_get(RunContext& ctx) {
  Datum value = ctx.datum(0);
  ctx.require(value.has_value(), "the optional is empty");
  ctx.set_datum(0, std::move(value));
}

void infer_has(InferContext& c) { c.output(0, DType::boolean, Dims{}); }

void run_has(RunContext& ctx) {
  const bool there = ctx.has(0) && (ctx.in(0).defined() || ctx.datum(0).has_value());
  *produce(ctx, 0, {}).as<bool>() = there;
}

}  // namespace

OUTPOST_DEFINE_OP(Optional, .name = "Optional", .since = 28, .first = 15, .min_inputs = 0, .max_inputs = 1,
                  .doc = "An optional holding the input, or nothing.", .infer = infer_optional, .run = run_optional);
OUTPOST_DEFINE_OP(OptionalGetElement, .name = "OptionalGetElement", .since = 28, .first = 15, .doc = "What an optional holds.",
                  .infer = infer_get, .run = run_get);
OUTPOST_DEFINE_OP(OptionalHasElement, .name = "OptionalHasElement", .since = 28, .first = 15, .min_inputs = 0, .max_inputs = 1,
                  .doc = "Whether an optional holds anything.", .infer = infer_has, .run = run_has, .no_gradient = "boolean output");

}  // namespace outpost
