// Quantising a float graph in operators that every ONNX runtime knows: DequantizeLinear → layer → QuantizeLinear for
// static int8, DynamicQuantizeLinear and MatMulInteger for dynamic int8, com.microsoft's MatMulNBits for int4 weights.
// Weights get a scale for each output channel, symmetric; activations are u8 with one scale.
#pragma once
#include <functional>
#include <set>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "passes/calibrate.h"

namespace outpost {

// A product with constant weights: Conv, Gemm, MatMul in f32, as simplified graphs have them.
struct QuantisableLayer {
  Node* node;
  Value* input;
  Value* output;  // behind the layer's own bias, Relu or Clip, where only those read the layer
};

// Of a simplified graph (passes/passes.h) whose batch normalisation is folded away.
std::vector<QuantisableLayer> quantisable_layers(Graph& graph);

// The f32 values whose ranges quantise_static may ask for.
std::vector<Value*> values_to_observe(Graph& graph);

using Ranges = std::unordered_map<const Value*, CodeScale>;

// Quantises the layers chosen and what lies between quantised values. Returns how many values became codes.
int quantise_static(Graph& graph, const std::set<const Node*>& layers, const Ranges& ranges);
// MatMul and Gemm: inputs are quantised by the range of each run. Returns how many were.
int quantise_dynamic(Graph& graph, const std::set<const Node*>& layers);
// MatMul and Gemm: weights in blocks of `block` along k (16, 32, 64, 128 or 256), 4 bits each. Returns how many were.
int quantise_int4(Graph& graph, const std::set<const Node*>& layers, int64_t block);

}  // namespace outpost
