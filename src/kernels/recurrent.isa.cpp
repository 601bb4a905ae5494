// One step of a recurrent cell for one sequence, after its products: all gates of a register at once, nothing stored in
// between. Equations as in ops/recurrent/{lstm,gru}.cpp with the usual activations, sigmoid and tanh.
#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

// body(load, store, j) for every register of n values, the last one in part.
template <class Body>
inline void for_registers(int64_t n, Body body) {
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes)
    body([](const float* p) { return load(p); }, [](float* p, F32 v) { store(p, v); }, j);
  const int64_t left = n - j;
  if (left > 0)
    body([left](const float* p) { return load_part(p, left); }, [left](float* p, F32 v) { store_part(p, v, left); }, j);
}

void lstm_cell(const float* gates, float* cell, float* h, int64_t n) {
  for_registers(n, [&](auto read, auto write, int64_t j) {
    const F32 input = sigmoid(read(gates + j)), output = sigmoid(read(gates + n + j));
    const F32 forget = sigmoid(read(gates + 2 * n + j)), candidate = tanh(read(gates + 3 * n + j));
    const F32 state = forget * read(cell + j) + input * candidate;
    write(cell + j, state);
    write(h + j, output * tanh(state));
  });
}

void gru_cell(const float* gates, const float* recurrent, const float* bias, float* h, int64_t n) {
  for_registers(n, [&](auto read, auto write, int64_t j) {
    const F32 update = sigmoid(read(gates + j) + read(recurrent + j));
    const F32 reset = sigmoid(read(gates + n + j) + read(recurrent + n + j));
    F32 inner = read(recurrent + 2 * n + j);
    if (bias) inner += read(bias + j);
    const F32 candidate = tanh(read(gates + 2 * n + j) + reset * inner);
    write(h + j, (1.0f - update) * candidate + update * read(h + j));
  });
}

}  // namespace

void OUTPOST_ISA::fill_recurrent(Kernels& table) {
  table.lstm_cell = lstm_cell;
  table.gru_cell = gru_cell;
}

}  // namespace outpost::kernels
