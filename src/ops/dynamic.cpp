// The shape rule asked again while running.
#include "ops/dynamic.h"

#include <vector>

#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

std::vector<Type> infer_now(RunContext& ctx) {
  const size_t n = static_cast<size_t>(ctx.inputs());
  std::vector<Type> types(n);
  std::vector<Tensor> tensors(n);
  std::vector<const Type*> type_of(n, nullptr);
  std::vector<const Tensor*> value_of(n, nullptr);
  for (int i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i) || !ctx.in(i).defined()) continue;
    const View& in = ctx.in(i);
    tensors[i] = Tensor::view(static_cast<const void*>(in.data), in.dtype, in.shape());
    types[i] = Type::of(tensors[i]);
    type_of[i] = &types[i];
    value_of[i] = &tensors[i];
  }
  std::vector<Type> outputs(ctx.node().outputs().size());
  InferContext infer(ctx.node(), type_of, value_of, outputs);
  try {
    ctx.node().def->infer(infer);
  } catch (const Error& e) {
    throw Error(e.code() == ErrorCode::invalid_model ? ErrorCode::invalid_data : e.code(), e.what());
  }
  return outputs;
}

}  // namespace

void allocate_inferred(RunContext& ctx) {
  bool known = true;
  for (int i = 0; i < ctx.outputs(); ++i) known = known && (!ctx.wants(i) || ctx.out(i).defined());
  if (known) return;
  const std::vector<Type> types = infer_now(ctx);
  for (int i = 0; i < ctx.outputs(); ++i) {
    if (!ctx.wants(i) || ctx.out(i).defined()) continue;
    if (!types[i].is_static()) fail(ErrorCode::internal, ctx.node().label(), ": output ", i, " has no shape");
    const Shape shape = types[i].shape();
    checked_count(shape);
    ctx.allocate(i, shape);
  }
}

View& produce(RunContext& ctx, int i, const Shape& shape) {
  if (!ctx.out(i).defined()) {
    checked_count(shape);
    return ctx.allocate(i, shape);
  }
  if (!(ctx.out(i).shape() == shape))
    fail(ErrorCode::internal, ctx.node().label(), ": output ", i, " was planned as ", ctx.out(i).shape(), " but is ", shape);
  return ctx.out(i);
}

int64_t Integers::other(int64_t i) const noexcept {
  int64_t value = 0;
  load(view_.dtype, view_.data, i, 1, DType::i64, &value);
  return value;
}

}  // namespace outpost
