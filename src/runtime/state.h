// RunState: what a model keeps between runs (KV caches, recurrent state, running statistics, the random stream). A value
// the caller holds: one session serves many states, on many threads, each state used by one run at a time.
#pragma once
#include <vector>

#include "base/random.h"
#include "outpost/tensor.h"

namespace outpost {

struct RunState {
  std::vector<Tensor> values;  // one per StateVariable of the graph
  Random random;
};

}  // namespace outpost
