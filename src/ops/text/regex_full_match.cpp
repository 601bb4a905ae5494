// RegexFullMatch: whether each string as a whole matches an RE2 pattern.
#include "base/regex.h"
#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

Regex pattern_of(const Node& node) {
  try {
    return Regex(node.attributes.string("pattern", ""));
  } catch (const Error& e) {
    fail(e.code() == ErrorCode::limit ? ErrorCode::limit : ErrorCode::invalid_model, node.label(), ": ", std::string_view(e.what()));
  }
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::string});
  Type t = c.input(0);
  t.dtype = DType::boolean;
  c.output(0, std::move(t));
}

std::shared_ptr<const void> prepare(const PrepareContext& p) { return std::make_shared<const Regex>(pattern_of(p.node)); }

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &x = ctx.in(0), &y = ctx.out(0);
  const Regex& pattern = ctx.prepared<Regex>();
  ctx.parallel_ranges(x.count(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.as<bool>()[i] = pattern.full_match(x.as<std::string>()[i]);
  });
}

}  // namespace

OUTPOST_DEFINE_OP(RegexFullMatch, .name = "RegexFullMatch", .since = 20, .first = 20, .doc = "Whether strings match a regular expression (RE2).",
                  .infer = infer, .run = run, .no_gradient = "boolean output", .prepare = prepare);

}  // namespace outpost
