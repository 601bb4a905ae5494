// Positions and their inverse, as ordinary nodes.
#include "ops/movement_gradient.h"

namespace outpost {

Value* positions_like(Builder& b, Value* x, int64_t first) {
  Value* count = b.emit("Size", {x});
  Value* end = first == 0 ? count : b.add(count, b.constant(Tensor::scalar(first)));
  Value* range = b.emit("Range", {b.constant(Tensor::scalar(first)), end, b.constant(Tensor::scalar(int64_t{1}))});
  return b.reshape_like(range, x);
}

Value* scatter_back(Builder& b, Value* positions, Value* gradient, Value* x) {
  Value* flat = b.integers({-1});
  Value* count = b.emit("Reshape", {b.emit("Size", {x}), flat});
  Value* zeros = b.emit("Expand", {b.like(x, 0), count});
  Value* sums = b.emit("ScatterElements", {zeros, b.emit("Reshape", {positions, flat}), b.emit("Reshape", {gradient, flat})},
                       {{"reduction", std::string("add")}});
  return b.reshape_like(sums, x);
}

Value* zeros_like(Builder& b, Value* x) { return b.emit("Expand", {b.like(x, 0), b.emit("Shape", {x})}); }

}  // namespace outpost
