// The list of passes and their wrapper.
#include "passes/passes.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "base/text.h"
#include "graph/verify.h"
#include "ops/infer.h"
#include "ops/op.h"

namespace outpost {
namespace {

constexpr int most_rounds = 8;  // of a stage; a chain of rewrites longer than that is left as it is

int run_everywhere(const Pass& pass, Graph& graph) {
  int changes = 0;
  for (const auto& node : graph.nodes())
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { changes += run_everywhere(pass, *g); });
  return changes + pass.run(graph);
}

// A graph shares its symbols with those it was copied from, where other threads may read them.
void own_symbols(Graph& graph, const std::shared_ptr<Symbols>& symbols) {
  graph.symbols = symbols;
  for (const auto& node : graph.nodes())
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { own_symbols(*g, symbols); });
}

int count_nodes(const Graph& graph) {
  int count = static_cast<int>(graph.nodes().size());
  for (const auto& node : graph.nodes())
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { count += count_nodes(*g); });
  return count;
}

Type with_ones(Type type) {
  for (Dim& d : type.dims)
    if (!d.known()) d = Dim(1);
  return type;
}

// Of one run of this graph, its bodies aside.
Cost estimate(const Graph& graph) {
  Cost total;
  std::vector<Type> types;
  std::vector<const Type*> pointers;
  for (const auto& node : graph.nodes()) {
    types.clear(), pointers.clear();
    types.reserve(node->inputs().size() + node->outputs().size());
    for (const auto* list : {&node->inputs(), &node->outputs()})
      for (const Value* v : *list) {
        if (v) types.push_back(with_ones(v->type));
        pointers.push_back(v ? &types.back() : nullptr);
      }
    const std::span<const Type* const> all(pointers);
    const Cost cost = cost_of(CostContext{*node, all.first(node->inputs().size()), all.subspan(node->inputs().size())});
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total;
}

class Optimiser {
 public:
  Optimiser(Graph& graph, const PassOptions& options) : graph_(graph), options_(options), fruitless_(all_passes().size(), -1) {
    for (const Pass& pass : all_passes()) reports_.push_back({.name = pass.name});
#ifndef NDEBUG
    options_.verify = true;
#endif
    own_symbols(graph_, std::make_shared<Symbols>(*graph_.symbols));
    infer_graph(graph_, true);
    nodes_ = count_nodes(graph_);
    if (options_.estimate) cost_ = estimate(graph_);
  }

  void run(Stage stage) {
    for (int round = 0; round < most_rounds; ++round) {
      const int before = changes_;
      for (size_t i = 0; i < all_passes().size(); ++i) {
        const Pass& pass = all_passes()[i];
        if ((pass.stage == Stage::simplify || pass.stage == stage) && !is_off(pass) && fruitless_[i] != changes_) run(i);
      }
      if (changes_ == before) return;
      infer_graph(graph_, true);
      if (options_.estimate) cost_ = estimate(graph_);  // what is known better now is nobody's saving
    }
  }

  std::vector<PassReport> reports() { return std::move(reports_); }

 private:
  bool is_off(const Pass& pass) const {
    return !pass.required && std::any_of(options_.off.begin(), options_.off.end(), [&](const std::string& n) { return n == "all" || n == pass.name; });
  }

  void run(size_t i) {
    const Pass& pass = all_passes()[i];
    PassReport& report = reports_[i];
    const auto begin = std::chrono::steady_clock::now();
    const int made = run_everywhere(pass, graph_);
    report.milliseconds += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    report.changes += made;
    changes_ += made;
    if (made == 0) {
      fruitless_[i] = changes_;
      return;
    }
    account(report);
    if (options_.verify) verify_graph(graph_, pass.name);
    if (options_.dump) options_.dump(pass.name, graph_);
  }

  // Rewrites leave dead nodes to the pass `dead`; what they save shows when those are gone.
  void account(PassReport& report) {
    if (report.name != "dead") graph_.remove_dead();
    const int nodes = count_nodes(graph_);
    report.nodes_saved += nodes_ - nodes;
    nodes_ = nodes;
    if (!options_.estimate) return;
    const Cost cost = estimate(graph_);
    report.flops_saved += cost_.flops - cost.flops;
    report.bytes_saved += cost_.bytes - cost.bytes;
    cost_ = cost;
  }

  Graph& graph_;
  PassOptions options_;
  std::vector<PassReport> reports_;
  std::vector<int> fruitless_;  // of each pass: the number of changes at which it last found nothing
  int changes_ = 0, nodes_ = 0;
  Cost cost_;
};

}  // namespace

