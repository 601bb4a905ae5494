// Drawing shapes, and building the model that tells them apart.
#include "shapes_model.h"

#include <cmath>

#include "base/random.h"
#include "graph/graph.h"
#include "ops/op.h"
#include "outpost/session.h"

namespace outpost::cli {
namespace {

constexpr int directions = 16, filter_side = 5, examples = 24;
constexpr double pi = 3.14159265358979323846;

// Derivatives of a small Gaussian, each in one direction, the same for the three colours.
Tensor edge_filters() {
  Tensor filters(DType::f32, {directions, 3, filter_side, filter_side});
  float* out = filters.data<float>();
  for (int d = 0; d < directions; ++d)
    for (int channel = 0; channel < 3; ++channel)
      for (int y = -2; y <= 2; ++y)
        for (int x = -2; x <= 2; ++x) {
          const double angle = 2 * pi * d / directions;
          *out++ = static_cast<float>((x * std::cos(angle) + y * std::sin(angle)) * std::exp(-(x * x + y * y) / 2.0) / 12);
        }
  return filters;
}

struct Features {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  Value* shares = nullptr;
  Value* edges = nullptr;
};

Features build_features() {
  Features f;
  Graph& g = *f.graph;
  g.name = "shapes";
  g.opsets[""] = 21;
  Builder b(g, nullptr);
  Value* image = g.add_input("image", Type::tensor(DType::f32, Dims{Dim::symbolic(g.symbols->intern("n")), 3, shapes_side, shapes_side}));
  Value* filters = g.add_constant(edge_filters(), "edge_filters");
  Value* strength = b.emit("Relu", {b.emit("Conv", {image, filters}, {{"pads", std::vector<int64_t>{2, 2, 2, 2}}})});
  Value* energy = b.mul(strength, strength);
  Value* sharp = b.mul(energy, energy);  // a fourth power: the second cannot tell a square from a circle
  Value* means = b.emit("ReduceMean", {sharp, b.integers({2, 3})}, {{"keepdims", int64_t{0}}});
  Value* total = b.emit("ReduceSum", {means, b.integers({1})});
  f.shares = b.div(means, b.add(total, b.scalar(DType::f32, 1e-9)));
  g.rename(f.shares, "shares");
  f.edges = b.emit("Sqrt", {b.emit("ReduceSum", {energy, b.integers({1})})});
  g.rename(f.edges, "edges");
  return f;
}

Tensor batch_of(const std::vector<Image>& images) {
  Tensor t(DType::f32, {static_cast<int64_t>(images.size()), 3, shapes_side, shapes_side});
  float* out = t.data<float>();
  for (const Image& image : images)
    for (int c = 0; c < 3; ++c)
      for (size_t p = 0; p < image.rgb.size() / 3; ++p) *out++ = static_cast<float>(image.rgb[3 * p + static_cast<size_t>(c)]) / 255;
  return t;
}

// Nearest mean as a linear layer: -|x - m|² = 2 x·m - |m|² + a part that is the same for all classes. (weights, bias)
std::pair<Tensor, Tensor> last_layer(const Model& features) {
  constexpr float sharpness = 1200;
  const Session session(features, {.threads = 1});
  const auto classes = static_cast<int64_t>(shape_names().size());
  Tensor weights(DType::f32, {classes, directions}), bias(DType::f32, {classes});
  for (int64_t c = 0; c < classes; ++c) {
    std::vector<Image> drawn;
    for (uint64_t i = 0; i < examples; ++i) drawn.push_back(draw_shape(static_cast<int>(c), 1000 + i));
    const auto outputs = session.run({{"image", batch_of(drawn)}});
    const auto shares = outputs[0].values<float>();
    float square = 0;
    for (int d = 0; d < directions; ++d) {
      float mean = 0;
      for (int i = 0; i < examples; ++i) mean += shares[static_cast<size_t>(i * directions + d)] / examples;
      weights.data<float>()[c * directions + d] = 2 * mean * sharpness;
      square += mean * mean;
    }
    bias.data<float>()[c] = -square * sharpness;
  }
  return {std::move(weights), std::move(bias)};
}

// How far inside the shape a point is (in pixels; negative outside), for a soft edge. `r` is the shape's radius.
double inside(int shape, double x, double y, double r) {
  switch (shape) {
    case 0: return r - std::hypot(x, y);
    case 1: return r * 0.85 - std::max(std::abs(x), std::abs(y));
    case 2: return std::min({r * 0.55 - y, r * 0.55 - (std::sqrt(3.0) / 2 * x - y / 2), r * 0.55 - (-std::sqrt(3.0) / 2 * x - y / 2)});
    default: return (r * 1.1 - std::abs(x) - std::abs(y)) / std::sqrt(2.0);
  }
}

}  // namespace

const std::vector<std::string>& shape_names() {
  static const std::vector<std::string> names = {"circle", "square", "triangle", "diamond"};
  return names;
}

Image draw_shape(int shape, uint64_t seed) {
  Random random(seed * 31 + static_cast<uint64_t>(shape));
  auto between = [&](double low, double high) { return low + (high - low) * random.uniform(); };
  const double r = between(13, 22), cx = between(r * 1.2, shapes_side - r * 1.2), cy = between(r * 1.2, shapes_side - r * 1.2);
  double light[3], dark[3];
  for (double& v : light) v = between(150, 250);
  for (double& v : dark) v = between(10, 70);
  Image image(shapes_side, shapes_side);
  for (int y = 0; y < shapes_side; ++y)
    for (int x = 0; x < shapes_side; ++x) {
      const double cover = std::clamp(inside(shape, x - cx, y - cy, r) + 0.5, 0.0, 1.0);
      for (int c = 0; c < 3; ++c)
        image.at(x, y)[c] = static_cast<uint8_t>(std::clamp(dark[c] + (light[c] - dark[c]) * cover + between(-8, 8), 0.0, 255.0));
    }
  return image;
}

Model make_shapes_model() {
  Features first = build_features();
  first.graph->outputs = {first.shares};
  const auto [weights, bias] = last_layer(Model(first.graph));
  Features f = build_features();
  Builder b(*f.graph, nullptr);
  Value* scores = b.emit("Gemm", {f.shares, f.graph->add_constant(weights, "weights"), f.graph->add_constant(bias, "bias")}, {{"transB", int64_t{1}}});
  Value* probabilities = b.emit("Softmax", {scores}, {{"axis", int64_t{1}}});
  f.graph->rename(probabilities, "probabilities");
  f.graph->outputs = {probabilities, f.edges};
  return Model(f.graph);
}

}  // namespace outpost::cli
