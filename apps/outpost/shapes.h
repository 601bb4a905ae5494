// Shapes on the command line (NAME=1x3x224x224) and stand-in inputs for models that are measured, not asked.
#pragma once
#include <string>
#include <vector>

#include "outpost/session.h"

namespace outpost::cli {

// One shape per input of the model: as given, else as declared; where that is open, 1 for the first dim (a batch) and
// `open` for the others. Throws Error(invalid_argument) for a name the model lacks or a shape that does not parse.
std::vector<Shape> input_shapes(const Model& model, const std::vector<std::string>& given, int64_t open = 1);
// The first that the model's operators accept with open dims of 1, else 32, 224, 640 (a detector halves its picture).
std::vector<Shape> plannable_shapes(const Session& session, const Model& model, const std::vector<std::string>& given);
// Random values in -1..1 for floats, ones for integers (a valid index, mask and length nearly everywhere).
Tensor stand_in(DType dtype, const Shape& shape);

}  // namespace outpost::cli
