// Quantised graphs: the integer operators that passes make of DequantizeLinear → operator → QuantizeLinear give what the
// float operators give, within one step of the output's scale; and quantising a float graph keeps its answers.
#include "passes/quantise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "ops/op.h"
#include "outpost/outpost.h"
#include "passes/passes.h"

namespace outpost {
namespace {

struct Network {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  Builder b{*graph, nullptr};
  std::mt19937 random{17};
  DType codes = DType::u8;

  Tensor reals(Shape shape, float size) {
    Tensor t(DType::f32, std::move(shape));
    std::normal_distribution<float> normal(0, size);
    for (float& v : t.values<float>()) v = normal(random);
    return t;
  }
  Value* pair(Value* v, float scale, int zero) {
    Value *s = b.constant(Tensor::scalar(scale)), *z = b.scalar(codes, codes == DType::i8 ? zero - 128 : zero);
    return b.emit("DequantizeLinear", {b.emit("QuantizeLinear", {v, s, z}), s, z});
  }
  // Weights in i8, a scale for each output channel.
  Value* weights(Shape shape, int axis) {
    const int64_t channels = shape[axis];
    Tensor w(DType::i8, shape), s(DType::f32, {channels});
    for (int8_t& v : w.values<int8_t>()) v = static_cast<int8_t>(random() % 255) , v = v == -128 ? int8_t(127) : v;
    for (float& v : s.values<float>()) v = 0.001f * static_cast<float>(1 + random() % 4);
    return b.emit("DequantizeLinear", {b.constant(w), b.constant(s)}, {{"axis", int64_t{axis}}});
  }
  Value* conv(Value* x, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t group, float scale, int zero, const char* then = nullptr) {
    const int64_t pad = kernel / 2;
    Value* y = b.emit("Conv", {x, weights({out, in / group, kernel, kernel}, 0), b.constant(reals({out}, 0.3f))},
                      {{"strides", std::vector<int64_t>{stride, stride}}, {"pads", std::vector<int64_t>(4, pad)}, {"group", group}});
    if (then && std::string_view(then) == "Clip") y = b.emit("Clip", {y, b.constant(Tensor::scalar(0.0f)), b.constant(Tensor::scalar(6.0f))});
    else if (then) y = b.emit(then, {y});
    return pair(y, scale, zero);
  }
  void output(Value* v) { graph->outputs.push_back(v), graph->output_names.push_back("y" + std::to_string(graph->outputs.size())); }
};

std::vector<std::string> ops_after_passes(const Graph& graph) {
  std::shared_ptr<Graph> copy = graph.clone();
  optimise(*copy);
  std::vector<std::string> ops;
  for (const auto& n : copy->nodes()) ops.push_back(n->op);
  return ops;
}

int count(const std::vector<std::string>& ops, std::string_view op) { return static_cast<int>(std::count(ops.begin(), ops.end(), op)); }

// Optimised against unoptimised: at most one step of `scale` apart.
void expect_same(const Network& n, const Tensor& x, float scale) {
  const Model model(n.graph);
  const Session plain(model, {.threads = 1, .passes_off = {"all"}}), fast(model, {.threads = 2});
  const Outputs want = plain.run({{"x", x}}), got = fast.run({{"x", x}});
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(want[i].shape(), got[i].shape());
    for (int64_t j = 0; j < want[i].count(); ++j) ASSERT_NEAR(want[i].data<float>()[j], got[i].data<float>()[j], 1.001f * scale) << "output " << i << ", element " << j;
  }
}

class OnCodes : public testing::TestWithParam<DType> {};

TEST_P(OnCodes, ResidualNetwork) {
  Network n;
  n.codes = GetParam();
  Value* x = n.graph->add_input("x", Type::tensor(DType::f32, Shape{2, 3, 20, 18}));
  Value* stem = n.conv(n.pair(x, 0.03f, 120), 3, 32, 7, 2, 1, 0.02f, 0, "Relu");
  Value* pooled = n.pair(n.b.emit("MaxPool", {stem}, {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"strides", std::vector<int64_t>{2, 2}}, {"pads", std::vector<int64_t>(4, 1)}}), 0.02f, 0);
  Value* main = n.conv(n.conv(pooled, 32, 32, 3, 1, 1, 0.05f, 0, "Relu"), 32, 48, 1, 1, 1, 0.04f, 130);
  Value* side = n.conv(pooled, 32, 48, 1, 1, 1, 0.03f, 110);
  Value* sum = n.pair(n.b.emit("Relu", {n.b.add(main, side)}), 0.05f, 0);
  Value* mean = n.pair(n.b.emit("GlobalAveragePool", {sum}), 0.03f, 0);
  Value* flat = n.pair(n.b.emit("Flatten", {mean}, {{"axis", int64_t{1}}}), 0.03f, 0);
  Value* y = n.b.emit("Gemm", {flat, n.weights({10, 48}, 0), n.b.constant(n.reals({10}, 0.2f))}, {{"transB", int64_t{1}}});
  n.output(n.pair(y, 0.02f, 128));
  const auto ops = ops_after_passes(*n.graph);
  EXPECT_EQ(count(ops, "BlockedConvInt8"), 4);
  EXPECT_EQ(count(ops, "QuantizedLinear"), 1);
  EXPECT_EQ(count(ops, "Conv"), 0);
  EXPECT_EQ(count(ops, "QLinearAdd"), 0) << "the sum belongs to the convolution before it";
  EXPECT_EQ(count(ops, "BlockedMaxPoolInt8"), 1);
  // Rounding differs by a step inside, which weights carry on: compare what is behind one operator of each kind elsewhere.
  expect_same(n, n.reals({2, 3, 20, 18}, 1.2f), 0.02f * 4);
}

