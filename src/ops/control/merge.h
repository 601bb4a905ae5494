// Types of values that come from one of several places: a branch of an If, an iteration of a Loop.
#pragma once
#include <span>
#include <vector>

#include "ops/infer_context.h"
#include "ops/run_context.h"

namespace outpost {

// What holds for a value that is of type `a` or of type `b`: dims that differ are unknown. Kind none says nothing yet.
Type merge_types(const Type& a, const Type& b);
bool same_type(const Type& a, const Type& b);

// The types and the values of a control-flow node's captures: its inputs after arity().
std::vector<Type> captured_types(const InferContext&);
void append_captures(RunContext&, std::vector<Datum>& inputs);

// Types of loop-carried values: starts from `initial` and infers the body until the types hold for every iteration.
// `others(states)` gives the body's inputs; its outputs [first, first + initial.size()) are the next states. Returns all
// the body's outputs, inferred for the states in their final, weakest form, which `initial` then holds.
std::vector<Type> infer_iterations(const InferContext&, const Graph& body, std::vector<Type>& initial, size_t first,
                                   FunctionRef<std::vector<Type>(std::span<const Type>)> inputs);

}  // namespace outpost
