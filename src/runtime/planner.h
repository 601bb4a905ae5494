// Planner: makes one segment's Layout. First walk (layout.cpp): types, plan-time values, views, and which steps must wait.
// Second walk (sharing.cpp): lifetimes, and who shares whose memory: in place, inside a joined whole, in the caller's
// output. Then offsets and scratch.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "runtime/layout.h"

namespace outpost {

class Planner {
 public:
  Planner(const Program& program, Layout& layout) : program_(program), layout_(layout) {}

  void plan(std::span<const int> steps);
  void place_source(int id, Where where, int index, const Type& type);

 private:
  size_t bytes_of(int id) const { return bytes_for(layout_.places[id].dtype, layout_.places[id].shape.count()); }
  const StepInfo& info(size_t step) const { return program_.steps()[layout_.steps[step].step]; }

  bool ready(const StepInfo& step) const;
  bool infer(const StepInfo& step);
  bool remember(const StepInfo& step, std::vector<Tensor> values);
  void place(int s, const StepInfo& step);
  bool same_bytes(int id, const Type& type) const;
  bool place_view(int id, int of, size_t shift, const Type& type);
  bool place_part(const StepInfo& step, int output);

  // The value whose memory this one lies in, from the `shift`-th byte.
  struct Root { int id; size_t shift; };
  Root root(int id) const;
  int root_id(int id) const { return root(id).id; }
  bool movable(int r) const { return layout_.places[r].where == Where::arena && layout_.places[r].depth == layout_.depth; }

  void lifetimes();
  void share_in_place();
  void join_parts();
  void join(size_t step, int whole, int part, size_t shift);
  void use_output_memory();
  void offsets();
  void scratch();

  const Program& program_;
  Layout& layout_;
  std::vector<const Type*> input_types_, output_types_;
  std::vector<const Tensor*> input_values_;
  std::vector<Type> types_;
  std::vector<int> first_, last_;       // by root: steps
  std::vector<int> last_write_;         // by root: the last step that wrote into its memory
  std::vector<int> rewritten_;          // by root: the first step that wrote over another value in it (INT_MAX: none)
};

}  // namespace outpost