const std::vector<Pass>& all_passes() {
  static const std::vector<Pass> list = {
      {"expand", expand_composites, Stage::simplify, "composite operators without an implementation become their definition", true},
      {"identity", remove_identities, Stage::simplify, "nodes that return their input unchanged go"},
      {"fold", fold_constants, Stage::simplify, "what depends on constants only is computed once, unless the model would grow"},
      {"fold-shapes", fold_shapes, Stage::simplify, "arithmetic on shapes is done now, as far as dims are known"},
      {"cancel", cancel_pairs, Stage::simplify, "chains of casts, views and transposes, and what does nothing, shrink"},
      {"common", merge_common, Stage::simplify, "equal nodes are computed once, equal constants are kept once"},
      {"normalization", recognise_normalization, Stage::recognise, "LayerNormalization and RMSNormalization written out in parts become one operator"},
      {"gelu", recognise_gelu, Stage::recognise, "Gelu written out in parts becomes one operator"},
      {"rotary", recognise_rotary, Stage::recognise, "rotary positions written out in parts become one operator"},
      {"attention", recognise_attention, Stage::recognise, "scaled dot-product attention written out in parts becomes one operator"},
      {"activations", recognise_activations, Stage::recognise, "activation functions written out in parts become one operator"},
      {"quantised", recognise_quantised, Stage::fuse, "DequantizeLinear, operator, QuantizeLinear become the operator on codes"},
      {"quantised-dynamic", fuse_dynamic_quantised, Stage::fuse, "dynamically quantised products, their scales and bias become one operator"},
      {"dequantise", fold_dequantised, Stage::fuse, "constants that no integer operator reads are dequantised once"},
      {"transposes", move_transposes, Stage::fuse, "transposes move through operators that do not care, where they become fewer"},
      {"pads", merge_pads, Stage::fuse, "padding goes into the convolution or pool behind it"},
      {"fold-affine", fold_affine, Stage::fuse, "batch normalisation and arithmetic per channel go into the weights before them"},
      {"fuse-conv", fuse_conv, Stage::fuse, "convolution, residual and activation become one operator"},
      {"fuse-linear", fuse_linear, Stage::fuse, "matrix product, bias, residual and activation become one operator"},
      {"fuse-matmul", fuse_matmul, Stage::fuse, "transpositions and factors around a matrix product go into it"},
      {"pack-attention", pack_attention, Stage::fuse, "queries, keys and values come from one wide product and are read where they lie"},
      {"skip-normalization", recognise_skip_normalization, Stage::fuse, "a sum and the normalisation of its rows become one operator"},
      {"quantised-layout", block_quantised, Stage::layout, "integer operators work on blocks of channels"},
      {"layout", block_layout, Stage::layout, "chains of convolutions and poolings run on channel blocks"},
      {"elementwise", fuse_elementwise, Stage::layout, "runs of elementwise operators walk over memory once"},
      {"unused-outputs", drop_unused_outputs, Stage::simplify, "optional outputs that nobody reads are not made"},
      {"dead", remove_dead, Stage::simplify, "nodes and constants that nobody reads go"},
  };
  return list;
}

std::vector<PassReport> optimise(Graph& graph, const PassOptions& options) {
  for (const std::string& name : options.off)
    if (name != "all" && std::none_of(all_passes().begin(), all_passes().end(), [&](const Pass& p) { return p.name == name; }))
      fail(ErrorCode::invalid_argument, "there is no pass '", name, "'");
  Optimiser optimiser(graph, options);
  for (Stage stage : {Stage::simplify, Stage::recognise, Stage::fuse, Stage::layout})
    if (stage >= options.first && stage <= options.last) optimiser.run(stage);
  return optimiser.reports();
}

}  // namespace outpost
