// Samples that a model is calibrated on: files of a folder, or one file.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "values.h"

namespace outpost::cli {

using Sample = std::vector<std::pair<std::string, Datum>>;  // a value for every input

// Pictures, .npy (models of one input) and .npz (every input by its name), folders walked through, in the order of their
// paths. A file that holds several samples along the first axis, which the model takes one at a time, is several. At most
// `limit` samples. Throws Error(invalid_argument) naming the file that does not fit, or when there is nothing.
std::vector<Sample> load_samples(const std::string& path, const Model& model, const ImageSpec& spec, size_t limit);

}  // namespace outpost::cli
