// Preparing the steps of a program: operators parse their attributes and pack their constant weights, several nodes at
// once. Weights that only live on in packed form are let go one by one, so that opening takes little more memory than
// running.
#pragma once
#include <span>
#include <string>

#include "runtime/program.h"

namespace outpost {

// Sets `prepared` of every step (bodies' steps not included). `graph` is the one whose nodes the steps are.
void prepare_steps(Graph& graph, std::span<StepInfo> steps, int threads, const Preparation& how);

}  // namespace outpost
