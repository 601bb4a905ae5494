// Identity: whatever it is, unchanged.
#include <algorithm>
#include <cstring>

#include "ops/op.h"

namespace outpost {

namespace {

void run(RunContext& c) {
  if (!c.has(0) || !c.in(0).defined()) return c.set_datum(0, c.datum(0));
  const View& x = c.in(0);
  if (!c.out(0).defined()) c.allocate(0, x.shape());
  View& y = c.out(0);
  if (y.data == x.data || x.count() == 0) return;
  if (x.dtype == DType::string) std::copy_n(x.as<std::string>(), x.count(), y.as<std::string>());
  else std::memcpy(y.data, x.data, x.bytes());
}

void upgrade(UpgradeContext& c) { c.node.attributes.erase("consumed_inputs"); }
void gradient(GradientContext& c) { c.set(0, c.grad()); }

}  // namespace

OUTPOST_DEFINE_OP(Identity, .name = "Identity", .since = 25, .doc = "the input", .infer = infer_same, .run = run,
                  .upgrade = upgrade, .gradient = gradient, .in_place = {{0, 0}}, .view_only = true,
                  .cases = "| f32[2,3,4]\n| string[2]={\"a\",\"b\"}\n| f64[]\n| i4[5]\n| f32[0]");

}  // namespace outpost
