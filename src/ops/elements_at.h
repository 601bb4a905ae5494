// The indexing that GatherElements and ScatterElements share: for every position p of `indices`, the element of `data`
// at p with its coordinate on one axis replaced by indices[p].
#pragma once
#include "ops/dynamic.h"
#include "ops/infer_context.h"
#include "ops/movement.h"

namespace outpost {

// Shape rules of inputs 0 (data) and 1 (indices): equal ranks, indices no longer than data but on `axis`.
inline void check_elements_at(const InferContext& c) {
  c.require_dtype(1, {DType::i32, DType::i64});
  if (!c.ranked(0) || !c.ranked(1)) return;
  c.require(c.rank(0) == c.rank(1), "data has rank ", c.rank(0), ", indices ", c.rank(1));
  const int axis = c.axis(c.attributes().integer("axis", 0), c.rank(0));
  for (int a = 0; a < c.rank(0); ++a) {
    const Dim n = c.dims(0)[a], m = c.dims(1)[a];
    c.require(a == axis || !n.known() || !m.known() || m.size <= n.size, "indices have size ", m.size, " on axis ", a, ", data ", n.size);
  }
}

// A Locate (movement.h) over the positions of `indices`; throws for an index outside the axis.
class ElementsAt {
 public:
  ElementsAt(const RunContext& ctx, const Shape& data, const View& indices)
      : ctx_(ctx), indices_(indices), extent_(indices.shape()), strides_(strides_of(data)) {
    const int64_t axis = ctx.attributes().integer("axis", 0);
    const int a = static_cast<int>(axis < 0 ? axis + data.rank() : axis);
    size_ = data[a];
    step_ = strides_[a];
    strides_[a] = 0;
  }
  void operator()(int64_t begin, int64_t end, int64_t* at) const {
    Odometer position(extent_, strides_, begin);
    for (int64_t i = begin; i < end; ++i, position.next())
      at[i - begin] = position.offset() + checked_index(ctx_, indices_[i], size_) * step_;
  }

 private:
  const RunContext& ctx_;
  Integers indices_;
  const Shape& extent_;
  Shape strides_;
  int64_t size_, step_;
};

}  // namespace outpost
