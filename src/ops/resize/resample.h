// The two ways to resample, given where every axis reads.
#pragma once
#include "ops/resize/axis.h"
#include "ops/run_context.h"

namespace outpost::resize {

// Input 0 to output 0, both full; one Axis per axis of the input.
void run_nearest(RunContext&, const Sampling&, const Axis*);
void run_filter(RunContext&, const Sampling&, const Axis*);  // linear and cubic

inline bool changes(const Axis& a) { return a.out != a.in || a.scale != 1 || a.begin != 0 || a.end != 1; }

}  // namespace outpost::resize
