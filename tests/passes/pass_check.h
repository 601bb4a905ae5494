// Graphs before and after the passes: written as text, compared by operators and by what they compute.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "graph/graph.h"
#include "graph/text.h"
#include "ops/op.h"
#include "ops/upgrade.h"
#include "passes/passes.h"
#include "runtime/program.h"
#include "runtime/state.h"
#include "tensor/convert.h"

namespace outpost::test {

// Nodes without a version are in the newest.
inline void set_versions(Graph& graph) {
  for (const auto& n : graph.nodes()) {
    if (n->version == 0) resolve(*n), n->version = n->def->since;
    for_each_subgraph(*n, [](const std::string&, const std::shared_ptr<Graph>& g) { set_versions(*g); });
  }
}

inline std::shared_ptr<Graph> graph_of(const std::string& body) {
  auto graph = parse_graph(body.starts_with("graph") ? body : "graph \"g\" {\n opset \"\" 24\n opset \"com.microsoft\" 1\n" + body + "\n}");
  set_versions(*graph);
  upgrade_graph(*graph);
  return graph;
}

// "Conv outpost.Linear Relu": the operators in order.
inline std::string operators(const Graph& graph) {
  std::string out;
  for (const auto& n : graph.nodes()) out += (out.empty() ? "" : " ") + (n->domain.empty() ? n->op : n->domain + "." + n->op);
  return out;
}

// Floats in -2..2, integers 0 or 1 (indices and masks that fit any axis), unknown dims 2.
inline std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed = 1) {
  std::vector<Tensor> inputs;
  Random random(seed);
  for (const Value* v : graph.inputs()) {
    Shape shape;
    for (const Dim& d : v->type.dims) shape.push_back(d.known() ? d.size : 2);
    std::vector<double> values(static_cast<size_t>(shape.count()));
    const bool real = v->type.dtype == DType::f32 || v->type.dtype == DType::f64 || v->type.dtype == DType::f16 || v->type.dtype == DType::bf16;
    for (double& x : values) x = real ? random.uniform() * 4 - 2 : static_cast<double>(random.next() & 1);
    Tensor t(v->type.dtype, shape);
    if (v->type.dtype != DType::string) convert(DType::f64, values.data(), v->type.dtype, t.raw(), t.count());
    inputs.push_back(std::move(t));
  }
  return inputs;
}

inline std::vector<Datum> run_graph(std::shared_ptr<const Graph> graph, const std::vector<Tensor>& inputs) {
  const auto program = Program::compile(std::move(graph), {.threads = 1, .debug_fill = true});
  std::vector<Datum> values(inputs.begin(), inputs.end()), outputs(program->graph().outputs.size());
  std::vector<const Datum*> pointers;
  for (const Datum& d : values) pointers.push_back(&d);
  auto state = program->new_state(0);
  program->run(pointers, outputs, {}, state, {});
  return outputs;
}

inline double unit_of(DType t) { return t == DType::f16 ? 1.0 / 1024 : t == DType::bf16 ? 1.0 / 128 : t == DType::f64 ? 1e-12 : 1e-5; }

// The largest difference as a fraction of the largest magnitude; infinite where shapes, types or non-numbers differ.
inline double difference(const Datum& a, const Datum& b) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (a.kind() != b.kind()) return infinity;
  if (a.kind() != Datum::Kind::tensor) return 0;
  const Tensor &x = a.tensor(), &y = b.tensor();
  if (x.dtype() != y.dtype() || !(x.shape() == y.shape())) return infinity;
  if (x.dtype() == DType::string) return 0;
  std::vector<double> p(static_cast<size_t>(x.count())), q(p);
  convert(x.dtype(), x.raw(), DType::f64, p.data(), x.count());
  convert(y.dtype(), y.raw(), DType::f64, q.data(), y.count());
  double scale = 1e-30, largest = 0;
  for (double v : p) scale = std::isfinite(v) ? std::max(scale, std::abs(v)) : scale;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i]))) continue;
    const double d = std::abs(p[i] - q[i]);
    if (x.dtype() == DType::f16 && d <= 0x1p-24) continue;  // one step of its denormals
    largest = std::max(largest, std::isfinite(d) ? d : infinity);
  }
  return largest / scale;
}

// Everything done up to and including `last` on a copy; what it computes must stay the same.
inline std::shared_ptr<Graph> optimised(const std::shared_ptr<Graph>& graph, Stage last = Stage::fuse, std::vector<PassReport>* reports = nullptr) {
  auto plain = graph->clone(), made = graph->clone();
  optimise(*plain, {.off = {"all"}});
  std::vector<PassReport> done = optimise(*made, {.last = last, .verify = true});
  if (reports) *reports = std::move(done);
  for (uint64_t seed : {1, 2}) {
    const std::vector<Tensor> inputs = random_inputs(*plain, seed);
    const std::vector<Datum> a = run_graph(plain, inputs), b = run_graph(made, inputs);
    EXPECT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_LE(difference(a[i], b[i]), 20 * unit_of(a[i].kind() == Datum::Kind::tensor ? a[i].tensor().dtype() : DType::f32)) << "output " << i << " of\n" << to_text(*made);
  }
  return made;
}

inline std::string after(const std::string& body, Stage last = Stage::fuse) { return operators(*optimised(graph_of(body), last)); }

}  // namespace outpost::test
