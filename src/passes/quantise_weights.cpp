// Dynamic int8 and int4 weights (see quantise.h).
#include <algorithm>
#include <cmath>

#include "ops/op.h"
#include "passes/quantise.h"

namespace outpost {
namespace {

// A layer's weights as rows of outputs: w(o, k).
struct Rows {
  int64_t outputs, depth;
  std::vector<float> values;
  const float* row(int64_t o) const { return values.data() + o * depth; }
};

Rows rows_of(const Node& n) {
  const Tensor& w = n.input(1)->constant();
  const bool turned = n.op == "Gemm" && n.attributes.integer("transB", 0) != 0;
  Rows r{w.shape()[turned ? 0 : 1], w.shape()[turned ? 1 : 0], std::vector<float>(static_cast<size_t>(w.count()))};
  for (int64_t o = 0; o < r.outputs; ++o)
    for (int64_t k = 0; k < r.depth; ++k) r.values[static_cast<size_t>(o * r.depth + k)] = w.data<float>()[turned ? o * r.depth + k : k * r.outputs + o];
  return r;
}

bool chosen(const Node& n, const std::set<const Node*>& layers) { return layers.contains(&n) && (n.op == "MatMul" || n.op == "Gemm"); }

template <class Make>
int replace_layers(Graph& graph, const std::set<const Node*>& layers, Make make) {
  std::vector<Node*> nodes;
  for (const auto& n : graph.nodes())
    if (chosen(*n, layers)) nodes.push_back(n.get());
  for (Node* n : nodes) {
    Builder b(graph, n);
    Value* y = make(b, *n);
    if (n->input(2)) y = b.add(y, n->input(2));
    graph.replace_uses(n->output(0), y);
    graph.erase(n);
  }
  graph.remove_dead();
  return static_cast<int>(nodes.size());
}

}  // namespace

int quantise_dynamic(Graph& graph, const std::set<const Node*>& layers) {
  std::unordered_map<Value*, Node*> quantised;  // a DynamicQuantizeLinear serves every layer that reads its input
  return replace_layers(graph, layers, [&](Builder& b, Node& n) {
    const Rows w = rows_of(n);
    Tensor codes(DType::i8, {w.depth, w.outputs}), scales(DType::f32, {w.outputs}), zero(DType::i8, {w.outputs});
    for (int64_t o = 0; o < w.outputs; ++o) {
      float most = 0;
      for (int64_t k = 0; k < w.depth; ++k) most = std::max(most, std::abs(w.row(o)[k]));
      const float scale = most > 1e-30f && std::isfinite(most) ? most / 127 : 1;
      scales.data<float>()[o] = scale;
      zero.data<int8_t>()[o] = 0;
      for (int64_t k = 0; k < w.depth; ++k) {
        const float code = std::nearbyint(w.row(o)[k] / scale);
        codes.data<int8_t>()[k * w.outputs + o] = static_cast<int8_t>(code == code ? std::clamp(code, -127.0f, 127.0f) : 0.0f);
      }
    }
    const std::string name = n.input(1)->name;
    Graph& g = b.graph();
    Node*& x = quantised[n.input(0)];
    if (!x) x = b.emit_node("DynamicQuantizeLinear", {n.input(0)}, {}, 3);
    Value* sum = b.emit("MatMulInteger", {x->output(0), g.add_constant(codes, name + "_codes"), x->output(2), g.add_constant(zero, name + "_zero")});
    Value* real = b.emit("Cast", {sum}, {{"to", static_cast<int64_t>(DType::f32)}});
    return b.mul(real, b.mul(x->output(1), g.add_constant(scales, name + "_scale")));
  });
}

// Blocks of k share a scale and a zero point of 8: codes 0..15 stand for (code - 8) * scale. The scale takes the largest
// magnitude to code 0 or 15, whichever loses less over the block.
int quantise_int4(Graph& graph, const std::set<const Node*>& layers, int64_t block) {
  return replace_layers(graph, layers, [&](Builder& b, Node& n) {
    const Rows w = rows_of(n);
    const int64_t blocks = (w.depth + block - 1) / block;
    Tensor codes(DType::u8, {w.outputs, blocks, block / 2}), scales(DType::f32, {w.outputs * blocks});
    std::fill_n(codes.data<uint8_t>(), codes.count(), uint8_t{0x88});
    for (int64_t o = 0; o < w.outputs; ++o)
      for (int64_t i = 0; i < blocks; ++i) {
        const float* x = w.row(o) + i * block;
        const int64_t count = std::min(block, w.depth - i * block);
        float extreme = 0;
        for (int64_t k = 0; k < count; ++k)
          if (std::abs(x[k]) > std::abs(extreme)) extreme = x[k];
        auto code_of = [](float v, float scale) { return std::clamp(scale == 0 ? 0.0f : std::nearbyint(v / scale), -8.0f, 7.0f); };
        float best = 0, least = INFINITY;
        for (float divisor : {-8.0f, -7.5f, 7.0f}) {
          const float scale = extreme / divisor;
          float error = 0;
          for (int64_t k = 0; k < count; ++k) error += std::pow(x[k] - code_of(x[k], scale) * scale, 2.0f);
          if (error < least) least = error, best = scale;
        }
        scales.data<float>()[o * blocks + i] = best;
        uint8_t* to = codes.data<uint8_t>() + (o * blocks + i) * (block / 2);
        for (int64_t k = 0; k < count; ++k) {
          const auto code = static_cast<uint8_t>(code_of(x[k], best) + 8);
          to[k / 2] = static_cast<uint8_t>(k % 2 ? (to[k / 2] & 0x0f) | (code << 4) : (to[k / 2] & 0xf0) | code);
        }
      }
    const std::string name = n.input(1)->name;
    Graph& g = b.graph();
    return b.emit("MatMulNBits", {n.input(0), g.add_constant(codes, name + "_codes"), g.add_constant(scales, name + "_scale")},
                  {{"K", w.depth}, {"N", w.outputs}, {"bits", int64_t{4}}, {"block_size", block}}, "com.microsoft");
  });
}

}  // namespace outpost
