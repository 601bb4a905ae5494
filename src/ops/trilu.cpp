// Trilu: the upper or lower triangle of matrices, zeros elsewhere; k moves the diagonal up.
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  if (c.ranked(0)) c.require(c.rank(0) >= 2, "input has rank ", c.rank(0), "; expected 2 or more");
  c.require_dtype(1, {DType::i64});
  infer_same(c);
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  if (y.count() == 0) return;
  if (ctx.has(1)) ctx.require(ctx.in(1).count() == 1, "k has ", ctx.in(1).count(), " elements; expected one");
  if (x.dtype == DType::string) ctx.fail("strings have no zero");
  const bool upper = ctx.attributes().integer("upper", 1) != 0;
  const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1), bytes = element_bytes(x.dtype);
  const int64_t k = ctx.has(1) ? std::clamp(ctx.in(1).as<int64_t>()[0], -rows - 1, columns + 1) : 0;
  const Staged staged(ctx, y);
  const char* from = static_cast<const char*>(whole_bytes(ctx, x));
  char* to = static_cast<char*>(staged.data());
  ctx.parallel_ranges(y.count() / columns, std::max<int64_t>(1, 32768 / columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {  // kept: [first, last)
      const int64_t diagonal = std::clamp<int64_t>(row % rows + k + (upper ? 0 : 1), 0, columns);
      const int64_t first = upper ? diagonal : 0, last = upper ? columns : diagonal, at = row * columns;
      std::memset(to + at * bytes, 0, static_cast<size_t>(first * bytes));
      if (from != to) std::memcpy(to + (at + first) * bytes, from + (at + first) * bytes, static_cast<size_t>((last - first) * bytes));
      std::memset(to + (at + last) * bytes, 0, static_cast<size_t>((columns - last) * bytes));
    }
  });
  staged.commit();
}

void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  std::vector<Value*> inputs = g.node.inputs();
  inputs[0] = g.grad();
  g.set(0, g.emit("Trilu", inputs, g.attributes()));
}

}  // namespace

OUTPOST_DEFINE_OP(Trilu, .name = "Trilu", .since = 14, .first = 14, .min_inputs = 1, .max_inputs = 2,
                  .doc = "The upper or lower triangle of matrices.", .infer = infer, .run = run, .gradient = gradient,
                  .in_place = {{0, 0}},
                  .cases = R"(
                    | f32[3,4]
                    upper=0 | f32[2,4,3] i64[]={1}
                    upper=1 | f32[3,3] i64[]={-2}
                    upper=0 | f32[0,3])");

}  // namespace outpost
