#include "shapes.h"

#include <algorithm>
#include <charconv>

#include "base/random.h"
#include "base/text.h"
#include "tensor/convert.h"

namespace outpost::cli {
namespace {

Shape parse_shape(const std::string& given, std::string_view dims) {
  Shape shape;
  const char *at = dims.data(), *end = dims.data() + dims.size();
  while (at != end) {
    int64_t dim = -1;
    const auto [next, error] = std::from_chars(at, end, dim);
    if (error != std::errc() || dim < 0 || (next != end && *next != 'x')) fail(ErrorCode::invalid_argument, "--shape ", given, ": expected NAME=1x3x224x224");
    shape.push_back(dim);
    at = next == end ? end : next + 1;
  }
  checked_count(shape);
  return shape;
}

}  // namespace

std::vector<Shape> input_shapes(const Model& model, const std::vector<std::string>& given, int64_t open) {
  std::vector<Shape> shapes;
  for (const ValueInfo& input : model.inputs()) {
    Shape shape;
    for (const Dimension& d : input.type.shape) shape.push_back(d.size >= 0 ? d.size : shape.empty() ? 1 : open);
    shapes.push_back(std::move(shape));
  }
  for (const std::string& g : given) {
    const size_t eq = g.rfind('=');
    if (eq == std::string::npos) fail(ErrorCode::invalid_argument, "--shape ", g, ": expected NAME=1x3x224x224");
    const std::string name = g.substr(0, eq);
    const auto& inputs = model.inputs();
    const auto it = std::find_if(inputs.begin(), inputs.end(), [&](const ValueInfo& v) { return v.name == name; });
    if (it == inputs.end()) {
      std::string names;
      for (const ValueInfo& v : inputs) names += text(names.empty() ? "" : ", ", "'", v.name, "'");
      fail(ErrorCode::invalid_argument, "--shape ", g, ": the model has no input '", name, "'; it has ", names);
    }
    shapes[static_cast<size_t>(it - inputs.begin())] = parse_shape(g, std::string_view(g).substr(eq + 1));
  }
  return shapes;
}

std::vector<Shape> plannable_shapes(const Session& session, const Model& model, const std::vector<std::string>& given) {
  const bool open_dims = std::any_of(model.inputs().begin(), model.inputs().end(), [](const ValueInfo& v) {
    return std::any_of(v.type.shape.begin(), v.type.shape.end(), [](const Dimension& d) { return d.size < 0; });
  });
  if (!open_dims) return input_shapes(model, given);
  for (const int64_t open : {1, 32, 224, 640}) {
    try {
      std::vector<Shape> shapes = input_shapes(model, given, open);
      session.plan(shapes);
      return shapes;
    } catch (const Error& e) {
      if (open == 640) fail(e.code(), e.what(), "; say which shapes fit: --shape NAME=1x3x224x224");
    }
  }
  return {};
}

Tensor stand_in(DType dtype, const Shape& shape) {
  Tensor t(dtype, shape);
  if (dtype == DType::string) return t;
  const DType compute = compute_type(dtype);
  Random random(42);
  constexpr int64_t piece = 4096;  // whole bytes of every dtype
  std::vector<double> values(piece, 1.0);
  for (int64_t i = 0; i < t.count(); i += piece) {
    const int64_t n = std::min(piece, t.count() - i);
    if (compute == DType::f32 || compute == DType::f64)
      for (int64_t j = 0; j < n; ++j) values[static_cast<size_t>(j)] = 2 * random.uniform() - 1;
    convert(DType::f64, values.data(), dtype, static_cast<std::byte*>(t.raw()) + bytes_for(dtype, i), n);
  }
  return t;
}

}  // namespace outpost::cli
