// Growth by doubling: the copies cost no more than the rows.
#include "ops/control/stack.h"

#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"

namespace outpost {

void RowStack::push(RunContext& ctx, const Tensor& row) {
  if (count_ == 0) {
    dtype_ = row.dtype();
    row_ = row.shape();
    if (is_packed(dtype_)) ctx.fail("cannot stack rows of ", dtype_);
  }
  ctx.require(row.dtype() == dtype_ && row.shape() == row_, "row ", count_, " of a scan output is ", Type::of(row), "; earlier ones are ", Type::tensor(dtype_, row_));
  ++count_;
  const Tensor dense = row.to_contiguous();
  if (dtype_ == DType::string) {
    strings_.insert(strings_.end(), dense.values<std::string>().begin(), dense.values<std::string>().end());
    return;
  }
  const size_t n = dense.bytes();
  if (used_ + n > capacity_) {
    capacity_ = std::max<size_t>(2 * (used_ + n), 256);
    char* larger = static_cast<char*>(ctx.temporary(capacity_));
    if (used_) std::memcpy(larger, bytes_, used_);
    bytes_ = larger;
  }
  if (n) std::memcpy(bytes_ + used_, dense.raw(), n);
  used_ += n;
}

void RowStack::finish(RunContext& ctx, int output) const {
  if (count_ == 0) {
    produce(ctx, output, empty_stack_shape(ctx.node(), output, 0, 0));
    return;
  }
  Shape shape = row_;
  shape.insert(0, count_);
  View& y = produce(ctx, output, shape);
  ctx.require(y.dtype == dtype_, "a scan output is ", dtype_, "; expected ", y.dtype);
  if (dtype_ == DType::string) std::copy(strings_.begin(), strings_.end(), y.as<std::string>());
  else if (used_) std::memcpy(y.data, bytes_, used_);
}

Shape empty_stack_shape(const Node& node, int output, int axis, int64_t count) {
  const Type& type = node.output(output)->type;
  Shape shape;
  if (type.ranked && axis < type.rank())
    for (const Dim& d : type.dims) shape.push_back(d.known() ? d.size : 0);
  else shape.push_back(0);
  shape[std::min(axis, shape.rank() - 1)] = count;
  return shape;
}

}  // namespace outpost
