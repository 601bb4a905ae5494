// The TOML file beside a model, and the same words as flags. The user's own file: toml++ is not safe for others'.
#include <CLI/CLI.hpp>

#include <filesystem>
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "base/text.h"
#include "preprocess.h"

namespace outpost::cli {
namespace {

constexpr uintmax_t most_bytes = 64 << 10;

template <class T>
T one_of(const std::string& key, const std::string& value, std::initializer_list<std::pair<const char*, T>> choices) {
  std::string known;
  for (const auto& [name, meaning] : choices) {
    if (value == name) return meaning;
    known += text(known.empty() ? "" : ", ", name);
  }
  fail(ErrorCode::invalid_argument, key, " is '", value, "'; it can be ", known);
}

Layout layout_of(const std::string& s) { return one_of<Layout>("layout", s, {{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}}); }
Color color_of(const std::string& s) { return one_of<Color>("color", s, {{"rgb", Color::rgb}, {"bgr", Color::bgr}, {"gray", Color::gray}}); }
Fit fit_of(const std::string& s) {
  return one_of<Fit>("fit", s, {{"stretch", Fit::stretch}, {"letterbox", Fit::letterbox}, {"corner", Fit::corner}, {"crop", Fit::crop}});
}

std::array<float, 3> three(const std::string& key, const std::vector<double>& values) {
  if (values.size() == 1) return {static_cast<float>(values[0]), static_cast<float>(values[0]), static_cast<float>(values[0])};
  if (values.size() != 3) fail(ErrorCode::invalid_argument, key, " needs 1 or 3 numbers; ", values.size(), " were given");
  return {static_cast<float>(values[0]), static_cast<float>(values[1]), static_cast<float>(values[2])};
}

int to_side(double v) {
  if (!(v >= 1 && v <= 1 << 16)) fail(ErrorCode::invalid_argument, "a size of ", v, "; expected 1 to 65536");
  return static_cast<int>(v);
}

template <class T>
T value_of(const std::string& key, const toml::node& node) {
  const auto v = node.value<T>();
  if (!v) fail(ErrorCode::invalid_argument, "'", key, "' has a value of another kind than expected");
  return *v;
}

std::vector<double> numbers_of(const std::string& key, const toml::node& node) {
  std::vector<double> numbers;
  if (const auto* array = node.as_array())
    for (const auto& item : *array) numbers.push_back(value_of<double>(key, item));
  else numbers.push_back(value_of<double>(key, node));
  return numbers;
}

void read_image_key(ImageSpec& s, const std::string& key, const toml::node& node) {
  if (key == "size") {
    const auto size = numbers_of(key, node);
    if (size.size() != 2) fail(ErrorCode::invalid_argument, "size needs [height, width]");
    s.height = to_side(size[0]);
    s.width = to_side(size[1]);
  } else if (key == "preprocess") {
    s.complete_with(preset(value_of<std::string>(key, node)));
  } else if (key == "layout") s.layout = layout_of(value_of<std::string>(key, node));
  else if (key == "color") s.color = color_of(value_of<std::string>(key, node));
  else if (key == "fit") s.fit = fit_of(value_of<std::string>(key, node));
  else if (key == "pad") s.pad = static_cast<int>(value_of<double>(key, node));
  else if (key == "cover") s.cover = value_of<double>(key, node);
  else if (key == "scale") s.scale = value_of<double>(key, node);
  else if (key == "mean") s.mean = three(key, numbers_of(key, node));
  else if (key == "std") s.std = three(key, numbers_of(key, node));
  else fail(ErrorCode::invalid_argument, "[image] knows no '", key, "'");
}

void read_output_key(OutputSpec& s, const std::string& key, const toml::node& node) {
  if (key == "detector") s.detector = value_of<std::string>(key, node);
  else if (key == "labels") s.labels = value_of<std::string>(key, node);
  else if (key == "score") s.score = value_of<double>(key, node);
  else if (key == "iou") s.iou = value_of<double>(key, node);
  else fail(ErrorCode::invalid_argument, "[output] knows no '", key, "'");
}

}  // namespace

Sidecar load_sidecar(const std::string& path) {
  std::error_code error;
  if (const auto size = std::filesystem::file_size(path, error); error || size > most_bytes)
    fail(error ? ErrorCode::not_found : ErrorCode::limit, "'", path, "' cannot be read, or is longer than ", most_bytes, " bytes");
  Sidecar sidecar;
  try {
    const toml::table table = toml::parse_file(path);
    for (const auto& [section, node] : table) {
      const auto* keys = node.as_table();
      if (!keys || (section != "image" && section != "output")) fail(ErrorCode::invalid_argument, "expected [image] and [output], found '", section.str(), "'");
      for (const auto& [key, value] : *keys)
        section == "image" ? read_image_key(sidecar.image, std::string(key.str()), value) : read_output_key(sidecar.output, std::string(key.str()), value);
    }
  } catch (const toml::parse_error& e) {
    fail(ErrorCode::invalid_argument, "'", path, "' line ", e.source().begin.line, ": ", e.description());
  } catch (const Error& e) {
    fail(e.code(), "'", path, "': ", e.what());
  }
  // A file of labels is meant beside the side-car.
  if (auto& labels = sidecar.output.labels; labels && *labels != "coco" && std::filesystem::path(*labels).is_relative())
    labels = (std::filesystem::path(path).parent_path() / *labels).string();
  return sidecar;
}

std::optional<std::string> sidecar_of(const std::string& model) {
  std::error_code error;
  const auto path = std::filesystem::path(model).replace_extension(".toml");
  return std::filesystem::is_regular_file(path, error) ? std::optional(path.string()) : std::nullopt;
}

void add_image_flags(CLI::App& command, ImageSpec& spec) {
  auto* group = command.add_option_group("Pictures", "how a picture becomes an input; also from MODEL.toml (--config FILE)");
  group->add_option_function<std::string>("--size", [&spec](const std::string& s) {
    int height = 0, width = 0;
    char rest = 0;
    if (std::sscanf(s.c_str(), "%dx%d%c", &height, &width, &rest) != 2) throw CLI::ValidationError("--size", "expected HEIGHTxWIDTH, found '" + s + "'");
    spec.height = to_side(height);
    spec.width = to_side(width);
  }, "HEIGHTxWIDTH, where the model leaves them open");
  group->add_option_function<std::string>("--preprocess", [&spec](const std::string& s) { spec.complete_with(preset(s)); },
                                          "imagenet, unit (0..1), signed (-1..1) or raw (0..255)");
  group->add_option_function<std::string>("--layout", [&spec](const std::string& s) { spec.layout = layout_of(s); }, "nchw or nhwc");
  group->add_option_function<std::string>("--color", [&spec](const std::string& s) { spec.color = color_of(s); }, "rgb, bgr or gray");
  group->add_option_function<std::string>("--fit", [&spec](const std::string& s) { spec.fit = fit_of(s); }, "stretch, letterbox, corner or crop");
  group->add_option("--pad", spec.pad, "brightness of what letterboxing adds, 0..255");
  group->add_option("--scale", spec.scale, "(value * scale - mean) / std, value 0..255; default 1/255");
  group->add_option_function<std::vector<double>>("--mean", [&spec](const std::vector<double>& v) { spec.mean = three("--mean", v); }, "1 or 3 numbers")
      ->delimiter(',');
  group->add_option_function<std::vector<double>>("--std", [&spec](const std::vector<double>& v) { spec.std = three("--std", v); }, "1 or 3 numbers")
      ->delimiter(',');
}

}  // namespace outpost::cli
