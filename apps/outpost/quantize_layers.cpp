// One layer by itself as a model: in float, and quantised with its codes as input and output, as between its neighbours.
#include "quantize_layers.h"

#include <algorithm>
#include <cmath>

#include "configuration.h"
#include "ops/op.h"
#include "passes/match.h"
#include "terminal.h"

namespace outpost::cli {
namespace {

struct Piece {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  Value *x = nullptr, *y = nullptr;
  Node* layer = nullptr;
};

// The layer and what belongs to it (bias, saturation), reading a graph input.
Piece extract(const QuantisableLayer& layer, const Tensor& x) {
  Piece p;
  p.x = p.graph->add_input("x", Type::of(x));
  Builder b(*p.graph, nullptr);
  auto copy = [&](const Node& n, const Value* from, Value* to) {
    std::vector<Value*> inputs;
    for (const Value* v : n.inputs())
      inputs.push_back(!v ? nullptr : v == from ? to : p.graph->add_constant(v->constant(), v->name));
    return b.emit_node(n.op, inputs, n.attributes, 1, n.domain);
  };
  p.layer = copy(*layer.node, layer.input, p.x);
  p.y = p.layer->output(0);
  for (const Value* v = layer.node->output(0); v != layer.output;) {
    const Node& next = *v->uses().at(0).node;
    p.y = copy(next, v, p.y)->output(0);
    v = next.output(0);
  }
  p.graph->outputs = {p.y};
  p.graph->output_names = {"y"};
  return p;
}

// Codes in, codes out: the pair at either end is left to the neighbours.
void trim(Piece& p) {
  Node* q = p.x->uses().at(0).node;
  Value* codes = p.graph->add_input("codes", Type::tensor(DType::u8, p.x->type.dims));
  p.graph->replace_uses(q->output(0), codes);
  p.graph->erase(q);
  p.graph->remove_input(0);
  p.graph->outputs = {p.graph->outputs[0]->producer()->input(0)};
  p.graph->remove_dead();
}

Tensor encode(const Tensor& x, const CodeScale& s) {
  Tensor codes(DType::u8, x.shape());
  for (int64_t i = 0; i < x.count(); ++i) {
    const float v = std::nearbyint(x.data<float>()[i] / s.scale) + static_cast<float>(s.zero);
    codes.data<uint8_t>()[i] = static_cast<uint8_t>(v == v ? std::clamp(v, 0.0f, 255.0f) : static_cast<float>(s.zero));
  }
  return codes;
}

Tensor decode(const Tensor& codes, const CodeScale& s) {
  Tensor y(DType::f32, codes.shape());
  for (int64_t i = 0; i < y.count(); ++i) y.data<float>()[i] = static_cast<float>(codes.data<uint8_t>()[i] - s.zero) * s.scale;
  return y;
}

SessionOptions one_thread() {
  SessionOptions options = session_options();
  options.threads = 1;
  return options;
}

}  // namespace

double relative_error(const Tensor& a, const Tensor& b) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    const double x = a.data<float>()[i], d = x - b.data<float>()[i];
    difference += d * d, size += x * x;
  }
  return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-300));
}

std::pair<double, double> time_both(Binding& a, Binding& b, double seconds) {
  a.run(), b.run();
  double best[2] = {1e30, 1e30};
  const double end = seconds_now() + seconds;
  for (int i = 0; i < 5 || seconds_now() < end; ++i)
    for (int side = 0; side < 2; ++side) {
      const double begin = seconds_now();
      (side ? b : a).run();
      best[side] = std::min(best[side], (seconds_now() - begin) * 1e3);
    }
  return {best[0], best[1]};
}

LayerMeasure measure_layer(const QuantisableLayer& layer, const Tensor& x, Scheme scheme, const Ranges& ranges, int64_t block) {
  Piece plain = extract(layer, x), coded = extract(layer, x);
  CodeScale in, out;
  if (scheme == Scheme::static_int8) {
    in = ranges.at(layer.input), out = ranges.at(layer.output);
    quantise_static(*coded.graph, {coded.layer}, {{coded.x, in}, {coded.y, out}});
    trim(coded);
  } else if (scheme == Scheme::dynamic_int8) {
    quantise_dynamic(*coded.graph, {coded.layer});
  } else {
    quantise_int4(*coded.graph, {coded.layer}, block);
  }
  const Session a(Model(plain.graph), one_thread()), b(Model(coded.graph), one_thread());
  Binding left(a), right(b);
  left.input(0, x);
  right.input(0, scheme == Scheme::static_int8 ? encode(x, in) : x);
  LayerMeasure m;
  std::tie(m.float_ms, m.quantised_ms) = time_both(left, right, 0.02);
  const Tensor& y = right.result(0).tensor();
  m.error = relative_error(left.result(0).tensor(), scheme == Scheme::static_int8 ? decode(y, out) : y);
  return m;
}

}  // namespace outpost::cli
