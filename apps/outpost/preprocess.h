// From a picture to a model's input, as flags or a small TOML file beside the model say.
//
//   # mobilenet.toml
//   [image]
//   size = [224, 224]        # height, width; only where the model leaves them open
//   layout = "nchw"          # or "nhwc"; default: as the input's shape suggests
//   color = "rgb"            # or "bgr", "gray"
//   fit = "crop"             # or "stretch", "letterbox", "corner"
//   cover = 1.143            # crop: the covering picture's size
//   pad = 114
//   scale = 0.00392157       # (value * scale - mean) / std, value 0..255
//   mean = [0.485, 0.456, 0.406]
//   std = [0.229, 0.224, 0.225]
//   [output]
//   detector = "yolox"       # see detect.h
//   labels = "coco"          # or a file, one name a line
//   score = 0.3
//   iou = 0.45
#pragma once
#include <array>
#include <optional>
#include <string>

#include "outpost/session.h"
#include "resize.h"

namespace CLI {
class App;
}

namespace outpost::cli {

enum class Layout { nchw, nhwc };
enum class Color { rgb, bgr, gray };

// What is set is the user's wish; the rest is filled in from the model's input and defaults.
struct ImageSpec {
  std::optional<int> height, width;
  std::optional<Layout> layout;
  std::optional<Color> color;
  std::optional<Fit> fit;
  std::optional<int> pad;
  std::optional<double> cover, scale;
  std::optional<std::array<float, 3>> mean, std;

  // Values set in `other` where this has none.
  void complete_with(const ImageSpec& other);
};

struct OutputSpec {
  std::optional<std::string> detector, labels;
  std::optional<double> score, iou;
  void complete_with(const OutputSpec& other);
};

struct Sidecar {
  ImageSpec image;
  OutputSpec output;
};

// "imagenet", "unit" (0..1), "signed" (-1..1), "raw" (0..255). Throws Error(not_found).
ImageSpec preset(const std::string& name);
// The TOML file; throws Error(invalid_argument) that names a key or value it does not know.
Sidecar load_sidecar(const std::string& path);
// MODEL with the ending .toml, when it exists.
std::optional<std::string> sidecar_of(const std::string& model);

struct ImageInput {
  Tensor tensor;
  Placement placement;  // from the model's picture to the photograph
  Image seen;           // what the model sees, before arithmetic
};
// Throws Error(invalid_argument) when the input cannot hold a picture.
ImageInput to_input(const Image& image, const ValueInfo& input, ImageSpec spec);
// A tensor of rank 3 or 4 whose channels are 1 or 3, or open.
bool looks_like_image(const TypeInfo& type);

// --size, --layout, --color, … of a subcommand, written to `spec`; --preprocess is applied by the parser's callback.
void add_image_flags(CLI::App& command, ImageSpec& spec);

}  // namespace outpost::cli