TEST_P(OnCodes, EveryOperatorWithinOneStep) {
  struct Kind {
    const char* name;
    int64_t in, out, kernel, stride, group;
    const char* then;
  };
  for (const Kind& k : {Kind{"pointwise", 32, 40, 1, 1, 1, nullptr}, {"relu", 20, 16, 3, 1, 1, "Relu"}, {"clip", 16, 32, 3, 2, 1, "Clip"}, {"depthwise", 24, 24, 3, 1, 24, "Relu"},
                        {"depthwise 5", 32, 32, 5, 2, 32, nullptr}, {"groups", 32, 64, 3, 1, 2, nullptr}, {"odd groups", 6, 9, 3, 1, 3, nullptr}, {"gray", 1, 8, 5, 1, 1, nullptr}}) {
    SCOPED_TRACE(k.name);
    for (int zero : {0, 3, 128, 255}) {
      Network n;
      n.codes = GetParam();
      Value* x = n.graph->add_input("x", Type::tensor(DType::f32, Shape{1, k.in, 9, 11}));
      n.output(n.conv(n.pair(x, 0.02f, zero), k.in, k.out, k.kernel, k.stride, k.group, 0.04f, zero == 3 ? 100 : zero, k.then));
      expect_same(n, n.reals({1, k.in, 9, 11}, 1.5f), 0.04f);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(OnCodes, LinearSumsAndJoins) {
  Network n;
  n.codes = GetParam();
  Value* x = n.graph->add_input("x", Type::tensor(DType::f32, Shape{3, 5, 24}));
  Value* a = n.pair(x, 0.02f, 128);
  Value* linear = n.b.add(n.b.emit("MatMul", {a, n.weights({24, 40}, 1)}), n.b.constant(n.reals({40}, 0.3f)));
  n.output(n.pair(linear, 0.03f, 125));
  n.output(n.pair(n.b.add(a, a), 0.05f, 120));
  n.output(n.pair(n.b.mul(a, a), 0.05f, 10));
  n.output(n.pair(n.b.emit("Concat", {a, n.pair(n.b.emit("Sigmoid", {a}), 0.004f, 0)}, {{"axis", int64_t{-1}}}), 0.03f, 128));
  n.output(n.pair(n.b.emit("Transpose", {n.b.emit("Reshape", {a, n.b.integers({15, 24})})}, {{"perm", std::vector<int64_t>{1, 0}}}), 0.02f, 128));
  const auto ops = ops_after_passes(*n.graph);
  EXPECT_EQ(count(ops, "MatMul"), 0);
  EXPECT_EQ(count(ops, "QuantizedLinear"), 1);
  EXPECT_EQ(count(ops, "QLinearAdd") + count(ops, "QLinearMul") + count(ops, "QLinearConcat"), 3);
  expect_same(n, n.reals({3, 5, 24}, 1), 0.05f);
}

INSTANTIATE_TEST_SUITE_P(Types, OnCodes, testing::Values(DType::u8, DType::i8), [](const auto& p) { return std::string(p.param == DType::u8 ? "u8" : "i8"); });

// ---- quantising a float graph

std::shared_ptr<Graph> float_network(std::mt19937& random) {
  Network n;
  n.random = random;
  Value* x = n.graph->add_input("x", Type::tensor(DType::f32, Shape{1, 3, 16, 16}));
  auto conv = [&](Value* v, int64_t in, int64_t out, int64_t kernel) {
    const float size = std::sqrt(2.0f / static_cast<float>(in * kernel * kernel));
    return n.b.emit("Conv", {v, n.b.constant(n.reals({out, in, kernel, kernel}, size)), n.b.constant(n.reals({out}, 0.1f))},
                    {{"pads", std::vector<int64_t>(4, kernel / 2)}});
  };
  Value* a = n.b.emit("Relu", {conv(x, 3, 16, 3)});
  Value* c = n.b.emit("Relu", {n.b.add(conv(a, 16, 16, 3), a)});
  Value* flat = n.b.emit("Flatten", {n.b.emit("GlobalAveragePool", {c})});
  n.output(n.b.emit("Gemm", {flat, n.b.constant(n.reals({16, 10}, 0.3f)), n.b.constant(n.reals({10}, 0.1f))}));
  return n.graph;
}

double relative_error(const Tensor& a, const Tensor& b) {
  double d = 0, s = 0;
  for (int64_t i = 0; i < a.count(); ++i) d += std::pow(double(a.data<float>()[i]) - b.data<float>()[i], 2), s += std::pow(a.data<float>()[i], 2);
  return std::sqrt(d / s);
}

TEST(Quantise, StaticKeepsTheAnswer) {
  std::mt19937 random(5);
  std::shared_ptr<Graph> graph = float_network(random), quantised = graph->clone();
  Network maker;
  // Ranges from what the model computes.
  std::shared_ptr<Graph> watched = quantised->clone();
  const std::vector<Value*> values = values_to_observe(*quantised), copies = values_to_observe(*watched);
  watched->outputs.assign(copies.begin(), copies.end());
  watched->output_names.clear();
  const Session observe{Model(watched)};
  std::vector<RangeObserver> observers(values.size());
  std::vector<Tensor> samples;
  for (int i = 0; i < 8; ++i) {
    samples.push_back(maker.reals({1, 3, 16, 16}, 1));
    const Outputs seen = observe.run({{"x", samples.back()}});
    for (size_t v = 0; v < values.size(); ++v) EXPECT_EQ(observers[v].add(seen[v]), 0);
  }
  for (RangeMethod method : {RangeMethod::minmax, RangeMethod::percentile, RangeMethod::mse}) {
    std::shared_ptr<Graph> g = quantised->clone();
    const std::vector<Value*> mine = values_to_observe(*g);
    Ranges ranges;
    for (size_t v = 0; v < mine.size(); ++v) ranges[mine[v]] = scale_for(observers[v].range(method, 99.99));
    std::set<const Node*> layers;
    for (const QuantisableLayer& l : quantisable_layers(*g)) layers.insert(l.node);
    EXPECT_EQ(layers.size(), 3u);
    EXPECT_GT(quantise_static(*g, layers, ranges), 5);
    const auto ops = ops_after_passes(*g);
    EXPECT_EQ(count(ops, "BlockedConvInt8"), 2);
    EXPECT_EQ(count(ops, "QuantizedLinear"), 1);
    const Session before{Model(graph)}, after{Model(g)};
    for (const Tensor& x : samples) EXPECT_LT(relative_error(before.run({{"x", x}})[0], after.run({{"x", x}})[0]), 0.05);
  }
}

TEST(Quantise, DynamicAndInt4KeepTheAnswer) {
  for (const bool int4 : {false, true}) {
    Network n;
    Value* x = n.graph->add_input("x", Type::tensor(DType::f32, Shape{4, 48}));
    Value* h = n.b.emit("Relu", {n.b.add(n.b.emit("MatMul", {x, n.b.constant(n.reals({48, 64}, 0.2f))}), n.b.constant(n.reals({64}, 0.1f)))});
    n.output(n.b.emit("Gemm", {h, n.b.constant(n.reals({10, 64}, 0.2f)), n.b.constant(n.reals({10}, 0.1f))}, {{"transB", int64_t{1}}}));
    std::shared_ptr<Graph> g = n.graph->clone();
    std::set<const Node*> layers;
    for (const QuantisableLayer& l : quantisable_layers(*g)) layers.insert(l.node);
    EXPECT_EQ(int4 ? quantise_int4(*g, layers, 32) : quantise_dynamic(*g, layers), 2);
    EXPECT_EQ(count(ops_after_passes(*g), "MatMulIntegerToFloat"), int4 ? 0 : 2);
    const Tensor in = n.reals({4, 48}, 1);
    EXPECT_LT(relative_error(Session(Model(n.graph)).run({{"x", in}})[0], Session{Model(g)}.run({{"x", in}})[0]), int4 ? 0.15 : 0.02);
  }
}

TEST(Quantise, RangesOfWhatWasSeen) {
  RangeObserver o;
  Tensor t(DType::f32, {10001});
  for (int64_t i = 0; i < 10000; ++i) t.data<float>()[i] = static_cast<float>(i) / 10000 - 0.25f;
  t.data<float>()[10000] = 50;  // one that is far from all others
  EXPECT_EQ(o.add(t), 0);
  EXPECT_FLOAT_EQ(o.range(RangeMethod::minmax, 100).high, 50);
  EXPECT_LT(o.range(RangeMethod::percentile, 99.9).high, 1.0f);
  EXPECT_NEAR(o.range(RangeMethod::percentile, 99.9).low, -0.25f, 0.05f);
  const CodeScale s = scale_for({-1, 3});
  EXPECT_FLOAT_EQ(s.scale, 4.0f / 255);
  EXPECT_EQ(s.zero, 64);
  EXPECT_EQ(scale_for({0, 0}).scale, 1);
  Tensor odd = Tensor::of({1.0f, NAN, INFINITY});
  EXPECT_EQ(o.add(odd), 2);
}

}  // namespace
}  // namespace outpost
