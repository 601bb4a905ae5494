// Shorthands for expansions and gradients, beyond Builder's own.
#pragma once
#include <limits>

#include "ops/op.h"

namespace outpost::build {

constexpr int64_t to_end = std::numeric_limits<int64_t>::max();

inline Value* reshape(Builder& b, Value* x, std::vector<int64_t> dims) { return b.emit("Reshape", {x, b.integers(std::move(dims))}); }
inline Value* unsqueeze(Builder& b, Value* x, int64_t axis) { return b.emit("Unsqueeze", {x, b.integers({axis})}); }
inline Value* squeeze(Builder& b, Value* x, int64_t axis) { return b.emit("Squeeze", {x, b.integers({axis})}); }
inline Value* slice(Builder& b, Value* x, int64_t axis, int64_t begin, int64_t end, int64_t step = 1) {
  return b.emit("Slice", {x, b.integers({begin}), b.integers({end}), b.integers({axis}), b.integers({step})});
}
inline Value* transpose(Builder& b, Value* x, std::vector<int64_t> permutation) {
  return b.emit("Transpose", {x}, {{"perm", std::move(permutation)}});
}
inline Value* concat(Builder& b, std::vector<Value*> parts, int64_t axis) { return b.emit("Concat", std::move(parts), {{"axis", axis}}); }
inline Value* cast(Builder& b, Value* x, DType to) {
  return x->type.dtype == to ? x : b.emit("Cast", {x}, {{"to", static_cast<int64_t>(to)}});
}
// Dims [begin, end) of x, as 1-D i64.
inline Value* dims(Builder& b, Value* x, int64_t begin, int64_t end = to_end) {
  Attributes a{{"start", begin}};
  if (end != to_end) a.set("end", end);
  return b.emit("Shape", {x}, std::move(a));
}

}  // namespace outpost::build
