// What all poolings share: parsing, the shape rule, sizes.
#include "ops/pool.h"

namespace outpost {

PoolAttributes pool_attributes(const Node& node) {
  PoolAttributes a;
  a.window = WindowAttributes::of(node);
  a.storage_order = node.attributes.integer("storage_order", 0);
  a.count_include_pad = node.attributes.integer("count_include_pad", 0) != 0;
  a.p = node.attributes.integer("p", 2);
  if (a.p < 1) fail(ErrorCode::invalid_model, node.label(), ": p is ", a.p, "; expected 1 or more");
  return a;
}

std::shared_ptr<const void> prepare_pool(const PrepareContext& c) {
  return std::make_shared<PoolAttributes>(pool_attributes(c.node));
}

void infer_pool(InferContext& c) {
  const PoolAttributes a = pool_attributes(c.node());
  c.require(a.window.kernel.length > 0, "kernel_shape is missing");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  c.require(x.size() >= 3, "X must be (batch, channels, spatial...); found ", c.input(0));
  Dims out{x[0], x[1]};
  for (const Dim& d : window_dims(c, a.window, std::span(x).subspan(2), {})) out.push_back(d);
  c.output(0, c.dtype(0), std::move(out));
}

PoolShape pool_shape(const PoolAttributes& a, const Shape& x) {
  PoolShape s;
  s.window = resolve_window(a.window, x.rank() - 2, x.data() + 2, nullptr, s.pad_end);
  s.planes = x[0] * x[1];
  return s;
}

size_t pool_scratch_bytes(const PoolShape& s, DType dtype, int threads) {
  if (dtype != DType::f16 && dtype != DType::bf16) return 0;
  const size_t x = slice_bytes(static_cast<size_t>(s.in_count()) * sizeof(float));
  return slice_bytes(x + static_cast<size_t>(s.out_count()) * sizeof(float)) * static_cast<size_t>(threads);
}

}  // namespace outpost
