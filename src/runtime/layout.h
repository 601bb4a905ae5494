// Layout: a program's plan for given shapes. Which steps run, where every value lies, how much memory it takes.
// Values that follow from shapes alone are computed while planning and cost no step.
// Where a shape depends on data (NonZero, a Loop's outputs) the plan ends and continues, once the run knows the shape,
// with a child layout: a chain of segments, each cached by the shapes it was made for.
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/memory_plan.h"
#include "runtime/program.h"

namespace outpost {

// Elements: what follows from larger values is computed by the run, or folded when the model opens, but not by a plan.
inline constexpr int64_t planned_value_limit = 4096;

enum class Where : uint8_t {
  unset,     // not reached yet (waits for a data-dependent shape)
  arena,     // in this segment's arena, at `offset`
  constant,  // a constant of the graph
  known,     // computed while planning
  input,     // the caller's memory, input `index`
  output,    // the caller's memory, output `index`
  state,     // read from state variable `index`
  owned,     // memory of its own, made when its operator found out the shape
  strings,   // memory of its own, made before the steps run: std::string objects need constructing
  datum,     // not a tensor
};

struct Place {
  Where where = Where::unset;
  int depth = 0;        // the segment that placed it
  int root = -1;        // the value whose memory it shares (itself when it has its own)
  int index = -1;
  size_t shift = 0;     // bytes from the root's beginning
  size_t offset = 0;    // bytes from the arena's beginning
  DType dtype = DType::undefined;
  Shape shape;
};

struct LayoutStep {
  int step;               // index into Program::steps()
  bool open;              // has an output whose shape only the run knows
  size_t scratch_bytes;
};

struct Layout {
  std::vector<Type> key;               // of the inputs (first segment) or of the open values (later ones)
  std::vector<Place> places;           // by value id: this segment's and its parents'
  std::vector<Type> types;             // likewise
  std::deque<std::pair<int, Tensor>> known;  // addresses are stable: `values` points into it
  std::vector<const Tensor*> values;   // by id: constants and known ones, else null
  std::vector<int> placed;             // ids placed by this segment
  std::vector<LayoutStep> steps;
  std::vector<int> open;               // values whose shape this segment's run finds out
  std::vector<int> deferred;           // steps left to the next segment
  int depth = 0;
  size_t arena_bytes = 0, scratch_bytes = 0, live_bytes = 0;  // live: the largest live set, the lower bound
  const Layout* parent = nullptr;      // owns this one (children), so it outlives it

  mutable std::mutex mutex;            // guards children
  mutable std::vector<std::shared_ptr<const Layout>> children;  // most recently used last
};

}  // namespace outpost
