// NonZero: the coordinates of the elements that are not zero, as columns of (rank, count), in row-major order.
#include "ops/dynamic.h"
#include "ops/op.h"
#include "ops/truth.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require(c.dtype(0) != DType::string, "input is string; expected numbers");
  c.output(0, DType::i64, {c.ranked(0) ? Dim(c.rank(0)) : Dim(), Dim()});
}

void run(RunContext& ctx) {
  const View& x = ctx.in(0);
  const int64_t count = count_true(x, x.count());
  int64_t* y = produce(ctx, 0, {x.rank(), count}).as<int64_t>();
  int64_t column = 0;
  for_each_true(x, x.count(), [&](int64_t position) {
    for (int a = x.rank() - 1; a >= 0; --a) {
      y[a * count + column] = position % x.dim(a);
      position /= x.dim(a);
    }
    ++column;
  });
}

}  // namespace

OUTPOST_DEFINE_OP(NonZero, .name = "NonZero", .since = 13, .first = 9, .doc = "The coordinates of the elements that are not zero.",
                  .infer = infer, .run = run, .no_gradient = "integer output",
                  .cases = R"(
                    | f32[2,2]={1,0,-0.0,2}
                    | bool[4]={0,1,1,0}
                    | f32[0,3])");

}  // namespace outpost
