// The tour's own model: which shape is in a picture, told by the directions of its edges. Made here from nothing: edge
// filters by a formula, the last layer from the mean features of a few drawn examples of each shape.
//
//   image (n, 3, 64, 64) ─ Conv: 16 directions ─ Relu ─ square ┬ square ─ mean over the picture ─ shares (n, 16) ─ Gemm ─ Softmax
//                                                              └ sum over directions, root ─ edges (n, 1, 64, 64)
// A square has edges in 4 of the directions, a diamond in the 4 between, a triangle in 3, a circle in all alike.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "image.h"
#include "outpost/model.h"

namespace outpost::cli {

constexpr int shapes_side = 64;

const std::vector<std::string>& shape_names();  // circle, square, triangle, diamond
// One of them, light on dark, its place, size and colours drawn from `seed`.
Image draw_shape(int shape, uint64_t seed);
Model make_shapes_model();

}  // namespace outpost::cli
