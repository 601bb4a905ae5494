// Values in files: reading inputs, writing and describing outputs.
#pragma once
#include <string>
#include <vector>

#include "outpost/session.h"
#include "preprocess.h"

namespace outpost::cli {

struct Inputs {
  std::vector<std::pair<std::string, Datum>> values;
  // The picture among them, if there was one.
  bool has_picture = false;
  Image photo;
  ImageInput picture;
  std::string picture_input;
};

// NAME=FILE (.npy, .npz, .pb, a picture, .txt: a string a line), NAME=text:WORDS, NAME=1,2,3 (numbers in the input's shape),
// or FILE.npz alone: every array in it by its name. `defaults` completes the picture's preparation.
void read_input(const std::string& argument, const std::vector<ValueInfo>& inputs, const ImageSpec& spec, Inputs& out);
// NAME=FILE (.npy, .json), FILE.npz or FILE.json alone: all outputs.
void write_output(const std::string& argument, const std::vector<ValueInfo>& outputs, const Outputs& results);
// As JSON text: {"name": {"dtype": …, "shape": […], "data": […]}}; sequences and maps nest.
std::string outputs_as_json(const Outputs& results);
// A line or two about a value: "f32[1,1000]  min -3.2  mean 0.01  max 12.9  [0.13, …]".
std::string describe_datum(const Datum& datum);
// The classes with the largest of the first row's scores: (index, probability). Scores that are not probabilities yet
// (negative, or not adding up to 1) pass a softmax.
std::vector<std::pair<size_t, double>> likeliest(const Tensor& scores, size_t count);

}  // namespace outpost::cli
