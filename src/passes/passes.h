// Passes: graph in, graph out. Each lives in a file of its own; this wrapper runs them in order and gives every one an
// off-switch, a timer, a verifier, a dump and a report.
//
// Stages, in order: simplify, recognise high-level operators (what a gradient should see: differentiate here), fuse (what
// only inference wants), layout. A stage repeats its passes, with the simplifying ones before them, until nothing changes.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace outpost {

enum class Stage : uint8_t { simplify, recognise, fuse, layout };

struct Pass {
  std::string_view name;
  int (*run)(Graph&);          // changes made; works on one graph (the wrapper goes into subgraphs first)
  Stage stage = Stage::simplify;
  std::string_view doc;
  bool required = false;       // the executor cannot do without it: has no off-switch
};

struct PassOptions {
  std::vector<std::string> off;                       // names; "all": every pass that is not required
  Stage first = Stage::simplify, last = Stage::layout;
  bool verify = false;                                // check the graph's invariants after every pass (always in debug builds)
  bool estimate = false;                              // fill in PassReport's flops and bytes
  std::function<void(std::string_view pass, const Graph&)> dump;
};

// What a pass did, all its rounds together. Flops and bytes are those of one run with unknown dims taken as 1; a negative
// saving is a cost.
struct PassReport {
  std::string_view name;
  int changes = 0;
  double milliseconds = 0;
  int nodes_saved = 0;                                // subgraphs included
  double flops_saved = 0, bytes_saved = 0;
};

const std::vector<Pass>& all_passes();
// Runs the passes of the stages asked for.
std::vector<PassReport> optimise(Graph& graph, const PassOptions& options = {});

// ---- The passes. Simplify:
int expand_composites(Graph&);   // operators without an implementation of their own become others
int remove_identities(Graph&);   // Identity, Dropout at inference, Cast to the same type, …
int fold_constants(Graph&);      // nodes whose inputs are all constant, unless the model would grow; not DequantizeLinear
int fold_shapes(Graph&);         // arithmetic on shapes, as far as dims are known
int cancel_pairs(Graph&);        // what undoes, repeats or does nothing
int merge_common(Graph&);        // equal nodes and equal constants
int drop_unused_outputs(Graph&); // optional outputs that nobody reads
int remove_dead(Graph&);         // nodes and constants that nobody reads
// Recognise:
int recognise_normalization(Graph&);  // LayerNormalization and RMSNormalization from parts
int recognise_gelu(Graph&);           // Gelu from parts, and com.microsoft's forms with a bias
int recognise_rotary(Graph&);         // RotaryEmbedding from parts
int recognise_attention(Graph&);      // Attention from parts, with masks, caps, grouped heads
int recognise_activations(Graph&);  // Swish, HardSwish, Mish, Clip and kin from their parts
// Fuse:
int recognise_quantised(Graph&);    // DequantizeLinear → operator → QuantizeLinear: the operator on codes
int fuse_dynamic_quantised(Graph&); // MatMulInteger, its scales and bias
int fold_dequantised(Graph&);       // DequantizeLinear of constants that no integer operator took
// Layout:
int block_quantised(Graph&);        // integer operators on blocks of channels

// Fuse:
int move_transposes(Graph&);     // through what does not care, where they cancel
int merge_pads(Graph&);          // Pad into the window behind it; the mean over space is a pool
int fold_affine(Graph&);         // batch normalisation and arithmetic per channel go into weights
int fuse_conv(Graph&);           // Conv + residual + activation
int recognise_skip_normalization(Graph&);  // Add + LayerNormalization
int pack_attention(Graph&);      // one projection for queries, keys and values
int fuse_linear(Graph&);         // MatMul or Gemm + bias + residual + activation
int fuse_matmul(Graph&);         // transpositions and factors around a product go into it
// Layout:
int block_layout(Graph&);        // channel blocks for convolutions, poolings and what stands between them
int fuse_elementwise(Graph&);    // runs of elementwise operators; behind the layout, which looks at single ones
// After all others, for sessions of Precision::bf16 (not in the list):
int compute_in_bf16(Graph&);     // products may round their operands to bf16

}  // namespace outpost
