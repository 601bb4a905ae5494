// What LSTM, GRU and RNN share: attributes, shape rule, the input's product for many steps at once, the walk over time
// in either direction, sequence lengths, layouts. An operator adds one step of its cell.
//
// Inside, time comes first: gates (step, batch, gate, hidden). Steps are taken in chunks whose gates stay in cache:
// one product X W^T + bias for a chunk, then step by step the recurrent product and the cell. A sequence that ended
// keeps its state, and its outputs are zero from there on.
#pragma once
#include <memory>
#include <vector>

#include "ops/multiply.h"
#include "ops/op.h"

namespace outpost::recurrent {

// An activation function with its constants.
struct Squash {
  enum class Kind : uint8_t { relu, tanh, sigmoid, affine, leaky, thresholded, scaled_tanh, hard_sigmoid, elu, softsign, softplus };
  Kind kind = Kind::tanh;
  float alpha = 0, beta = 0;
};
void apply(const Squash&, float* x, int64_t n);   // in place
void apply(const Squash&, double* x, int64_t n);
// The activations of all directions; throws Error(invalid_model) for unknown names or a wrong count.
std::vector<Squash> parse_squashes(const Node&, std::initializer_list<Squash::Kind> defaults, int directions);

constexpr int most_parts = 4;

// A node made ready.
struct Recurrent {
  int gates = 4, squash_count = 3;
  int64_t directions = 1, hidden = 0, input = 0;
  bool batch_first = false, reverse = false, input_forget = false, linear_before_reset = false;
  double clip = 0;  // 0: none
  std::vector<Squash> squashes;
  std::vector<int64_t> parts;                // rows of R that are multiplied together: set_parts()
  bool cut = false;                          // each part is one gate
  std::vector<std::shared_ptr<const void>> packed_w, packed_r;  // per direction (and part); empty if not constant
};

// Fills def.parts for one or two groups of gates, each multiplied with a state of its own. Weights larger than L1 are cut
// into their gates, which every other step takes in reverse: what a step leaves in L2 the next one finds there (1 MB of
// weights in an L2 of 1 MB stream at 113 instead of 99 GB/s).
void set_parts(Recurrent& def, std::initializer_list<int> groups);
// sigmoid and tanh, no clip, no coupling: what kernels have a fused step for.
bool usual_cell(const Recurrent& def, const Squash* squashes);

std::shared_ptr<Recurrent> prepare(const PrepareContext&, int gates, std::initializer_list<Squash::Kind> squashes);
void pack_weights(const PrepareContext&, Recurrent&);

// One step of one direction, for the operator's cell.
template <class T>
struct Step {
  const RunContext& context;
  const Recurrent& def;
  const Squash* squashes;
  int64_t batch, hidden;
  const int32_t* lengths;    // null: all full
  int64_t time;
  T* gates;                  // (batch, gates * hidden): the input's product and the biases
  T* h;                      // (batch, hidden): the state, to be replaced
  T* cell;                   // (batch, hidden), LSTM
  T* extra;                  // (batch, gates * hidden), for the cell's use
  const T* peephole;         // (3 * hidden) or null
  const T* recurrent_bias;   // (gates * hidden) or null
  const kernels::Gemm* right;  // per part: B of the recurrent product; at most most_parts
  void* gemm_scratch;

  // out = a R^T + residual for `gates` gates from `gate` on, a group of set_parts(); rows `stride` apart.
  void product(int gate, int gates, const T* a, T* out, const T* residual, int64_t stride) const;
  // body(first, last) over the rows that are still within their sequence, on all threads when there are many.
  void rows(FunctionRef<void(int64_t first, int64_t last)> body) const;
  void clip(T* x, int64_t n) const;
};

// `biases` says whether the recurrent bias of gate g is added with the input's (else the cell adds it).
template <class T>
void run(RunContext&, void (*step)(const Step<T>&), bool (*early_bias)(const Recurrent&, int gate));
size_t scratch(const ScratchContext&);
void infer(InferContext&, int gates, int max_inputs);
Cost cost(const CostContext&, int gates);
void upgrade(UpgradeContext&);

}  // namespace outpost::recurrent
