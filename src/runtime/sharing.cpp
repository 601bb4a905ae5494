// Who shares whose memory. Every value lies in its root's memory, `shift` bytes from the beginning. Three rules:
//  - in place: an output takes the memory of an input that dies at its step;
//  - joined: what a Concat joins is made inside the whole from the start, where each part is one stretch of it;
//  - a graph output's memory is the caller's.
// A joined part keeps its place as long as anyone reads it, and the whole is not written over before that.
#include <climits>

#include "runtime/planner.h"

namespace outpost {

Planner::Root Planner::root(int id) const {
  size_t shift = 0;
  while (layout_.places[id].root != id && layout_.places[id].root >= 0) {
    shift += layout_.places[id].shift;
    id = layout_.places[id].root;
  }
  return {id, shift};
}

void Planner::lifetimes() {
  const size_t n = static_cast<size_t>(program_.value_count());
  const int count = static_cast<int>(layout_.steps.size());
  first_.assign(n, count);
  last_.assign(n, -1);
  last_write_.assign(n, -1);
  rewritten_.assign(n, INT_MAX);
  for (int i = 0; i < count; ++i) {
    const StepInfo& step = info(static_cast<size_t>(i));
    for (int id : step.inputs)
      if (id >= 0) last_[root_id(id)] = i;
    for (int id : step.outputs)
      if (id >= 0 && layout_.places[id].root == id) {
        first_[id] = last_write_[id] = i;
        last_[id] = std::max(last_[id], i);
      }
  }
  auto keep = [&](int id) {
    if (id >= 0 && layout_.places[id].root >= 0) last_[root_id(id)] = count;
  };
  for (int s : layout_.deferred)
    for (int id : program_.steps()[s].inputs) keep(id);
  for (int id : program_.output_ids_) keep(id);
  for (int id : program_.state_writes_) keep(id);
}

void Planner::share_in_place() {
  for (int i = 0; i < static_cast<int>(layout_.steps.size()); ++i) {
    const StepInfo& step = info(static_cast<size_t>(i));
    for (auto [in, out] : step.def->in_place) {
      if (in >= static_cast<int>(step.inputs.size()) || out >= static_cast<int>(step.outputs.size())) continue;
      const int a = step.inputs[in], b = step.outputs[out];
      if (a < 0 || b < 0 || !movable(b) || layout_.places[b].root != b) continue;
      const int r = root_id(a);
      if (!movable(r) || last_[r] != i || first_[r] == i || bytes_of(r) != bytes_of(b)) continue;
      if (std::count_if(step.inputs.begin(), step.inputs.end(), [&](int id) { return id >= 0 && root_id(id) == r; }) != 1) continue;
      layout_.places[b].root = r;
      last_[r] = last_[b];
      last_write_[r] = i;
      rewritten_[r] = std::min(rewritten_[r], i);
    }
  }
}

void Planner::join_parts() {
  for (size_t i = 0; i < layout_.steps.size(); ++i) {
    const StepInfo& step = info(i);
    if (!step.def->joins || step.outputs[0] < 0 || !movable(step.outputs[0])) continue;
    input_types_.clear();
    input_values_.clear();
    for (int id : step.inputs) {
      input_types_.push_back(id < 0 ? nullptr : &layout_.types[id]);
      input_values_.push_back(id < 0 ? nullptr : layout_.values[id]);
    }
    output_types_.assign(1, &layout_.types[step.outputs[0]]);
    const PartContext context{*step.node, input_types_, output_types_, input_values_};
    for (size_t k = 0; k < step.inputs.size(); ++k) {
      const int64_t begin = step.inputs[k] < 0 ? -1 : step.def->part(context, static_cast<int>(k));
      if (begin >= 0) join(i, step.outputs[0], step.inputs[k], static_cast<size_t>(begin));
    }
  }
}

// Lays the part's root into the whole's memory, if nothing that lives there is disturbed.
void Planner::join(size_t step, int whole, int part, size_t shift) {
  const int r = root_id(part), i = static_cast<int>(step);
  const Root w = root(whole);
  if (r == w.id || !movable(r) || bytes_of(r) != bytes_of(part) || bytes_of(r) == 0) return;
  if (first_[r] >= i || last_write_[r] >= i || last_[r] >= rewritten_[w.id]) return;
  if (w.id != whole) return;  // the whole is itself placed by another rule
  layout_.places[r].root = whole;
  layout_.places[r].shift = shift;
  first_[whole] = std::min(first_[whole], first_[r]);
  last_[whole] = std::max(last_[whole], last_[r]);
}

void Planner::use_output_memory() {
  for (size_t i = 0; i < program_.output_ids_.size(); ++i) {
    const int id = program_.output_ids_[i];
    if (layout_.places[id].root < 0) continue;
    const int r = root_id(id);
    if (!movable(r) || bytes_of(r) != bytes_of(id)) continue;
    layout_.places[r].where = Where::output;
    layout_.places[r].index = static_cast<int>(i);
  }
  for (int id : layout_.placed) {  // everything follows its root
    Place& p = layout_.places[id];
    const Root r = root(id);
    p.root = r.id;
    p.shift = r.shift;
    p.where = layout_.places[r.id].where;
    p.index = layout_.places[r.id].index;
  }
}

}  // namespace outpost
