// The indexing that GatherND and ScatterND share: the last axis of `indices` holds tuples, each naming a block of `data`
// (the axes after the tuple), within the batch that the tuple stands in.
#pragma once
#include "ops/dynamic.h"
#include "ops/movement.h"

namespace outpost {

// A Locate (movement.h) over the tuples; throws for an index outside its axis.
class TuplesAt {
 public:
  TuplesAt(const RunContext& ctx, const Shape& data, const View& indices, int batch_axes)
      : ctx_(ctx), indices_(indices), depth_(static_cast<int>(indices.shape().back())), first_(batch_axes), data_(data) {
    const int rank = indices.rank();
    count_ = indices.shape().count(0, rank - 1);
    per_batch_ = indices.shape().count(batch_axes, rank - 1);
    batch_step_ = data.count(batch_axes, batch_axes + depth_);
    block_ = data.count(batch_axes + depth_, data.rank());
  }
  int64_t count() const noexcept { return count_; }  // of tuples
  int64_t block() const noexcept { return block_; }  // elements each names
  void operator()(int64_t begin, int64_t end, int64_t* at) const {
    for (int64_t i = begin; i < end; ++i) {
      int64_t offset = 0;
      for (int k = 0; k < depth_; ++k) {
        const int64_t size = data_[first_ + k];
        offset = offset * size + checked_index(ctx_, indices_[i * depth_ + k], size);
      }
      at[i - begin] = i / per_batch_ * batch_step_ + offset;
    }
  }

 private:
  const RunContext& ctx_;
  Integers indices_;
  int depth_, first_;
  const Shape& data_;
  int64_t count_, per_batch_, batch_step_, block_;
};

}  // namespace outpost
