// ReverseSequence: the first sequence_lens[b] steps of every batch entry in reverse order, the rest as it is.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  const int64_t batch = c.attributes().integer("batch_axis", 1), time = c.attributes().integer("time_axis", 0);
  c.require((batch == 0 && time == 1) || (batch == 1 && time == 0), "batch_axis and time_axis are ", batch, " and ", time, "; expected 0 and 1 in either order");
  c.require_dtype(1, {DType::i64});
  if (c.ranked(0)) c.require(c.rank(0) >= 2, "input has rank ", c.rank(0), "; expected 2 or more");
  if (c.ranked(0) && c.ranked(1)) {
    const Dim b = c.dims(0)[batch];
    c.require(c.rank(1) == 1 && (!b.known() || !c.dims(1)[0].known() || b == c.dims(1)[0]), "sequence_lens are ", to_string(c.input(1)), " for a batch of ", b.size);
  }
  infer_same(c);
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  const bool batch_first = ctx.attributes().integer("batch_axis", 1) == 0;
  const int64_t steps = x.dim(batch_first ? 1 : 0), second = x.dim(1), block = x.shape().count(2, x.rank());
  const Integers lengths(ctx.in(1));
  for (int64_t b = 0; b < lengths.size(); ++b) ctx.require(lengths[b] >= 0 && lengths[b] <= steps, "sequence length ", lengths[b], " is outside 0..", steps);
  const Staged staged(ctx, ctx.out(0));
  gather_blocks(ctx, x.dtype, block, x.dim(0) * second, whole_bytes(ctx, x), staged.data(), [&](int64_t begin, int64_t end, int64_t* at) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t major = i / second, minor = i % second;
      const int64_t time = batch_first ? minor : major, length = lengths[batch_first ? major : minor];
      const int64_t from = time < length ? length - 1 - time : time;
      at[i - begin] = batch_first ? major * second + from : from * second + minor;
    }
  });
  staged.commit();
}

void gradient(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.emit("ReverseSequence", {g.grad(), g.in(1)}, g.attributes()));
}

}  // namespace

OUTPOST_DEFINE_OP(ReverseSequence, .name = "ReverseSequence", .since = 28, .first = 10, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Reverses the valid steps of every batch entry.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[4,3,2] i64[3]={4,2,0}
                    batch_axis=0 time_axis=1 | f32[2,4] i64[2]={1,4}
                    | f32[0,2] i64[2]={0,0})");

}  // namespace outpost
